"""The classes that a row is about, and equal numbers of images of each on both of its sides."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.comparison.halves import draw_per_class
from ganaug.evaluate.judged import ImageSet, Judged
from ganaug.evaluate.scores import ALL

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Scope:
    """A class, or all of them together: places of its images in the sets of `Judged`."""

    class_name: str  # or ALL
    label: int | None  # None for all of them
    real: Indices  # of the training images
    synthetic: Indices  # over all classes those that are in the real class proportions
    skipped: tuple[str, ...] = ()  # classes that the row over all of them leaves out: a side has no image


def list_scopes(judged: Judged, rng: np.random.Generator) -> list[Scope]:
    """All classes together, then each class."""
    num_classes = len(judged.class_names)
    real, made = judged.train.counts(num_classes), judged.synthetic.counts(num_classes)
    present = (real > 0) & (made > 0)
    factor = (made[present] / real[present]).min() if present.any() else 0.0
    counts = np.where(present, np.floor(real * factor + 1e-9), 0).astype(np.int64)
    together = Scope(
        ALL,
        label=None,
        real=np.flatnonzero(present[judged.train.label]),
        synthetic=draw_per_class(judged.synthetic.label, counts, rng),
        skipped=tuple(name for name, here in zip(judged.class_names, present.tolist(), strict=True) if not here),
    )
    of_classes = [
        Scope(name, label, judged.train.of_class(label), judged.synthetic.of_class(label))
        for label, name in enumerate(judged.class_names)
    ]
    return [together, *of_classes]


def number_patients(group: NDArray[np.str_]) -> Indices:
    """The patient of each image as a number, [n], in the order of first appearance: no figure depends on names."""
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    order: Indices = first.argsort().argsort()
    return order[inverse.reshape(-1)]


def match_counts(sets: list[ImageSet], num_classes: int, rng: np.random.Generator) -> list[Indices]:
    """Places in each set of as many images of each class as the set with the fewest of them has.

    A set has a random stream of its own: what is drawn from it depends on the other sets by these numbers only.
    """
    counts = np.min([images.counts(num_classes) for images in sets], axis=0)
    streams = zip(sets, rng.spawn(len(sets)), strict=True)
    return [draw_per_class(images.label, counts, stream) for images, stream in streams]
