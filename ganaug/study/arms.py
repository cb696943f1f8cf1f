"""The arms of a study: the training images of each, what decides them, and what each is there for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from classifiers.config import ClassicalAugmentation
from ganaug.config.choices import BASELINE, CONTROL, SYNTHETIC_ONLY, TREATMENT
from ganaug.data.dataset import DataSet
from ganaug.data.mixture import Mixture, draw, repeat_to
from ganaug.data.schema import ImageReader, read_table
from ganaug.errors import ConfigError
from ganaug.study.guard import AdmittedSupply

Labelled = tuple[ImageReader, NDArray[np.int64], NDArray[np.int64]]  # images, indices into them, and their labels
Dependency = Literal["ratio", "synthetic"]  # the option --ratio, the content of the synthetic file
MOST_ADDED = 1000  # images per real one


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
    return _repeat_real(context, context.real_counts + context.added_counts)


def compose_real_weighted(context: Context) -> Mixture:
    return _repeat_real(context, np.full_like(context.real_counts, context.real_counts.max()))


def compose_real_and_synthetic(context: Context) -> Mixture:
    return Mixture.of([_take_real(context, context.train), _draw_synthetic(context, context.added_counts)])


def compose_balanced(context: Context) -> Mixture:
    real = context.real_counts
    full = real.max() + round(context.ratio * real.sum() / len(real))
    return Mixture.of([_take_real(context, context.train), _draw_synthetic(context, full - real)])


def compose_shuffled(context: Context) -> Mixture:
    images, drawn, labels = _draw_synthetic(context, context.added_counts)
    return Mixture.of([_take_real(context, context.train), (images, drawn, context.rng.permutation(labels))])


def compose_synthetic_only(context: Context) -> Mixture:
    return Mixture.of([_draw_synthetic(context, context.added_counts)])


def _take_real(context: Context, indices: NDArray[np.int64]) -> Labelled:
    return context.dataset.images(context.supply.fold), indices, context.dataset.table.label[indices]


def _repeat_real(context: Context, counts: NDArray[np.int64]) -> Mixture:
    names = context.dataset.table.class_names
    return Mixture.of([_take_real(context, repeat_to(context.train, context.real_labels, counts, context.rng, names))])


def _draw_synthetic(context: Context, counts: NDArray[np.int64]) -> Labelled:
    names, path = context.dataset.table.class_names, context.supply.synthetic
    without = [name for name, added in zip(names, counts.tolist(), strict=True) if not added]
    if without:
        raise ConfigError(
            f"--ratio {context.ratio:g} adds no image of {', '.join(without)} in fold {context.supply.fold}",
            expected="at least one of every class",
            todo="use a larger --ratio",
        )
    labels = read_table(path).label
    drawn = draw(labels, counts, context.rng, names)
    return ImageReader(path), drawn, labels[drawn]


@dataclass(frozen=True)
class Arm:
    """One way of filling the training set."""

    name: str
    compose: Callable[[Context], Mixture]
    depends_on: tuple[Dependency, ...]  # what makes it another experiment when it changes, as do data, fold and seed
    meaning: str  # for the reader of the report
    ratio: float | None = None  # of its own, in place of --ratio
    classical_augmentation: ClassicalAugmentation | None = None  # of its own, in place of the study's
    fills: float = 0.0  # images that it may add in addition to its ratio, per real one of the largest class

    def ratio_of(self, study: float) -> float:
        """Images that the arm adds per real one, in a study with this --ratio."""
        return study if self.ratio is None else self.ratio


_ARMS = (
    Arm(BASELINE, compose_real, (), "the real training images of the fold; the baseline"),
    Arm(
        CONTROL,
        compose_real_oversampled,
        ("ratio",),
        "as many images of each class as in real+synthetic, the added ones being repeats of real ones; "
        "the control: it holds nothing new, so whatever it gains does not come from the generator",
    ),
    Arm(
        TREATMENT,
        compose_real_and_synthetic,
        ("ratio", "synthetic"),
        "the real training images and images drawn from the generator",
    ),
    Arm(
        SYNTHETIC_ONLY,
        compose_synthetic_only,
        ("ratio", "synthetic"),
        "the drawn images alone; how much of the task the generator has taken over",
    ),
    Arm(
        "real-weighted",
        compose_real_weighted,
        (),
        "the real training images, those of rarer classes repeated until all classes have as many",
    ),
    Arm(
        "real-classical",
        compose_real,
        (),
        "the real training images under strong classical augmentation, which also varies the stain",
        classical_augmentation="strong",
    ),
    Arm(
        "real+synthetic-balanced",
        compose_balanced,
        ("ratio", "synthetic"),
        "the real training images and more drawn ones of rarer classes, so that all classes have as many",
        fills=1.0,
    ),
    Arm(
        "real+shuffled-synthetic",
        compose_shuffled,
        ("ratio", "synthetic"),
        "real+synthetic with the labels of the drawn images permuted; they teach nothing of the classes, so what this "
        "arm gains is no gain",
    ),
)
ARMS: dict[str, Arm] = {arm.name: arm for arm in _ARMS}


def find_arm(name: str) -> Arm:
    """The arm of a name, as it stands in `ARMS` or with a ratio of its own after an @; raises ConfigError."""
    base, _, ratio = name.partition("@")
    expected = f"{', '.join(ARMS)}; those that add images also with a ratio, such as {TREATMENT}@0.5"
    if base not in ARMS:
        raise ConfigError(f"unknown arm {name!r}", expected=expected)
    arm = ARMS[base]
    if base == name:
        return arm
    try:
        own = float(ratio)
    except ValueError:
        own = 0.0
    if not 0 < own <= MOST_ADDED or "ratio" not in arm.depends_on or f"{own:g}" != ratio:
        raise ConfigError(f"unknown arm {name!r}", expected=expected)
    depends_on = tuple(each for each in arm.depends_on if each != "ratio")
    return replace(arm, name=name, depends_on=depends_on, ratio=own)


def most_added(arms: Iterable[str], ratio: float) -> float:
    """Synthetic images per real one of the largest class, that any of these arms draws in a study with this --ratio."""
    drawing = [find_arm(name) for name in arms]
    return max((arm.ratio_of(ratio) + arm.fills for arm in drawing if "synthetic" in arm.depends_on), default=0.0)


def same_dose(arm: str, base: str) -> str:
    """The name of another arm that adds as many images as `arm` does."""
    _, at, ratio = arm.partition("@")
    return f"{base}{at}{ratio}"
