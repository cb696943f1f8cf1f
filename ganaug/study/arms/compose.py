"""The training images of each arm, composed from those of a fold and from synthetic files."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ganaug.config.choices import LEAKY, ORACLE
from ganaug.data.dataset import DataSet
from ganaug.data.external import ExternalImages
from ganaug.data.mixture import Mixture, draw, repeat_to
from ganaug.data.schema import ImageReader, read_table
from ganaug.errors import ConfigError, DataError
from ganaug.study.admission.guard import AdmittedSupply, LeakySupply

Labelled = tuple[ImageReader, NDArray[np.int64], NDArray[np.int64]]  # images, indices into them, and their labels


@dataclass(frozen=True)
class Context:
    """The images that an arm of one (fold, seed) is composed of, and the generator of what is drawn from them."""

    dataset: DataSet
    train: NDArray[np.int64]  # indices [n] of the real training images
    supply: AdmittedSupply
    ratio: float  # images that the arm adds, per real one of the same class
    rng: np.random.Generator
    rest: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # those held back from `train`
    external: ExternalImages | None = None
    leaky: LeakySupply | None = None  # of another fold's generator, which knows patients under test here

    @property
    def fold(self) -> int:
        return self.supply.fold

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

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.dataset.table.class_names


def compose_real(context: Context) -> Mixture:
    return Mixture.of([_take_real(context, context.train)])


def compose_real_oversampled(context: Context) -> Mixture:
    return _repeat_real(context, context.real_counts + context.added_counts)


def compose_real_weighted(context: Context) -> Mixture:
    return _repeat_real(context, np.full_like(context.real_counts, context.real_counts.max()))


def compose_more_real(context: Context) -> Mixture:
    rest, counts = context.rest, context.added_counts
    have = context.dataset.table.class_counts(rest)
    counts = np.where(counts == have + 1, have, counts)  # half of an odd number
    if (have < counts).any():
        short = int(np.argmax(counts - have))
        largest = 1 / (1 + context.ratio)
        raise DataError(
            f"{ORACLE} in fold {context.fold}: {have[short]} real images of {context.class_names[short]} are held back",
            expected=f"at least {counts[short]}, which is {context.ratio:g} times as many as it trains on",
            todo=f"name a smaller fraction, such as {ORACLE}/{largest:.2g}, or a smaller ratio",
        )
    drawn = draw(context.dataset.table.label[rest], counts, context.rng, context.class_names)
    return Mixture.of([_take_real(context, context.train), _take_real(context, rest[drawn])])


def compose_real_and_synthetic(context: Context) -> Mixture:
    return Mixture.of([_take_real(context, context.train), _draw_synthetic(context, context.added_counts)])


def compose_balanced(context: Context) -> Mixture:
    real = context.real_counts
    full = real.max() + round(context.ratio * real.sum() / len(real))
    return Mixture.of([_take_real(context, context.train), _draw_synthetic(context, full - real)])


def compose_filtered(context: Context) -> Mixture:
    accepted = context.supply.accepted
    assert accepted is not None, "a supply that was not filtered"
    added = _draw_synthetic(context, context.added_counts, accepted)
    return Mixture.of([_take_real(context, context.train), added])


def compose_shuffled(context: Context) -> Mixture:
    images, drawn, labels = _draw_synthetic(context, context.added_counts)
    return Mixture.of([_take_real(context, context.train), (images, drawn, context.rng.permutation(labels))])


def compose_external(context: Context) -> Mixture:
    images, counts = context.external, context.added_counts
    assert images is not None, "an arm of external images without any"
    labels = read_table(images.path).label
    have = np.bincount(labels, minlength=len(counts))
    if (have < counts).any():
        short = int(np.argmax(counts - have))
        raise DataError(
            f"{images.name} holds {have[short]} images of {context.class_names[short]}",
            expected=f"at least {counts[short]}, which is {context.ratio:g} times as many as fold {context.fold} has",
            todo="generate more, or use a smaller ratio",
        )
    drawn = draw(labels, counts, context.rng, context.class_names)
    return Mixture.of([_take_real(context, context.train), (ImageReader(images.path), drawn, labels[drawn])])


def compose_leaky(context: Context) -> Mixture:
    if context.leaky is None:
        raise ConfigError(
            f"{LEAKY} in fold {context.fold}",
            expected="a generator of another studied fold, which knows patients under test here",
            todo="study two folds or more",
        )
    added = _draw_from(context, context.leaky.supply, context.added_counts)
    return Mixture.of([_take_real(context, context.train), added])


def compose_synthetic_only(context: Context) -> Mixture:
    return Mixture.of([_draw_synthetic(context, context.added_counts)])


def _take_real(context: Context, indices: NDArray[np.int64]) -> Labelled:
    return context.dataset.images(context.fold), indices, context.dataset.table.label[indices]


def _repeat_real(context: Context, counts: NDArray[np.int64]) -> Mixture:
    repeated = repeat_to(context.train, context.real_labels, counts, context.rng, context.class_names)
    return Mixture.of([_take_real(context, repeated)])


def _draw_synthetic(context: Context, counts: NDArray[np.int64], accepted: NDArray[np.bool_] | None = None) -> Labelled:
    return _draw_from(context, context.supply, counts, accepted)


def _draw_from(
    context: Context,
    supply: AdmittedSupply,
    counts: NDArray[np.int64],
    accepted: NDArray[np.bool_] | None = None,
) -> Labelled:
    """Synthetic images, as many per class as `counts` [K] says; of those `accepted` [N] alone, where it is given."""
    without = [name for name, added in zip(context.class_names, counts.tolist(), strict=True) if not added]
    if without:
        raise ConfigError(
            f"--ratio {context.ratio:g} adds no image of {', '.join(without)} in fold {context.fold}",
            expected="at least one of every class",
            todo="use a larger --ratio",
        )
    labels = read_table(supply.synthetic).label
    places = np.arange(len(labels)) if accepted is None else np.flatnonzero(accepted)
    drawn = places[draw(labels[places], counts, context.rng, context.class_names)]
    return ImageReader(supply.synthetic), drawn, labels[drawn]
