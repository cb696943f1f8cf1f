"""The images that are looked at: a sample of each class, read in blocks."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.judged import ImageSet

MAX_PER_CLASS = 200  # images of each class that are read, evenly spaced over the set
PIXELS_PER_BLOCK = 2**21  # read at a time: 24 MiB as float32 in three colours


def sample(images: ImageSet, num_classes: int) -> NDArray[np.int64]:
    """Positions of at most MAX_PER_CLASS images of each class, class by class."""
    parts = [np.zeros(0, np.int64)]
    for label in range(num_classes):
        positions = images.of_class(label)
        if len(positions) > MAX_PER_CLASS:
            positions = positions[np.linspace(0, len(positions) - 1, MAX_PER_CLASS).round().astype(np.int64)]
        parts.append(positions)
    return np.concatenate(parts)


def are_alike(values: NDArray[Any], tolerance: float) -> bool:
    """Whether images [n,...] differ by no more than `tolerance` anywhere; False for a single one."""
    return len(values) > 1 and bool((values.max(0) - values.min(0) <= tolerance).all())


def blocks(images: ImageSet, positions: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """The images at these positions in order, u8 [n,H,W,3] at a time."""
    if not len(positions):
        return
    side = images.pixels(positions[:1]).shape[1]
    size = max(1, PIXELS_PER_BLOCK // side**2)
    for start in range(0, len(positions), size):
        yield images.pixels(positions[start : start + size])
