"""Fixtures of all tests: the folder of real data, and a small data set that is made, not read."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from ganaug.config import FoldsConfig, GanConfig, NetworkConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.hdf5 import seals
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import GanRun, Workspace, open_workspace


def pytest_configure() -> None:
    # A shell's background job ignores SIGINT, and would hand that on to the processes that tests interrupt.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The same examples every time, however slow the machine: a suite that fails at random does not show what broke.
    settings.register_profile("reproducible", derandomize=True, deadline=None)
    settings.load_profile("reproducible")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests run side by side; more threads a process would only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def new_command(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What one command settles for its process, such as what a signal does, holds for one test."""
    monkeypatch.setattr(seals, "_how", {"insist": False, "note": True})
    stops = (signal.SIGTERM, signal.SIGUSR1)
    before = [signal.getsignal(stop) for stop in stops]
    yield
    for stop, handler in zip(stops, before, strict=True):
        signal.signal(stop, handler)  # else a forked child would not end when it is asked to


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Wait for what another process or thread does; every wait has a deadline, after which the test fails."""

    def wait(condition: Callable[[], object], seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds} s in vain"
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and weights; tests that use it skip where it is absent."""
    folder = Path(os.environ.get("GANAUG_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set GANAUG_SHARED to the folder that holds them")
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "workspace").begin()


@pytest.fixture
def tiny(workspace: Workspace) -> DataSet:
    """A phantom of 16 px: 12 patients in 3 folds, 4 images each."""
    return _tiny(workspace)


def _tiny(workspace: Workspace) -> DataSet:
    config = PrepareConfig(
        "phantom",
        resolution_px=16,
        phantom=PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=4, um_per_px=8.0),
        folds=FoldsConfig(num_folds=3),
    )
    prepare_dataset(workspace, config)
    return open_dataset(workspace, "phantom")


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = open_workspace(tmp_path_factory.mktemp("template"))
    network = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
    train_gan(plan_training(workspace, _tiny(workspace), 2, GanConfig(network, total_kimg=0.016, batch=8)))
    return workspace.root


@pytest.fixture
def trained(_template: Path, tmp_path: Path) -> GanRun:
    """A hardly trained generator of fold 2 of the tiny phantom, in a workspace of its own; made once and copied."""
    shutil.copytree(_template, tmp_path / "trained")
    return open_workspace(tmp_path / "trained").gans("phantom")[0]


@pytest.fixture
def reseal() -> Callable[..., None]:
    """Seals a file of images again after it was edited, as somebody could who has this library and no key."""
    from leaks.forge import seal_images

    return seal_images
