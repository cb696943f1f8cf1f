"""A laboratory's folder of pictures, the data set that was prepared from it, and classifiers of its first folds."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganaug.classify.stored import StoredClassifier
from ganaug.classify.task import ClassifierTask
from ganaug.classify.train_stored import train_stored
from ganaug.config import FoldsConfig, PrepareConfig, StudyConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.study.training_set import plan_classifiers
from ganaug.workspace import Workspace, open_workspace

CLASSES = ("Benign", "Malignant")
SIDE_PX = 32
CONFIG = StudyConfig(classifiers=("dalaresnet50_small",), seeds=(0,), num_steps=4, batch=4)


@dataclass(frozen=True)
class Lab:
    """A workspace, and the folder <class>/<patient>/<number>.png that its data set was prepared from."""

    workspace: Workspace
    source: Path

    @property
    def dataset(self) -> DataSet:
        return open_dataset(self.workspace, "lab")

    def task(self, fold: int = 0, **options: Any) -> ClassifierTask:
        (task,) = plan_classifiers(self.workspace, self.dataset, [fold], replace(CONFIG, **options))
        return task

    def train(self, fold: int = 0, **options: Any) -> StoredClassifier:
        return train_stored(self.task(fold, **options)).stored

    def files(self, part: str, fold: int = 0) -> list[Path]:
        """The files that the images of a part of a fold come from, in the data set's order."""
        indices = getattr(self.dataset, part)(fold)
        return [self.source / path for path in self.dataset.table.path[indices].tolist()]


def picture(rng: np.random.Generator, size: tuple[int, int] = (44, 40)) -> Image.Image:
    """Something to see: coloured blobs, different in every picture."""
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def make_lab(
    root: Path,
    seed: int = 5,
    *,
    pixels: Sequence[NDArray[Any]] | None = None,
    name_of: Callable[[int, int], str] = lambda patient, number: str(number),
    **options: Any,
) -> Lab:
    """Twelve patients of three pictures, half of each class, in three folds; other pictures with another seed.

    pixels: those of the 36 pictures in place of coloured blobs. name_of: a file's name by patient and number.
    """
    rng, source = np.random.default_rng(seed), root / "source"
    for number in range(12):
        folder = source / CLASSES[number % 2] / f"patient {number:02d}"
        folder.mkdir(parents=True)
        for image in range(3):
            shown = picture(rng) if pixels is None else Image.fromarray(pixels[3 * number + image])
            shown.save(folder / f"{name_of(number, image)}.png")
    workspace = open_workspace(root / "workspace")
    given: dict[str, Any] = {"resolution_px": SIDE_PX, "layout": "class/patient", **options}
    config = PrepareConfig("folder", str(source), name="lab", folds=FoldsConfig(num_folds=3), **given)
    prepare_dataset(workspace, config)
    return Lab(workspace, source)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab = make_lab(tmp_path_factory.mktemp("lab"))
    lab.train()
    return lab.source.parent


@pytest.fixture
def lab(_template: Path, tmp_path: Path) -> Lab:
    """The laboratory with a classifier of fold 0, in folders of this test; made once and copied."""
    shutil.copytree(_template, tmp_path / "lab")
    return Lab(open_workspace(tmp_path / "lab" / "workspace"), tmp_path / "lab" / "source")


@pytest.fixture
def lab_of(tmp_path: Path) -> Callable[..., Lab]:
    """`make_lab` in a folder of this test."""
    return lambda **options: make_lab(tmp_path / "other", **options)


@pytest.fixture
def make_picture() -> Callable[[int], NDArray[np.uint8]]:
    """Pictures u8 [H,W,3] that are in no data set, by their seed."""
    return lambda seed: np.asarray(picture(np.random.default_rng([9, seed])))
