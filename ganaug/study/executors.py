"""Where cells run: in this process, or spread over several on this machine."""

from collections.abc import Sequence

from tqdm import tqdm

from ganaug.errors import ConfigError, UserError
from ganaug.processes import num_cores, run_parallel
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

    Raises the first cell's UserError. An interrupt ends the processes at once.
    """
    jobs = default_jobs(device) if jobs is None else jobs
    if jobs < 1:
        raise ConfigError(f"{jobs} jobs", expected="at least 1")
    finished = run_parallel(_run_explained, [(workspace, design, cell, device) for cell in cells], jobs)
    for _ in tqdm(finished, total=len(cells), desc="cells", unit="cell", disable=not progress or None):
        pass


def _run_explained(workspace: Workspace, design: Design, cell: Cell, device: str) -> None:
    try:
        run_cell(workspace, design, cell, device)
    except UserError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"the cell {cell.name} failed ({type(error).__name__}: {reason})") from error
