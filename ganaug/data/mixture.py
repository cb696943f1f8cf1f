"""A training set put together from several files, without copying any: real images, repeats of them, synthetic ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ganaug.errors import DataError


class PixelReader(Protocol):
    """Anything that gives u8 [n,H,W,3] for indices i64 [n]: an array or an ImageReader."""

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Mixture:
    """PixelReader of one size from several places under one numbering: `mixture[indices]` gives u8 [n,H,W,3]."""

    sources: tuple[PixelReader, ...]
    source: NDArray[np.int64]  # i64 [n], which of the sources holds an image
    index: NDArray[np.int64]  # i64 [n], where in it
    labels: NDArray[np.int64]  # i64 [n]

    @staticmethod
    def of(parts: Sequence[tuple[PixelReader, NDArray[np.int64], NDArray[np.int64]]]) -> "Mixture":
        """The images of all parts in order; a part is images, indices i64 [n] into them, and their labels i64 [n]."""
        for _, indices, labels in parts:
            assert len(indices) == len(labels), f"{len(indices)} images with {len(labels)} labels"
        return Mixture(
            sources=tuple(images for images, _, _ in parts),
            source=np.repeat(np.arange(len(parts)), [len(indices) for _, indices, _ in parts]),
            index=np.concatenate([indices for _, indices, _ in parts]).astype(np.int64),
            labels=np.concatenate([labels for _, _, labels in parts]).astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        indices = np.asarray(indices, dtype=np.int64)
        source, index = self.source[indices], self.index[indices]
        used = np.unique(source)
        pieces = [self.sources[number][index[source == number]] for number in used]
        # The pieces stand source by source; put every image back where it was asked for.
        place = np.concatenate([np.flatnonzero(source == number) for number in used])
        return np.concatenate(pieces)[np.argsort(place)]


def repeat_to(
    indices: NDArray[np.int64],
    labels: NDArray[np.int64],
    counts_per_class: NDArray[np.int64],
    rng: np.random.Generator,
    class_names: Sequence[str],
) -> NDArray[np.int64]:
    """Repeat images until class k has `counts_per_class[k]` of them: i64 [sum of counts], class by class.

    indices and labels are i64 [n]. Of m images each is taken n // m times, and n % m at random once more.
    Raises DataError where a class that is asked for has no image.
    """
    chosen = []
    for label, count in enumerate(counts_per_class.tolist()):
        members = indices[labels == label]
        if count and not len(members):
            raise DataError(
                f"class {class_names[label]} has no image to repeat", expected=f"at least one for {count} images"
            )
        if count:
            rest = rng.choice(members, count % len(members), replace=False)
            chosen.append(np.concatenate([np.tile(members, count // len(members)), rest]))
    return np.concatenate(chosen) if chosen else np.empty(0, np.int64)


def draw(
    labels: NDArray[np.int64], counts_per_class: NDArray[np.int64], rng: np.random.Generator, class_names: Sequence[str]
) -> NDArray[np.int64]:
    """Draw `counts_per_class[k]` images of each class k without replacement: positions in `labels`, class by class.

    Raises DataError, with the number needed, where a class has fewer.
    """
    available = np.bincount(labels, minlength=len(counts_per_class))
    for label, (count, have) in enumerate(zip(counts_per_class.tolist(), available.tolist())):
        if count > have:
            raise DataError(
                f"{have} synthetic images of class {class_names[label]}",
                expected=f"at least {count}",
                todo=f"run `ganaug synthesize --per-class {max(counts_per_class.tolist())}`",
            )
    members = (np.flatnonzero(labels == label) for label in range(len(counts_per_class)))
    return np.concatenate([rng.choice(those, count, replace=False) for those, count in zip(members, counts_per_class)])
