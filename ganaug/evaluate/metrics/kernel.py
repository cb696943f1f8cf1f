"""The kernel distance (polynomial MMD²) between two sets of features; on Inception features it is KID."""

import numpy as np

from ganaug.errors import DataError
from ganaug.evaluate.metrics.metric import Features, Figure, Metric


def kernel_distance(
    x: Features, y: Features, *, num_subsets: int = 100, subset_size: int = 1000, rng: np.random.Generator
) -> tuple[float, float]:
    """Mean and standard deviation over random subsets of the unbiased MMD² of `x` [N,D] and `y` [M,D].

    The kernel is (a·b / D + 1)³. A subset holds min(N, M, subset_size) images of each side, drawn without replacement;
    where that is all of both, one subset is taken, as all would be equal. Unbiased at every size, so it can be slightly
    negative for equal distributions. Raises DataError where a side has fewer than 2 images.
    Source: Bińkowski et al. 2018 (1801.01401), section 4 and equation 4.

    >>> kernel_distance(np.zeros((5, 1)), np.ones((5, 1)), rng=np.random.default_rng(0))  # 1 + 2**3 - 2 * 1
    (7.0, 0.0)
    """
    size = min(len(x), len(y), subset_size)
    if size < 2:
        raise DataError(f"{len(x)} and {len(y)} images", expected="at least 2 on each side, to compare pairs")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if size == len(x) == len(y):
        return _mmd2(x, y), 0.0
    values = [
        _mmd2(x[rng.choice(len(x), size, replace=False)], y[rng.choice(len(y), size, replace=False)])
        for _ in range(num_subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def _mmd2(x: Features, y: Features) -> float:
    """The unbiased estimate for two sides of equal size: pairs of an image with itself are left out within a side."""
    size = len(x)
    within = _kernel(x, x), _kernel(y, y)
    pairs = sum(float(kernel.sum() - np.trace(kernel)) for kernel in within) / (size * (size - 1))
    return pairs - 2 * float(_kernel(x, y).mean())


def _kernel(x: Features, y: Features) -> Features:
    kernel: Features = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


KERNEL = Metric(
    name="kernel",
    compute=lambda real, synthetic, rng: Figure(*kernel_distance(real, synthetic, rng=rng)),
    higher_is_better=False,
    needs=8,  # our choice
    source="Bińkowski et al. 2018 (1801.01401), section 4 and equation 4",
)
