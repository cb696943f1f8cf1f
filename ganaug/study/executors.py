"""Where cells run: in this process, or spread over several on this machine."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from tqdm import tqdm

from ganaug.errors import ConfigError, UserError
from ganaug.study.cells import run_cell
from ganaug.study.design import Cell, Design
from ganaug.workspace import Workspace


def num_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs(device: str) -> int:
    """One process a core on the CPU, where a cell is too small to use several; one process on a GPU."""
    return num_cores() if device == "cpu" else 1


def run_cells(
    workspace: Workspace,
    design: Design,
    cells: Sequence[Cell],
    *,
    jobs: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> None:
    """Run every cell, `jobs` at a time; what is finished stays whatever happens to the rest.

    Raises the first cell's UserError. An interrupt ends the processes at once.
    """
    jobs = min(default_jobs(device) if jobs is None else jobs, max(len(cells), 1))
    if jobs < 1:
        raise ConfigError(f"{jobs} jobs", expected="at least 1")
    finished = (
        _run_here(workspace, design, cells, device) if jobs == 1 else _spread(workspace, design, cells, jobs, device)
    )
    for _ in tqdm(finished, total=len(cells), desc="cells", unit="cell", disable=not progress or None):
        pass


def _run_here(workspace: Workspace, design: Design, cells: Sequence[Cell], device: str) -> Iterator[None]:
    for cell in cells:
        _run_explained(workspace, design, cell, device)
        yield


def _spread(workspace: Workspace, design: Design, cells: Sequence[Cell], jobs: int, device: str) -> Iterator[None]:
    with _workers(jobs) as pool:
        try:
            for future in as_completed(
                [pool.submit(_run_explained, workspace, design, cell, device) for cell in cells]
            ):
                yield future.result()
        except BrokenProcessPool as error:
            raise UserError(
                f"one of {jobs} processes was killed, most likely for want of memory",
                todo=f"run the same command with --jobs {max(1, jobs // 2)}; finished cells are kept",
            ) from error


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes that share the cores; whatever breaks the block ends them at once."""
    before = set(multiprocessing.active_children())
    # Spawned, not forked: a fork of a process with torch's threads and open HDF5 files may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_prepare_worker, initargs=(max(1, num_cores() // jobs),))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    pool.shutdown()


def _prepare_worker(num_threads: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers; ten tracebacks would hide its message
    torch.set_num_threads(min(num_threads, torch.get_num_threads()))  # fewer where the user set OMP_NUM_THREADS


def _run_explained(workspace: Workspace, design: Design, cell: Cell, device: str) -> None:
    try:
        run_cell(workspace, design, cell, device)
    except UserError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"the cell {cell.name} failed ({type(error).__name__}: {reason})") from error
