"""Work side by side on one machine: fresh processes that share the cores, and an allocator that suits them."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

from ganaug.errors import UserError

Result = TypeVar("Result")

STOPS_OF_ALL = [signal.SIGINT] + ([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])  # reach a whole group
SECONDS_TO_STOP = 20.0  # what a process gets to save its state once it was asked to stop
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h


def num_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_parallel(
    function: Callable[..., Result], calls: Sequence[tuple[object, ...]], jobs: int
) -> Iterator[tuple[int, Result]]:
    """Call `function` with each tuple of arguments, `jobs` at a time; yields (position, result) as they finish.

    One job runs here; several run in fresh processes, which share the cores. Raises the first error of a call. An error
    or an interrupt stops the other calls: they are asked to, and get SECONDS_TO_STOP to save what they have.
    """
    if jobs == 1 or len(calls) <= 1:
        for position, arguments in enumerate(calls):
            yield position, function(*arguments)
        return
    with _workers(min(jobs, len(calls))) as pool:
        futures = {pool.submit(_call, function, arguments): position for position, arguments in enumerate(calls)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise UserError(
                f"one of {jobs} processes was killed, most likely for want of memory",
                todo=f"run the same command with --jobs {max(1, jobs // 2)}; what is finished is kept",
            ) from error


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    before = set(multiprocessing.active_children())
    # Spawned, not forked: a fork of a process with torch's threads and open HDF5 files may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_prepare_worker, initargs=(max(1, num_cores() // jobs),))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        mine = set(multiprocessing.active_children()) - before
        for process in mine:
            process.terminate()
        for process in mine:
            process.join(SECONDS_TO_STOP)
            process.kill()  # whoever has not left by then would keep this process from ending
        raise
    pool.shutdown()


def _prepare_worker(num_threads: int) -> None:
    import torch

    tune_allocator()
    for stop in STOPS_OF_ALL:  # the parent stops its workers; ten tracebacks would hide its message
        signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a stopped process leaves behind
    torch.set_num_threads(min(num_threads, torch.get_num_threads()))  # fewer where the user set OMP_NUM_THREADS


def _stop_with_parent() -> None:
    """A parent that is killed asks nobody to stop; its workers would go on unseen, beside those of the next command."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _call(function: Callable[..., Result], arguments: tuple[object, ...]) -> Result:
    try:
        return function(*arguments)
    except KeyboardInterrupt:
        os._exit(130)  # what was asked to stop has saved; back in the pool it would wait for work for ever


def tune_allocator() -> bool:
    """Keep freed memory in the process instead of handing it back to the system; True where that worked.

    Activations are some megabytes each; by default the C library maps and zeroes their pages anew at every use, which
    takes longer than most operators on them. Works on Linux with glibc, and for the whole process.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries lack it
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))  # never
