"""The stats for TensorBoard: what cannot be written there is one line."""

import errno
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganaug.errors import DiskFull
from ganaug.train.board import Board


class FullWriter:
    """What TensorBoard's own does on a full disk: its thread fails, and the next call says so."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def add_scalar(self, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=FullWriter))
    board = Board(tmp_path)
    with pytest.raises(DiskFull, match=str(tmp_path)):
        board.add({"kimg": 1.0, "loss_g": 0.0})
    with pytest.raises(DiskFull, match=str(tmp_path)), board:
        pass


def test_without_a_folder_nothing_is_written() -> None:
    with Board(None) as board:
        board.add({"kimg": 1.0})
