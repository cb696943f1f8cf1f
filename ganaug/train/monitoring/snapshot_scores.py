"""The scores of a snapshot: distances of its images to training and to validation patients, and their floor."""

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from classifiers.probe import LinearProbe
from ganaug.evaluate.labels.linear import Labelled, fit_by_patients, predict
from ganaug.evaluate.metrics.frechet import frechet_distance
from ganaug.evaluate.metrics.metric import Features
from ganaug.evaluate.metrics.registry import METRICS

FEWEST_IMAGES = max(METRICS[name].needs for name in ("frechet", "kernel"))  # of which more than a score is had


@dataclass(frozen=True)
class SnapshotScores:
    """The figures of a line of scores.jsonl; None where the fold has fewer images than FEWEST_IMAGES.

    Fréchet distances grow as images get fewer: compare `val_score` with `val_floor`, and never with `score`. Kernel
    distances may be compared with one another.
    """

    score: float  # Fréchet distance to training images; of all snapshots, the one with the lowest is used
    kernel: float | None = None  # kernel distance to the same
    val_num_images: int = 0  # images on each side of the figures below
    val_score: float | None = None  # Fréchet distance to images of validation patients
    val_kernel: float | None = None  # kernel distance to the same
    val_floor: float | None = None  # Fréchet distance between training and validation images, the same every time
    val_kernel_floor: float | None = None  # kernel distance between the same
    agreement: float | None = None  # how often a classifier of validation patients names the class asked for, by class
    agreement_floor: float | None = None  # the same of the training images

    def to_dict(self) -> dict[str, float | None]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class ClassProbe:
    """A linear classifier of validation patients, which names the classes of images as it sees them."""

    probe: LinearProbe
    label: NDArray[np.int64]  # [N], the classes of the training images and, in the same order, of generated ones
    floor: float  # the agreement on the training images

    @classmethod
    def fit(cls, val: Labelled, train: Labelled, seed: int) -> "ClassProbe | None":
        """None where a class of the training images has no validation image."""
        num_classes = int(train.label.max()) + 1
        if len(np.unique(val.label)) < num_classes:
            return None
        probe = fit_by_patients(val, num_classes, np.random.default_rng(seed))
        return cls(probe, train.label, _mean_agreement(predict(probe, train.features), train.label))

    def agreement(self, fake: Features) -> float:
        """How often generated features [N,D] are named as asked, the mean over the classes."""
        return _mean_agreement(predict(self.probe, fake), self.label)


def _mean_agreement(named: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    return float(np.mean([(named[label == each] == each).mean() for each in np.unique(label)]))


@dataclass(frozen=True)
class RealSides:
    """The features of the real images that all snapshots of a run are compared with, in the extractor's own scale."""

    train: Features  # [N,D]
    val: Features  # [M,D], no more of a class than `train` has
    matched: NDArray[np.int64]  # [M], positions in `train` of images of the same classes as those of `val`
    scale: float  # that features are divided by, as in evaluate-gan
    seed: int  # of the metrics' random draws

    def scores(self, fake: Features) -> SnapshotScores:
        """Scores of generated features [N,D], each of the class of the training image at its position."""
        train, fake = self.train / self.scale, fake / self.scale
        if len(train) < FEWEST_IMAGES:
            return SnapshotScores(frechet_distance(train, fake))
        frechet, kernel = self._distances(train, fake)
        if len(self.val) < FEWEST_IMAGES:
            return SnapshotScores(frechet, kernel)
        val_frechet, val_kernel = self._distances(self.val / self.scale, fake[self.matched])
        floor, kernel_floor = self._floors
        return SnapshotScores(frechet, kernel, len(self.val), val_frechet, val_kernel, floor, kernel_floor)

    @cached_property
    def _floors(self) -> tuple[float, float]:
        """The distances of the validation images to as many training images of the same classes."""
        return self._distances(self.val / self.scale, self.train[self.matched] / self.scale)

    def _distances(self, real: Features, other: Features) -> tuple[float, float]:
        rng = np.random.default_rng(self.seed)
        return frechet_distance(real, other), METRICS["kernel"].compute(real, other, rng).value


def match_classes(
    train_label: NDArray[np.int64], val_label: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in `train_label` [N] and in `val_label` [H], [M] each, with equal numbers of every class.

    Of a class as many are taken as both sides have, evenly spread.
    """
    train, val = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for label in np.unique(val_label).tolist():
        sides = np.flatnonzero(train_label == label), np.flatnonzero(val_label == label)
        number = min(map(len, sides))
        train.append(spread(sides[0], number))
        val.append(spread(sides[1], number))
    return np.concatenate(train), np.concatenate(val)


def spread(members: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """At most `number` of the members, evenly spread."""
    chosen: NDArray[np.int64] = members[np.linspace(0, len(members) - 1, min(number, len(members))).astype(int)]
    return chosen
