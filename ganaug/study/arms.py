"""What each arm of the study trains on: one function an arm, and what it is there for."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ganaug.config.choices import BASELINE, CONTROL, SYNTHETIC_ONLY, TREATMENT
from ganaug.data.dataset import DataSet
from ganaug.data.mixture import Mixture, draw, repeat_to
from ganaug.data.schema import ImageReader
from ganaug.errors import ConfigError


@dataclass(frozen=True)
class Context:
    """The images one (fold, seed) offers to every arm, and the generator of whatever is drawn from them."""

    dataset: DataSet
    fold: int
    train: np.ndarray  # i64 [n], the training images of the fold
    synthetic: ImageReader
    synthetic_labels: np.ndarray  # i64, of every image of the synthetic file
    ratio: float  # synthetic images per real one
    rng: np.random.Generator

    @property
    def real_labels(self) -> np.ndarray:
        return self.dataset.table.label[self.train]

    @property
    def real_counts(self) -> np.ndarray:
        return self.dataset.table.class_counts(self.train)

    @property
    def added_counts(self) -> np.ndarray:
        """How many images each class gains in the enlarged arms, i64 [K]."""
        return np.rint(self.ratio * self.real_counts).astype(np.int64)


def real(context: Context) -> Mixture:
    return Mixture.of([_real(context, context.train)])


def real_oversampled(context: Context) -> Mixture:
    counts = context.real_counts + context.added_counts
    names = context.dataset.table.class_names
    return Mixture.of([_real(context, repeat_to(context.train, context.real_labels, counts, context.rng, names))])


def real_and_synthetic(context: Context) -> Mixture:
    return Mixture.of([_real(context, context.train), _drawn(context)])


def synthetic_only(context: Context) -> Mixture:
    return Mixture.of([_drawn(context)])


def _real(context: Context, indices: np.ndarray) -> tuple[ImageReader, np.ndarray, np.ndarray]:
    return context.dataset.images(context.fold), indices, context.dataset.table.label[indices]


def _drawn(context: Context) -> tuple[ImageReader, np.ndarray, np.ndarray]:
    names = context.dataset.table.class_names
    without = [name for name, added in zip(names, context.added_counts.tolist()) if not added]
    if without:
        raise ConfigError(
            f"--ratio {context.ratio:g} adds no image of {', '.join(without)} in fold {context.fold}",
            expected="at least one of every class",
            todo="use a larger --ratio",
        )
    chosen = draw(context.synthetic_labels, context.added_counts, context.rng, names)
    return context.synthetic, chosen, context.synthetic_labels[chosen]


@dataclass(frozen=True)
class Arm:
    """One way of filling the training set."""

    compose: Callable[[Context], Mixture]
    uses_synthetic: bool  # whether another synthetic file makes this another experiment
    meaning: str  # for the reader of the report


ARMS: dict[str, Arm] = {
    BASELINE: Arm(real, False, "the real training images of the fold; the baseline"),
    CONTROL: Arm(
        real_oversampled,
        False,
        "as many images of each class as in real+synthetic, the added ones being repeats of real ones; "
        "the control: it holds nothing new, so whatever it gains does not come from the generator",
    ),
    TREATMENT: Arm(real_and_synthetic, True, "the real training images and images drawn from the generator"),
    SYNTHETIC_ONLY: Arm(
        synthetic_only, True, "the drawn images alone; how much of the task the generator has taken over"
    ),
}
