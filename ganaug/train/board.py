"""The stats as TensorBoard shows them, where it is installed and asked for."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ganaug.errors import ConfigError
from ganaug.workspace import explained


class Board:
    """Writes lines of stats as scalars against images shown; without a folder it writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "TensorBoard is not installed", todo="pip install 'ganaug[tensorboard]', or leave --tensorboard out"
            ) from error
        self._folder = folder
        with explained(folder):
            self._writer = SummaryWriter(str(folder))

    def add(self, line: dict[str, float]) -> None:
        """Add a line; raises WorkspaceError where an earlier one could not be written, as on a full disk."""
        if self._writer:
            with explained(self._folder):
                for name, value in line.items():
                    self._writer.add_scalar(name, value, round(1000 * line["kimg"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._writer:
            with explained(self._folder):
                self._writer.close()
