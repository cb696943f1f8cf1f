"""Intervals of scores and of their differences, from cluster-robust variances, in Wilson's form.

A score varies less the nearer it is to 0 or 1. So a study with lucky generators has a high score and, for that alone, a
small variance: an interval of so many standard errors either side then says "gain" too often, and "loss" too rarely
(simulated with very lucky generators: 4.4 and 1.5 of 100 where 2.5 are meant). Wilson's interval holds what the score
does not contradict, each candidate with the variance that it would have.
"""

import math
from dataclasses import dataclass

from ganaug.interval import Interval
from ganaug.study.statistics.clustered import Contrast, Part, spread_of, student_quantile
from ganaug.study.statistics.out_of_fold import OutOfFold

METHOD = "cluster-robust Wilson"


@dataclass(frozen=True)
class Gap:
    """A score, in [0,1], less a baseline, and the variance of this difference where it was measured."""

    score: float
    baseline: float
    variance: Part

    @property
    def estimate(self) -> float:
        return self.score - self.baseline

    @property
    def error_at_zero(self) -> float:
        """The standard error if there were no difference; the measured one where a score is 0 or 1."""
        own, null = self.score * (1 - self.score), self.baseline * (1 - self.baseline)
        return math.sqrt(self.variance.variance * (null / own if own > 0 and null > 0 else 1.0))

    def limit_at_zero(self, confidence: float) -> float:
        """How large the difference must be for its interval to exclude zero."""
        return student_quantile((1 + confidence) / 2, self.variance.used_df) * self.error_at_zero

    def interval(self, confidence: float) -> Interval:
        """The differences d for which the score is within Student's t times the standard error that it has at d.

        Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference", with the variance
        of clusters in place of the binomial one.
        """
        half, own = self.variance.half_width(confidence), self.score * (1 - self.score)
        low, high = self.score - half, self.score + half
        if own > 0:
            scale = half**2 / own
            root = math.sqrt(scale**2 + 4 * scale * own)
            low, high = ((2 * self.score + scale + side * root) / (2 + 2 * scale) for side in (-1, 1))
        return Interval(low - self.baseline, high - self.baseline, confidence, METHOD)


def gap_of(contrast: Contrast, tested: OutOfFold, metric: str, variance: Part | None = None) -> Gap:
    """The contrast as a gap: the arms with weights above zero less the others; `variance` in place of all of it."""
    parts = {arm: weight * tested.score(arm, metric) for arm, weight in contrast.weights.items()}
    score = sum(part for part in parts.values() if part > 0)
    variance = spread_of(contrast, tested, metric).total if variance is None else variance
    return Gap(score, score - sum(parts.values()), variance)


def interval_of(contrast: Contrast, tested: OutOfFold, metric: str, confidence: float) -> Interval:
    return gap_of(contrast, tested, metric).interval(confidence)
