"""An executor on this machine: in this process, or spread over several."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from ganaug.config import Compute
from ganaug.errors import DiskFull, UserError, some_of
from ganaug.parallel.processes import num_cores, run_parallel
from ganaug.study.cells import run_cell
from ganaug.study.design import Cell, Design
from ganaug.study.executors.executor import Executor
from ganaug.study.partial import CellsFailed
from ganaug.workspace import Workspace

PATIENCE = 20.0  # times as long as the longest finished cell, after which a cell counts as hung


def num_workers_of(compute: Compute) -> int:
    """As many processes as were chosen; else one per core on the CPU, where a cell cannot use several, one on a GPU."""
    return compute.num_workers or (num_cores() if compute.device == "cpu" else 1)


@dataclass(frozen=True)
class LocalExecutor(Executor):
    """Runs the cells of a study in processes of this machine; what is finished stays whatever happens to the rest.

    A cell that fails, hangs, or whose process is killed, lets the others finish. CellsFailed is raised then: with the
    error of the one cell that failed, or the names of several and the error of the first. An interrupt ends the
    processes at once, and so does a full disk, which raises DiskFull: all that the others train would be lost.
    """

    workspace: Workspace
    design: Design
    compute: Compute

    def run(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        calls = [(self.workspace, self.design, cell, self.compute.device) for cell in cells]
        names = [cell.name for cell in cells]
        faults: dict[int, UserError] = {}
        ended = run_parallel(run_safely, calls, num_workers_of(self.compute), names, patience=PATIENCE)
        try:
            for position, fault in tqdm(
                ended, total=len(cells), desc="cells", unit="cell", disable=not self.compute.progress or None
            ):
                if fault is None:
                    yield cells[position]
                else:
                    faults[position] = fault
        except DiskFull:
            raise
        except UserError as error:  # some processes were killed
            raise_faults(names, faults, error)
        raise_faults(names, faults)


def raise_faults(names: Sequence[str], faults: dict[int, UserError], killed: UserError | None = None) -> None:
    """Raise one CellsFailed for all faults; return where there is none."""
    errors = [faults[position] for position in sorted(faults)] + ([killed] if killed else [])
    if len(errors) == 1:
        raise CellsFailed(str(errors[0]))
    if errors:
        failed = some_of([names[position] for position in sorted(faults)])
        raise CellsFailed(
            f"{len(faults)} of {len(names)} cells failed, {failed}; {errors[0]}" + (f"; {killed}" if killed else ""),
            todo="fix that and run the same command again; the other cells are kept",
        )


def run_safely(workspace: Workspace, design: Design, cell: Cell, device: str) -> UserError | None:
    """Run a cell, and return its error, so that the other cells go on; None where it finished."""
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
