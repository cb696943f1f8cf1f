"""The check of features that all metrics make, and the tiles that keep their memory bounded."""

from collections.abc import Iterator

import numpy as np

from ganaug.errors import DataError
from ganaug.evaluate.metrics.metric import Features

TILE_ROWS = 2048  # images whose distances or kernels are held at a time, on each side: 32 MiB per matrix


def require_features(x: Features, y: Features, *, at_least: int, why: str) -> tuple[Features, Features]:
    """`x` [N,D] and `y` [M,D] as float64, without a copy where they are that already.

    Raises DataError where the two are no features of one extractor, where a side has fewer than `at_least` images
    (`why` ends the sentence: to have a covariance), or where a feature is NaN or infinite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or x.shape[1] == 0:
        raise DataError(
            f"features of shape {x.shape} and {y.shape}", expected="[N,D] and [M,D]", todo="take one extractor for both"
        )
    if min(len(x), len(y)) < at_least:
        raise DataError(f"{len(x)} and {len(y)} images", expected=f"at least {at_least} on each side, {why}")
    bad = _num_bad(x), _num_bad(y)
    if any(bad):
        raise DataError(
            f"NaN or infinite features in {bad[0]} of {len(x)} and in {bad[1]} of {len(y)} images",
            expected="finite numbers",
            todo="check the images and the extractor's weights",
        )
    return x, y


def tiles(num: int, size: int = TILE_ROWS) -> Iterator[slice]:
    """Slices of `size` that cover 0 to `num`; the last may be shorter."""
    for start in range(0, num, size):
        yield slice(start, min(start + size, num))


def tile_pairs(num: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the tiles on and above the diagonal of a symmetric matrix of `num` rows."""
    for rows in tiles(num):
        for columns in tiles(num):
            if columns.start >= rows.start:
                yield rows, columns


def _num_bad(x: Features) -> int:
    return sum(int(np.count_nonzero(~np.isfinite(x[rows]).all(axis=1))) for rows in tiles(len(x)))
