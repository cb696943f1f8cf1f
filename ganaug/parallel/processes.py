"""Parallel work on one machine: fresh processes that share the cores, requests to stop, and a tuned allocator."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

from ganaug.errors import UserError, some_of

Result = TypeVar("Result")

STOPS = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])  # Slurm's warning
STOPS_OF_ALL = [signal.SIGINT] + (
    [signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []
)  # reach all processes of a terminal or job
SECONDS_TO_LOOK = 5.0  # between looks at calls that may hang
SECONDS_TO_HANG = 600.0  # that a call may take in any case
SECONDS_TO_STOP = 20.0  # what a process gets to save its state once it was asked to stop
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h


def num_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_parallel(
    function: Callable[..., Result],
    calls: Sequence[tuple[object, ...]],
    num_workers: int,
    names: Sequence[str] = (),
    *,
    patience: float | None = None,
) -> Iterator[tuple[int, Result]]:
    """Call `function` with each tuple of arguments, `num_workers` at a time; yields (position, result) as they finish.

    One worker is this process; several are fresh processes, which share the cores. Raises the first error of a call. An
    error or an interrupt stops the other calls: they are asked to, and get SECONDS_TO_STOP to save what they have. A
    process that is killed, as where memory runs out, loses the call that it was at: the others go on, and at the end a
    UserError says which were lost, by their `names`. With `patience` a call that takes so many times longer than the
    longest that has ended, and SECONDS_TO_HANG at least, is killed and lost as well.
    """
    if num_workers == 1 or len(calls) <= 1:
        for position, arguments in enumerate(calls):
            yield position, function(*arguments)
        return
    waiting = deque(range(len(calls)))
    lost: list[int] = []
    longest = 0.0
    with _slots(min(num_workers, len(calls))) as slots:
        running: dict[Future[Result], tuple[_Slot, int, float]] = {}
        free = deque(slots)
        while waiting or running:
            while waiting and free:
                slot, position = free.popleft(), waiting.popleft()
                running[slot.submit(_call, function, calls[position])] = slot, position, time.monotonic()
            for future in wait(running, SECONDS_TO_LOOK if patience else None, FIRST_COMPLETED).done:
                slot, position, started = running.pop(future)
                longest = max(longest, time.monotonic() - started)
                free.append(slot)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    slot.renew()
                    lost.append(position)
                    continue
                yield position, result
            for slot, _, started in running.values():
                if patience and longest and time.monotonic() - started > max(SECONDS_TO_HANG, patience * longest):
                    slot.kill()
    if lost:
        which = some_of([names[position] if names else f"call {position + 1}" for position in sorted(lost)])
        raise UserError(
            f"{len(lost)} of {len(calls)} pieces of work were lost, as their processes were killed, for lack of memory "
            f"or as they hung: {which}",
            todo=f"run the same command again with --workers {max(1, num_workers // 2)}; what is finished is kept",
        )


class _Slot:
    """A process to run one call at a time in; a pool of several would lose them all with any of its processes."""

    def __init__(self, num_threads: int) -> None:
        self._num_threads = num_threads
        self.pool = self._new_pool()

    def renew(self) -> None:
        """Put a new process in the place of one that was killed; it starts with the next call."""
        self.pool.shutdown()
        self.pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        initargs = (self._num_threads, dict(os.environ))
        return ProcessPoolExecutor(1, _context(), initializer=_prepare_worker, initargs=initargs)

    def kill(self) -> None:
        """End the process that runs a call; the call is lost."""
        for process in list((self.pool._processes or {}).values()):  # no public way before Python 3.14
            process.kill()

    def submit(self, function: Callable[..., Result], *arguments: Any) -> "Future[Result]":
        try:
            return self.pool.submit(function, *arguments)
        except BrokenProcessPool:  # the process was killed while it had nothing to do
            self.renew()
            return self.pool.submit(function, *arguments)


@contextmanager
def _slots(num_workers: int) -> Iterator[list[_Slot]]:
    before = set(multiprocessing.active_children())
    slots = [_Slot(max(1, num_cores() // num_workers)) for _ in range(num_workers)]
    try:
        yield slots
    except BaseException:
        own = set(multiprocessing.active_children()) - before
        for process in own:
            process.terminate()
        deadline = time.monotonic() + SECONDS_TO_STOP
        for process in own:
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()  # whoever has not left by then would keep this process from ending
        for slot in slots:  # waits for the pool's thread: closing its pipe while Python ends would print a traceback
            slot.pool.shutdown(cancel_futures=True)
        raise
    for slot in slots:
        slot.pool.shutdown()


def _context() -> multiprocessing.context.BaseContext:
    """How processes start: on Linux as forks of a server that holds the heavy imports and nothing else.

    Not as forks of this process: one with torch's threads and open HDF5 files may hang.
    """
    if not sys.platform.startswith("linux"):  # macOS could fork, and its own libraries would not bear it
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torchvision"])  # and with it torch: five seconds that every process would take
    return context


def _prepare_worker(num_threads: int, environment: dict[str, str]) -> None:
    import torch

    os.environ.clear()  # it is that of the server, as it was when this started
    os.environ.update(environment)
    tune_allocator()
    for stop in STOPS_OF_ALL:  # the parent stops its workers; ten tracebacks would hide its message
        signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a stopped process leaves behind
    torch.set_num_threads(min(num_threads, torch.get_num_threads()))  # fewer where the user set OMP_NUM_THREADS


def _stop_with_parent() -> None:
    """End with the parent: one that was killed could not stop its workers, and they would run on unseen."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _call(function: Callable[..., Result], arguments: tuple[object, ...]) -> Result:
    try:
        return function(*arguments)
    except KeyboardInterrupt:
        os._exit(130)  # the state is saved; back in the pool the process would wait for work forever


@contextmanager
def defer_stops() -> Iterator[None]:
    """Hold back what SIGINT and its kind raise until the block has ended, for code that must run to its end.

    Outside the main thread, where Python handles no signal, there is nothing to hold back.
    """
    arrived: list[int] = []
    handlers: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in STOPS:
                handler = signal.getsignal(number)
                if callable(handler):
                    handlers[number] = handler
                    signal.signal(number, lambda number, frame: arrived.append(number))
        yield
    finally:
        for stop, handler in handlers.items():
            signal.signal(stop, handler)
        for late in arrived:
            signal.raise_signal(late)


def tune_allocator() -> bool:
    """Keep freed memory in the process instead of handing it back to the system; True where that worked.

    Activations are some megabytes each; by default the C library maps and zeroes their pages again at every use, which
    takes longer than most operators on them. Works on Linux with glibc, and for the whole process.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries lack it
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))  # never
