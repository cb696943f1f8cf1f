"""Where cells run: in this process, or spread over several on this machine."""

from collections.abc import Sequence

from tqdm import tqdm

from ganaug.errors import ConfigError, DiskFull, UserError, some_of
from ganaug.parallel.processes import num_cores, run_parallel
from ganaug.study.cells import run_cell
from ganaug.study.design import Cell, Design
from ganaug.workspace import Workspace


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

    A cell that fails, or whose process is killed, lets the others finish. Raises UserError then: the error of the one
    cell that failed, or the names of several with the error of the first. An interrupt ends the processes at once, and
    so does a full disk, which raises DiskFull: all that the others train would be lost.
    """
    jobs = default_jobs(device) if jobs is None else jobs
    if jobs < 1:
        raise ConfigError(f"{jobs} jobs", expected="at least 1")
    calls, names = [(workspace, design, cell, device) for cell in cells], [cell.name for cell in cells]
    faults: dict[int, UserError] = {}
    finished = run_parallel(_fault_of, calls, jobs, names)
    try:
        for position, fault in tqdm(
            finished, total=len(cells), desc="cells", unit="cell", disable=not progress or None
        ):
            if fault is not None:
                faults[position] = fault
    except DiskFull:
        raise
    except UserError as error:  # some processes were killed
        _raise_faults(names, faults, error)
    _raise_faults(names, faults)


def _raise_faults(names: Sequence[str], faults: dict[int, UserError], killed: UserError | None = None) -> None:
    """Raise what all faults come to; nothing where there is none."""
    errors = [faults[position] for position in sorted(faults)] + ([killed] if killed else [])
    if len(errors) == 1:
        raise errors[0]
    if errors:
        failed = some_of([names[position] for position in sorted(faults)])
        raise UserError(
            f"{len(faults)} of {len(names)} cells failed, {failed}; {errors[0]}" + (f"; {killed}" if killed else ""),
            todo="run the same command again when that is put right; the other cells are kept",
        )


def _fault_of(workspace: Workspace, design: Design, cell: Cell, device: str) -> UserError | None:
    """Run a cell; returns what went wrong, so that the other cells go on."""
    try:
        run_cell(workspace, design, cell, device)
    except DiskFull:
        raise
    except UserError as error:
        return UserError(f"the cell {cell.name} failed: {error}")
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        return UserError(f"the cell {cell.name} failed ({type(error).__name__}: {reason})")
    return None
