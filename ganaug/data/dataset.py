"""A prepared data set and its folds, and the endless order in which a generator sees one fold's training images."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganaug.config import SOURCE_NAMES, require_name
from ganaug.data.folds.folds import Folds, read_folds
from ganaug.data.schema import ImageReader, ImageTable, creation_time_of_images, open_reader, read_table, stained_name
from ganaug.data.subset import choose_part
from ganaug.errors import ConfigError, DataError
from ganaug.workspace import Workspace

IN_MEMORY_BYTES = 2**30  # training sets below this are held in memory


@dataclass(frozen=True, eq=False)
class DataSet:
    """A prepared data set; `train`, `val` and `test` give the images of a fold's parts as i64 [n], in file order."""

    name: str
    path: Path
    table: ImageTable
    folds: Folds
    real_fraction: float = 1.0  # of each fold's training images that `train` gives

    def train(self, fold: int) -> NDArray[np.int64]:
        every = self.table.indices_of(self.folds.train_groups(self._known(fold)))
        return choose_part(self.table, every, fold, self.real_fraction)

    def rest(self, fold: int) -> NDArray[np.int64]:
        """The fold's training images that `train` does not give, i64 [n], in file order."""
        return np.setdiff1d(self.reduced_to(1).train(fold), self.train(fold))

    def reduced_to(self, fraction: float) -> "DataSet":
        """The data set with this fraction of the training images per class, and all of its validation and test images.

        A smaller fraction is part of a larger one.
        """
        return replace(self, real_fraction=float(fraction))

    def val(self, fold: int) -> NDArray[np.int64]:
        return self.table.indices_of(self.folds.val_groups(self._known(fold)))

    def test(self, fold: int) -> NDArray[np.int64]:
        return self.table.indices_of(self.folds.test_groups(self._known(fold)))

    def title(self, fold: int) -> str:
        """How a sentence calls a fold, and the fraction of its real images where they are not all."""
        of = "" if self.real_fraction == 1 else f"{self.real_fraction:g} of "
        return f"{of}fold {fold} of {self.name}"

    def largest_class(self, fold: int) -> int:
        """How many training images the fold's largest class has."""
        return int(self.table.class_counts(self.train(fold)).max())

    def images(self, fold: int) -> ImageReader:
        """All images as a fold sees them: where stain is normalised, to the training groups of that fold.

        Raises LeakError where the pixels are not those that the data set was sealed with.
        """
        name = stained_name(self._known(fold)) if self.table.attrs.get("stain") else "images"
        return open_reader(self.path, self.table, name)

    @property
    def reader(self) -> ImageReader:
        """All images as they were prepared; raises LeakError as `images` does."""
        return open_reader(self.path, self.table)

    def _known(self, fold: int) -> int:
        if not 0 <= fold < self.folds.num_folds:
            raise ConfigError(f"fold {fold} of {self.name}", expected=f"a number from 0 to {self.folds.num_folds - 1}")
        return fold


def open_dataset(workspace: Workspace, name: str) -> DataSet:
    """Open a prepared data set; raises DataError where it is missing or corrupt, LeakError where it was edited."""
    require_name(name)
    path = workspace.dataset(name)
    if not path.exists():
        raise _not_prepared(workspace, name)
    return add_folds(workspace, name, read_table(path))


def add_folds(workspace: Workspace, name: str, table: ImageTable) -> DataSet:
    """The data set of this name, whose table was read, with its folds; raises as `open_dataset` does."""
    if not table.class_counts().any():
        raise DataError(
            f"the images of {name!r} have no labels", expected="a data set that can be trained and tested on"
        )
    if not workspace.folds(name).exists():
        raise _not_prepared(workspace, name)
    return DataSet(name, workspace.dataset(name), table, read_folds(workspace.folds(name), table))


def _not_prepared(workspace: Workspace, name: str) -> DataError:
    known = ", ".join(workspace.datasets()) or "none"
    how = f"--dataset {name}" if name in SOURCE_NAMES else f"--dataset folder --source … --name {name}"
    return DataError(
        f"the data set {name!r} is not prepared in {workspace.root}; prepared: {known}",
        todo=f"run `ganaug prepare {how}`",
    )


def default_dataset(workspace: Workspace) -> str:
    """The name of the data set that was prepared last, by the time in its file; DataError where there is none."""
    names = workspace.datasets()
    if not names:
        raise DataError(
            f"no data set is prepared in {workspace.root}",
            todo="run `ganaug prepare --dataset phantom`, or breakhis, or folder with --source",
        )
    return max(names, key=lambda name: (creation_time_of_images(workspace.dataset(name)), name))


class TrainingImages:
    """Batches of a fold's training images in an endless random order, every image once an epoch.

    A batch is a pure function of seed and step: training can resume at any step and sees what it would have seen.
    """

    def __init__(self, dataset: DataSet, fold: int, batch: int, seed: int) -> None:
        indices, reader = dataset.train(fold), dataset.images(fold)
        if len(indices) == 0:
            raise DataError(
                f"fold {fold} of {dataset.name} has no training image",
                expected="at least one",
                todo="prepare the data set again with fewer folds",
            )
        self.labels = dataset.table.label[indices]
        self.batch, self.seed = batch, seed
        self._indices, self._reader = indices, reader
        fits = len(indices) * dataset.table.resolution_px**2 * 3 < IN_MEMORY_BYTES
        self._pixels = reader[indices] if fits else None
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def batch_at(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Images u8 [B,H,W,3] and labels i64 [B] of step 0, 1, 2, …"""
        num = len(self.labels)
        positions = range(step * self.batch, (step + 1) * self.batch)
        chosen = np.array([self._order_of(position // num)[position % num] for position in positions])
        images = self._reader[self._indices[chosen]] if self._pixels is None else self._pixels[chosen]
        return images, self.labels[chosen]

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch])))
            self._epoch, self._order = epoch, rng.permutation(len(self.labels))
        return self._order
