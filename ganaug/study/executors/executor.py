"""The contract of all executors."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from ganaug.config import Compute
from ganaug.study.design import Cell, Design
from ganaug.workspace import Workspace


class Executor(Protocol):
    """Runs cells of one design, somewhere."""

    def __init__(self, workspace: Workspace, design: Design, compute: Compute) -> None: ...

    def run(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """Run every cell, and yield each one as it finishes: its record then stands in the study's folder.

        Raises CellsFailed where cells failed, after those that did not have finished.
        """
