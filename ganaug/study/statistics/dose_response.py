"""How scores go with the number of real images, and how many of these the synthetic ones are worth."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.study.statistics.clustered import Contrast
from ganaug.study.statistics.intervals import interval_of
from ganaug.study.statistics.out_of_fold import OutOfFold
from ganaug.study.statistics.paired import score_resamples

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """A score or a difference at one amount, with its interval, in units of the metric."""

    amount: float  # a fraction of the real images, or images added per real one
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Worth:
    """The fraction of the real images that would score as a smaller one does with synthetic images added."""

    fraction: float  # of the real images, with synthetic ones
    equals: float  # of the real images, alone; 1: as good as all of them, or better
    low: float  # by bootstrap
    high: float


def trace(tested: OutOfFold, arms: Mapping[float, str], metric: str, confidence: float) -> tuple[Point, ...]:
    """The scores of arms by their amount, each with its own interval."""
    points = []
    for amount, arm in sorted(arms.items()):
        contrast = Contrast({arm: 1.0})
        value = contrast.estimate(tested, metric)
        points.append(Point(amount, value, *interval_of(contrast, tested, metric, confidence).bounds))
    return tuple(points)


def find_worth(
    tested: OutOfFold,
    weights: Floats,
    *,
    real: Mapping[float, str],
    treated: Mapping[float, str],
    metric: str,
    confidence: float,
) -> tuple[Worth, ...]:
    """What synthetic images are worth at each fraction below one, in the fraction of real images that scores alike.

    real, treated: arms by their fraction of the real images. Read from the line through the scores of real images,
    over the logarithm of their fraction, which is made to rise; of the resamples `weights` [R, P·S, G] the percentiles.
    """
    fractions = np.array(sorted(real))
    drawn_scores = score_resamples(tested, weights, metric)
    alone = np.stack([drawn_scores[real[f]] for f in fractions], axis=1)
    estimate = np.array([tested.score(real[f], metric) for f in fractions])
    tail, found = (1 - confidence) / 2, []
    for fraction in sorted(set(treated) & set(real) - {1.0}):
        arm = treated[fraction]
        drawn = [_read_off(fractions, line, float(score)) for line, score in zip(alone, drawn_scores[arm], strict=True)]
        low, high = np.quantile(drawn, [tail, 1 - tail]).tolist()
        found.append(Worth(fraction, _read_off(fractions, estimate, tested.score(arm, metric)), low, high))
    return tuple(found)


def _read_off(fractions: Floats, scores: Floats, score: float) -> float:
    """The fraction at which real images alone reach a score: from the smallest of `fractions` to the largest."""
    rising = np.maximum.accumulate(scores)
    logs = np.log(fractions)
    reached = np.flatnonzero(rising >= score)
    if len(reached) == 0:
        return float(fractions[-1])
    after = int(reached[0])
    if after == 0:
        return float(fractions[0])
    below, above = rising[after - 1], rising[after]
    share = (score - below) / (above - below)
    return float(np.exp(logs[after - 1] + share * (logs[after] - logs[after - 1])))
