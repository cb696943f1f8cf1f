"""Intervals of scores and of their differences, from cluster-robust variances, in Wilson's form.

A score varies less the nearer it is to 0 or 1. So a study with lucky generators has a high score and, for that alone, a
small variance: an interval of so many standard errors either side then says "gain" too often, and "loss" too rarely
(simulated with very lucky generators: 4.4 and 1.5 of 100 where 2.5 are meant). Wilson's interval holds what the scores
do not contradict, each candidate with the variance that it would have.
"""

import math
from dataclasses import dataclass

from ganaug.interval import Interval
from ganaug.study.statistics.clustered import Contrast, Part, Spread, spread_of, student_quantile
from ganaug.study.statistics.out_of_fold import OutOfFold

METHOD = "cluster-robust Wilson"
LEAST_SHARED = 0.2  # of the variance, that both scores are taken to have part in


@dataclass(frozen=True)
class Gap:
    """A score, in [0,1], less a baseline, and the variance of this difference where it was measured."""

    score: float
    baseline: float
    variance: Part
    weight: float = 0.0  # the variance that the baseline adds, per the score's, were both alike; 0: it is a constant

    @property
    def estimate(self) -> float:
        return self.score - self.baseline

    @property
    def error_at_zero(self) -> float:
        """The standard error if there were no difference."""
        slope, bend = self._change
        factor = 1 + slope * self.estimate - bend * self.estimate**2
        return math.sqrt(self.variance.variance * max(factor, 0.0))

    def limit_at_zero(self, confidence: float) -> float:
        """How large the difference must be for its interval to exclude zero."""
        return student_quantile((1 + confidence) / 2, self.variance.used_df) * self.error_at_zero

    def interval(self, confidence: float) -> Interval:
        """The differences from which the estimate is within Student's t times the standard error that they have.

        Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference"; of two scores
        Miettinen and Nurminen 1985; with the variance of clusters in place of the binomial one.
        """
        square = self.variance.half_width(confidence) ** 2
        slope, bend = (square * value for value in self._change)
        root = math.sqrt(slope**2 + 4 * square * (1 + bend))
        low, high = (self.estimate - (slope + side * root) / (2 + 2 * bend) for side in (1, -1))
        return Interval(low, high, confidence, METHOD)

    @property
    def _change(self) -> tuple[float, float]:
        """The variance, over the measured one, of a difference that is smaller by x: 1 + a · x − b · x²; gives (a, b).

        Both scores move towards each other as far as their weights say, and vary as p · (1 − p).
        """
        share = 1 / (1 + self.weight)  # of the way that the score goes; the baseline goes the rest
        rest = 1 - share
        whole = self.score * (1 - self.score) + self.weight * self.baseline * (1 - self.baseline)
        if whole == 0:
            return 0.0, 0.0
        slope = self.weight * rest * (1 - 2 * self.baseline) - share * (1 - 2 * self.score)
        return slope / whole, (share**2 + self.weight * rest**2) / whole


def gap_of(contrast: Contrast, tested: OutOfFold, metric: str, spread: Spread | None = None) -> Gap:
    """The contrast as a gap: the arms with weights above zero less the others; `spread` in place of its own.

    What patients vary is shared by all arms; the luck of runs and of generators counts as the first arm's.
    """
    scores = {arm: weight * tested.score(arm, metric) for arm, weight in contrast.weights.items()}
    baseline = -sum(scores[arm] for arm, weight in contrast.weights.items() if weight < 0)
    squares = sum(weight**2 for weight in contrast.weights.values() if weight < 0)
    spread = spread_of(contrast, tested, metric) if spread is None else spread
    shared = max(spread.of_patients, LEAST_SHARED)
    return Gap(sum(scores.values()) + baseline, baseline, spread.total, shared * squares)


def interval_of(contrast: Contrast, tested: OutOfFold, metric: str, confidence: float) -> Interval:
    return gap_of(contrast, tested, metric).interval(confidence)
