"""A hardly trained generator of fold 2 of the tiny phantom, with its workspace and its data set."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.data.dataset import DataSet, open_dataset
from ganaug.workspace import GanRun, Workspace, open_workspace


@pytest.fixture
def run(trained: GanRun) -> GanRun:
    return trained


@pytest.fixture
def workspace(trained: GanRun) -> Workspace:
    return open_workspace(trained.root.parents[1])


@pytest.fixture
def tiny(workspace: Workspace) -> DataSet:
    return open_dataset(workspace, "phantom")


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """A block in which an interrupt arrives as soon as an image is hashed, and ends what is run there."""

    def hash_interrupted(image: NDArray[np.uint8]) -> int:
        raise KeyboardInterrupt

    @contextmanager
    def block() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr("ganaug.data.synthetic_file.phash", hash_interrupted)
            with pytest.raises(KeyboardInterrupt):
                yield

    return block
