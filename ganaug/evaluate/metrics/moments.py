"""Mean and covariance of features that arrive in blocks, in memory that does not grow with the images."""

import numpy as np

from ganaug.errors import DataError
from ganaug.evaluate.metrics.checks import tiles
from ganaug.evaluate.metrics.metric import Features

BLOCK = 4096  # images that are copied at a time where all are at hand


class Moments:
    """Count, mean [D] and covariance [D,D] of the blocks that were added, in float64 and two D × D matrices.

    Each block is centred on its own mean before its products are taken, and the means are then merged, so that nothing
    cancels where the mean is large next to the spread.

    Source: Chan, Golub and LeVeque 1983, the pairwise update.
    """

    def __init__(self, num_features: int) -> None:
        self.count = 0
        self.mean: Features = np.zeros(num_features)
        self._scatter: Features = np.zeros((num_features, num_features))  # sum of products about the mean

    def add(self, block: Features) -> None:
        """Take in a block [n,D]; n may differ from block to block."""
        if len(block) == 0:
            return
        block = np.asarray(block, np.float64)
        block_mean = block.mean(0)
        centred = block - block_mean
        total, gap = self.count + len(block), block_mean - self.mean
        self._scatter += centred.T @ centred
        self._scatter += np.outer(gap, gap * (self.count * len(block) / total))
        self.mean = self.mean + gap * (len(block) / total)
        self.count = total

    @property
    def covariance(self) -> Features:
        """The unbiased covariance. Raises DataError for fewer than 2 images."""
        if self.count < 2:
            raise DataError(f"{self.count} images", expected="at least 2, to have a covariance")
        covariance: Features = self._scatter / (self.count - 1)
        return covariance


def moments_of(x: Features) -> Moments:
    """The moments of all rows of `x` [N,D]."""
    moments = Moments(x.shape[1])
    for rows in tiles(len(x), BLOCK):
        moments.add(x[rows])
    return moments
