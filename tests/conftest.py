"""What every room's tests share: where real data lies, and a small data set that is made, not read."""

import os
from pathlib import Path

import pytest
import torch

from ganaug.config import FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare import prepare_dataset
from ganaug.workspace import Workspace, open_workspace


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests run side by side; more threads a process would only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and weights; tests that use it skip where it is absent."""
    folder = Path(os.environ.get("GANAUG_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "workspace")


@pytest.fixture
def tiny(workspace: Workspace) -> DataSet:
    """A phantom of 16 px: 12 patients in 3 folds, 4 images each."""
    config = PrepareConfig(
        "phantom",
        resolution_px=16,
        phantom=PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=4, um_per_px=8.0),
        folds=FoldsConfig(num_folds=3),
    )
    prepare_dataset(workspace, config)
    return open_dataset(workspace, "phantom")
