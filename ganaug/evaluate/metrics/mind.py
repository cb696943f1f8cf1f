"""MIND: the sliced Wasserstein distance between two sets of features. On trial, as no other work has tested it yet."""

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.metrics.checks import require_features, tiles
from ganaug.evaluate.metrics.metric import Features, Figure, Metric

NUM_PROJECTIONS = 1000  # the most that the paper recommends
_AT_A_TIME = 64  # projections that are held


def mind(x: Features, y: Features, *, rng: np.random.Generator) -> float:
    """3 D times the mean squared 2-Wasserstein distance of `x` [N,D] and `y` [M,D] on NUM_PROJECTIONS random lines.

    On a line the optimal transport pairs the sorted images. The factor D makes up for the length that a line misses: of
    two sets that differ by a shift, 3 |shift|² is expected. No covariance is estimated, so it takes fewer images than
    the Fréchet distance, but as that it grows as N and M shrink.

    The paper takes as many images of each side. Our choice: of unequal N and M every image is used, by the exact
    transport between the two step functions of their quantiles, so that none is drawn. Raises DataError where a side
    has fewer than 2 images, or a feature is NaN or infinite.
    Source: Berthet et al. 2026 (2605.06797).

    >>> real = np.random.default_rng(0).normal(size=(100, 2))
    >>> round(mind(real, real + [3, 4], rng=np.random.default_rng(0)))  # 3 times 25, but for the draw of the lines
    74
    """
    x, y = require_features(x, y, at_least=2, why="to have quantiles")
    in_x, in_y, weight = _pairs(len(x), len(y))
    directions = rng.normal(size=(NUM_PROJECTIONS, x.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    total = 0.0
    for chosen in tiles(NUM_PROJECTIONS, _AT_A_TIME):
        sorted_x, sorted_y = (np.sort(directions[chosen] @ side.T, axis=1) for side in (x, y))
        total += float(((sorted_x[:, in_x] - sorted_y[:, in_y]) ** 2 @ weight).sum())
    return float(3 * x.shape[1] * total / NUM_PROJECTIONS)


def _pairs(n: int, m: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Features]:
    """Which of n sorted values meets which of m in the optimal transport, and how much of the whole mass is moved."""
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # of the steps of both, in units of 1 / (n m)
    starts = np.concatenate([[0], ends[:-1]])
    return starts // m, starts // n, (ends - starts) / (n * m)


MIND = Metric(
    name="mind",
    compute=lambda real, synthetic, rng: Figure(mind(real, synthetic, rng=rng)),
    higher_is_better=False,
    needs=8,  # our choice
    source="Berthet et al. 2026 (2605.06797)",
)
