"""Precision, recall, density and coverage: whether images lie among the nearest neighbours of the other side."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ganaug.errors import DataError
from ganaug.evaluate.metrics.checks import require_features, tile_pairs, tiles
from ganaug.evaluate.metrics.metric import Features, Figure, Metric

NUM_NEIGHBOURS = 5  # k, as Naeem et al. recommend
_SAME = 1e-12  # squared distance, relative to squared lengths, below which two float32 features are the same


@dataclass(frozen=True)
class Neighbours:
    """How two sets of images lie among each other."""

    precision: float  # fraction of synthetic images within the ball of any real one, 0 to 1
    recall: float  # fraction of real images within the ball of any synthetic one, 0 to 1
    density: float  # mean number of real balls that a synthetic image is in, over k; about 1 for equal distributions
    coverage: float  # fraction of real images whose ball holds a synthetic one, 0 to 1


def compare_neighbours(real: Features, synthetic: Features, *, k: int = NUM_NEIGHBOURS) -> Neighbours:
    """All four figures of `real` [N,D] and `synthetic` [M,D] at the price of one.

    The ball of an image reaches to the k-th nearest other image of its own side, its border included. Distances are
    taken in tiles, so memory does not grow with the product of the counts. Recall is that of the balls of synthetic
    images, which single images far from the rest blow up; coverage counts with balls of real images only.

    Raises DataError where a side has fewer than k + 1 images, where a feature is NaN or infinite, and where all real
    images are alike. Synthetic images that are all alike have figures: their balls hold nothing.
    Source: Kynkäänniemi et al. 2019 (1904.06991), equations 1 and 2; Naeem et al. 2020 (2002.09797), section 3.

    >>> real = np.arange(12.0)[:, None]
    >>> found = compare_neighbours(real, real[:6])  # half of the real images, copied
    >>> found.precision, found.coverage
    (1.0, 0.75)
    """
    real, synthetic = require_features(real, synthetic, at_least=k + 1, why=f"for {k} neighbours of each")
    centre = real.mean(0)  # lengths are small around it, and so is their rounding
    radius_real, radius_synthetic = _squared_radii(real, centre, k), _squared_radii(synthetic, centre, k)
    if not radius_real.any():
        raise DataError(
            f"the features of {len(real)} real images do not differ",
            expected="images of which each has neighbours at a distance",
            todo="check the images",
        )
    num_balls = np.zeros(len(synthetic))  # of real images around each synthetic one
    is_recalled, is_covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in tiles(len(real)):
        for columns in tiles(len(synthetic)):
            squared = _squared_distances(real[rows] - centre, synthetic[columns] - centre)
            is_recalled[rows] |= (squared <= radius_synthetic[columns]).any(axis=1)
            is_inside = squared <= radius_real[rows, None]
            is_covered[rows] |= is_inside.any(axis=1)
            num_balls[columns] += is_inside.sum(axis=0)
    return Neighbours(
        precision=float((num_balls > 0).mean()),
        recall=float(is_recalled.mean()),
        density=float(num_balls.mean()) / k,
        coverage=float(is_covered.mean()),
    )


def _squared_radii(x: Features, centre: Features, k: int) -> Features:
    """The squared distance of each image to its k-th nearest other one, [N]."""
    nearest = np.full((len(x), k + 1), np.inf)  # each is its own nearest, at 0
    for rows, columns in tile_pairs(len(x)):
        squared = _squared_distances(x[rows] - centre, x[columns] - centre)
        nearest[rows] = _smallest(nearest[rows], squared)
        if rows != columns:
            nearest[columns] = _smallest(nearest[columns], squared.T)
    return np.asarray(nearest.max(axis=1))


def _smallest(first: Features, second: Features) -> Features:
    """As many of the smallest values of each row of both as the first has."""
    num = first.shape[1]
    return np.partition(np.hstack([first, second]), num - 1, axis=1)[:, :num]


def _squared_distances(x: Features, y: Features) -> Features:
    """Squared distances [n,m]; exactly 0 where they are rounding only, so that a copy lies at no distance."""
    lengths = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)
    squared: Features = x @ y.T
    squared *= -2
    squared += lengths
    lengths *= _SAME
    squared[squared <= lengths] = 0.0
    return squared


def _metric(name: str, question: str, source: str, pick: Callable[[Neighbours], float]) -> Metric:
    def compute(real: Features, synthetic: Features, rng: np.random.Generator) -> Figure:  # it draws nothing
        return Figure(pick(compare_neighbours(real, synthetic)))

    return Metric(
        name=name,
        compute=compute,
        higher_is_better=True,
        needs=4 * NUM_NEIGHBOURS,  # our choice: below, a ball holds a quarter of all images and more
        source=source,
        question=question,
        is_ratio=True,
    )


_kynkaanniemi = "Kynkäänniemi et al. 2019 (1904.06991), equation 2"
_naeem = "Naeem et al. 2020 (2002.09797), section 3"
PRECISION = _metric("precision", "faithful", _kynkaanniemi, lambda found: found.precision)
RECALL = _metric("recall", "diverse", _kynkaanniemi, lambda found: found.recall)
DENSITY = _metric("density", "faithful", _naeem, lambda found: found.density)
COVERAGE = _metric("coverage", "diverse", _naeem, lambda found: found.coverage)
