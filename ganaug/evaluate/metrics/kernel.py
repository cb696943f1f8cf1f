"""The kernel distance (polynomial MMD²) between two sets of features; on Inception features it is KID."""

from math import ceil, sqrt

import numpy as np

from ganaug.evaluate.metrics.checks import require_features, tile_pairs, tiles
from ganaug.evaluate.metrics.metric import Features, Figure, Metric

BLOCK_SIZE = 5000  # images per side of which all pairs are taken
_FEWEST = 3  # without one of them a pair is left


def kernel_distance(
    x: Features, y: Features, *, block_size: int = BLOCK_SIZE, rng: np.random.Generator
) -> tuple[float, float]:
    """The unbiased MMD² of `x` [N,D] and `y` [M,D] under the kernel (a·b / D + 1)³, and its standard error.

    Where N and M are at most `block_size`, all pairs of all images are taken and nothing is drawn: this is what KID's
    mean over random subsets tends to as their number grows, and at N = M equals it on a subset of all. Above, both
    sides are split at random into as few disjoint blocks as keep to `block_size`, and the value is the mean over
    blocks. Unbiased at every size, so it can be slightly negative for equal distributions.

    The standard error is the jackknife's, over images of both sides; over blocks, which are independent, it adds up by
    squares. The standard deviation over random subsets that KID is printed with is no standard error of its mean: it is
    the spread of one subset, and grows as the subset shrinks. For equal distributions the jackknife is up to √2 times
    too large. It takes images as independent; of patients with several images it is too small, and the interval by
    patients is the one to trust.

    Raises DataError where a side has fewer than 3 images, or a feature is NaN or infinite.
    Source: Bińkowski et al. 2018 (1801.01401), section 4 and equation 4; Arvesen 1969 for the jackknife of two samples.

    >>> kernel_distance(np.zeros((5, 1)), np.ones((5, 1)), rng=np.random.default_rng(0))  # 1 + 2**3 - 2 * 1
    (7.0, 0.0)
    """
    x, y = require_features(x, y, at_least=_FEWEST, why="to leave a pair when one is left out")
    num_blocks = min(ceil(max(len(x), len(y)) / block_size), min(len(x), len(y)) // _FEWEST)
    if num_blocks <= 1:
        return _mmd2(x, y)
    blocks_x, blocks_y = (np.array_split(rng.permutation(len(side)), num_blocks) for side in (x, y))
    values, errors = zip(*(_mmd2(x[in_x], y[in_y]) for in_x, in_y in zip(blocks_x, blocks_y, strict=True)), strict=True)
    return float(np.mean(values)), sqrt(float(np.mean(np.square(errors))) / num_blocks)


def polynomial_kernel(x: Features, y: Features) -> Features:
    """The kernel (a·b / D + 1)³ of each row of `x` [N,D] with each of `y` [M,D], as [N,M]."""
    kernel: Features = x @ y.T
    kernel /= x.shape[1]
    kernel += 1
    kernel *= kernel * kernel
    return kernel


def _mmd2(x: Features, y: Features) -> tuple[float, float]:
    """The unbiased estimate and its jackknife standard error; pairs of an image with itself are left out."""
    n, m = len(x), len(y)
    within_x, within_y = _sums_within(x), _sums_within(y)
    of_x, of_y = _sums_across(x, y)
    sum_x, sum_y, sum_across = float(within_x.sum()), float(within_y.sum()), float(of_x.sum())
    mean_x, mean_y = sum_x / (n * (n - 1)), sum_y / (m * (m - 1))
    value = mean_x + mean_y - 2 * sum_across / (n * m)
    without_x = (sum_x - 2 * within_x) / ((n - 1) * (n - 2)) - 2 * (sum_across - of_x) / ((n - 1) * m)
    without_y = (sum_y - 2 * within_y) / ((m - 1) * (m - 2)) - 2 * (sum_across - of_y) / (n * (m - 1))
    variance = (n - 1) * float(without_x.var()) + (m - 1) * float(without_y.var())
    return value, sqrt(variance)


def _sums_within(x: Features) -> Features:
    """The sum over the kernels of each image with all others of its side, [N]."""
    sums = np.zeros(len(x))
    for rows, columns in tile_pairs(len(x)):
        kernel = polynomial_kernel(x[rows], x[columns])
        if rows == columns:
            np.fill_diagonal(kernel, 0.0)
        else:
            sums[columns] += kernel.sum(axis=0)
        sums[rows] += kernel.sum(axis=1)
    return sums


def _sums_across(x: Features, y: Features) -> tuple[Features, Features]:
    """The sum over the kernels of each image with all of the other side, [N] and [M]."""
    of_x, of_y = np.zeros(len(x)), np.zeros(len(y))
    for rows in tiles(len(x)):
        for columns in tiles(len(y)):
            kernel = polynomial_kernel(x[rows], y[columns])
            of_x[rows] += kernel.sum(axis=1)
            of_y[columns] += kernel.sum(axis=0)
    return of_x, of_y


KERNEL = Metric(
    name="kernel",
    compute=lambda real, synthetic, rng: Figure(*kernel_distance(real, synthetic, rng=rng)),
    higher_is_better=False,
    needs=8,  # our choice
    source="Bińkowski et al. 2018 (1801.01401), section 4 and equation 4",
)
