"""The Vendi score: how many different images a set of images is worth."""

import numpy as np

from ganaug.errors import DataError
from ganaug.evaluate.metrics.checks import require_features, tiles
from ganaug.evaluate.metrics.metric import Features, Figure, Metric


def vendi_score(x: Features) -> float:
    """exp of the entropy of the eigenvalues of K / n, K the cosines between the images of `x` [n,D]; 1 to min(n, D).

    1 for images that are all alike, n for n images whose features are orthogonal. No real image enters: it is read as a
    ratio to the score of as many real images, since it grows with n. The eigenvalues are those of the smaller of the
    n × n and the D × D matrix. Raises DataError where a feature is NaN or infinite, or where an image's are all zero,
    which has no direction.
    Source: Friedman and Dieng 2022 (2210.02410), definition 3.1.

    >>> round(vendi_score(np.eye(4)), 6)
    4.0
    """
    x, _ = require_features(x, x, at_least=1, why="to have a direction")
    lengths = np.linalg.norm(x, axis=1)
    if not lengths.all():
        num_zero = int(np.count_nonzero(lengths == 0))
        raise DataError(
            f"the features of {num_zero} of {len(x)} images are all zero",
            expected="features with a direction, to have a cosine",
            todo="check the images",
        )
    if len(x) <= x.shape[1]:
        unit = x / lengths[:, None]
        kernel = unit @ unit.T
    else:
        kernel = np.zeros((x.shape[1], x.shape[1]))
        for rows in tiles(len(x)):
            unit = x[rows] / lengths[rows, None]
            kernel += unit.T @ unit
    values = np.linalg.eigvalsh(kernel) / len(x)
    values = values[values > 0]  # rounding brings zeros below it
    return float(np.exp(-(values * np.log(values)).sum()))


VENDI = Metric(
    name="vendi",
    compute=lambda real, synthetic, rng: Figure(vendi_score(synthetic)),  # it draws nothing
    higher_is_better=True,
    needs=8,  # our choice
    source="Friedman and Dieng 2022 (2210.02410), definition 3.1",
    question="diverse",
    is_ratio=True,
)
