"""The arms of a study: the training images of each, what decides them, and what each is there for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ganaug.config.choices import BASELINE, CONTROL, SYNTHETIC_ONLY, TREATMENT
from ganaug.data.dataset import DataSet
from ganaug.data.mixture import Mixture, draw, repeat_to
from ganaug.data.schema import ImageReader, read_table
from ganaug.errors import ConfigError
from ganaug.study.guard import AdmittedSupply

Labelled = tuple[ImageReader, NDArray[np.int64], NDArray[np.int64]]  # images, indices into them, and their labels
Dependency = Literal["ratio", "synthetic"]  # the option --ratio, the content of the synthetic file


@dataclass(frozen=True)
class Context:
    """The images that an arm of one (fold, seed) is composed of, and the generator of what is drawn from them."""

    dataset: DataSet
    train: NDArray[np.int64]  # indices [n] of the training images of the fold
    supply: AdmittedSupply
    ratio: float  # images that the arm adds, per real one of the same class
    rng: np.random.Generator

    @property
    def real_labels(self) -> NDArray[np.int64]:
        labels: NDArray[np.int64] = self.dataset.table.label[self.train]
        return labels

    @property
    def real_counts(self) -> NDArray[np.int64]:
        """Real training images per class, [K]."""
        counts: NDArray[np.int64] = self.dataset.table.class_counts(self.train)
        return counts

    @property
    def added_counts(self) -> NDArray[np.int64]:
        """Images that the arm adds per class, [K]."""
        counts: NDArray[np.int64] = np.rint(self.ratio * self.real_counts).astype(np.int64)
        return counts


def compose_real(context: Context) -> Mixture:
    return Mixture.of([_take_real(context, context.train)])


def compose_real_oversampled(context: Context) -> Mixture:
    counts = context.real_counts + context.added_counts
    names = context.dataset.table.class_names
    return Mixture.of([_take_real(context, repeat_to(context.train, context.real_labels, counts, context.rng, names))])


def compose_real_and_synthetic(context: Context) -> Mixture:
    return Mixture.of([_take_real(context, context.train), _draw_synthetic(context)])


def compose_synthetic_only(context: Context) -> Mixture:
    return Mixture.of([_draw_synthetic(context)])


def _take_real(context: Context, indices: NDArray[np.int64]) -> Labelled:
    return context.dataset.images(context.supply.fold), indices, context.dataset.table.label[indices]


def _draw_synthetic(context: Context) -> Labelled:
    names, path = context.dataset.table.class_names, context.supply.synthetic
    without = [name for name, added in zip(names, context.added_counts.tolist(), strict=True) if not added]
    if without:
        raise ConfigError(
            f"--ratio {context.ratio:g} adds no image of {', '.join(without)} in fold {context.supply.fold}",
            expected="at least one of every class",
            todo="use a larger --ratio",
        )
    labels = read_table(path).label
    drawn = draw(labels, context.added_counts, context.rng, names)
    return ImageReader(path), drawn, labels[drawn]


@dataclass(frozen=True)
class Arm:
    """One way of filling the training set."""

    name: str
    compose: Callable[[Context], Mixture]
    depends_on: tuple[Dependency, ...]  # what makes it another experiment when it changes, as do data, fold and seed
    meaning: str  # for the reader of the report
    dose: float  # images added, in units of --ratio


ARMS: dict[str, Arm] = {
    BASELINE: Arm(BASELINE, compose_real, (), "the real training images of the fold; the baseline", dose=0),
    CONTROL: Arm(
        CONTROL,
        compose_real_oversampled,
        ("ratio",),
        "as many images of each class as in real+synthetic, the added ones being repeats of real ones; "
        "the control: it holds nothing new, so whatever it gains does not come from the generator",
        dose=1,
    ),
    TREATMENT: Arm(
        TREATMENT,
        compose_real_and_synthetic,
        ("ratio", "synthetic"),
        "the real training images and images drawn from the generator",
        dose=1,
    ),
    SYNTHETIC_ONLY: Arm(
        SYNTHETIC_ONLY,
        compose_synthetic_only,
        ("ratio", "synthetic"),
        "the drawn images alone; how much of the task the generator has taken over",
        dose=1,
    ),
}
