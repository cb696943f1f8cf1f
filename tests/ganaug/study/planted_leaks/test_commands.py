"""A study refuses synthetic images that are not what they were, with one line and nothing written."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganaug.cli.main import main
from ganaug.config import FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.workspace import Workspace, open_workspace

DRAWN = PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=6, um_per_px=8.0)
TINY = PrepareConfig("phantom", resolution_px=16, phantom=DRAWN, folds=FoldsConfig(num_folds=3))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def last_line(result: Result) -> str:
    return result.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with generators and synthetic images of two folds, which is copied and not changed."""
    workspace = open_workspace(tmp_path_factory.mktemp("trained") / "workspace")
    prepare_dataset(workspace, TINY)
    where = ("--workspace", workspace.root, "--device", "cpu")
    assert run("train-gan", *where, "--preset", "quick", "--kimg", "0.032").exit_code == 0
    assert run("synthesize", *where, "--per-class", 24).exit_code == 0
    return workspace.root


@pytest.fixture
def supplied(trained: Path, tmp_path: Path) -> Workspace:
    return open_workspace(shutil.copytree(trained, tmp_path / "supplied"))


def test_a_study_of_a_file_whose_pixels_were_changed_is_refused(supplied: Workspace) -> None:
    import h5py

    where = ("--workspace", supplied.root, "--device", "cpu", "--fold", "0")
    synthetic = next(path for path in supplied.synthetics() if "fold0-" in path.name)
    with h5py.File(synthetic, "r+") as file:
        file["images"][0] = 255 - file["images"][0]
    result = run("evaluate-augmentation", *where, "--preset", "quick", "--steps", 2)
    assert result.exit_code == 2
    assert "was changed after it was written" in last_line(result)
    assert not (supplied.root / "studies").exists()


def test_a_folds_synthetic_images_under_the_name_of_anothers_are_refused(supplied: Workspace) -> None:
    where = ("--workspace", supplied.root, "--device", "cpu")
    first, second = (next(p for p in supplied.synthetics() if f"fold{fold}-" in p.name) for fold in (0, 1))
    first.write_bytes(second.read_bytes())
    result = run("evaluate-augmentation", *where, "--fold", "0", "--preset", "quick", "--steps", 2)
    assert result.exit_code == 2
    assert "of the validation or test part of fold 0" in last_line(result)
