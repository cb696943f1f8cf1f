"""An executor that runs nothing, and prints which cells it would run."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ganaug.config import Compute
from ganaug.study.design import Cell, Design
from ganaug.study.executors.executor import Executor
from ganaug.workspace import Workspace


@dataclass(frozen=True)
class DryRunExecutor(Executor):
    """Prints one line per cell to stderr; no cell finishes."""

    workspace: Workspace
    design: Design
    compute: Compute

    def run(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        for cell in cells:
            print(f"would train {cell.name}", file=sys.stderr)
        yield from ()
