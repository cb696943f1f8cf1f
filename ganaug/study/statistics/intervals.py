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
    of_patients: float = 1.0  # fraction of the variance that patients make, and not the luck of runs and generators
    noise: float = 0.0  # of the baseline: the sum over its arms of weight² · s · (1 − s); 0: it is a constant

    @property
    def estimate(self) -> float:
        return self.score - self.baseline

    @property
    def error_at_zero(self) -> float:
        """The standard error if there were no difference."""
        constant, slope = self._variance
        factor = constant + slope * self.baseline * (1 - self.baseline)
        return math.sqrt(self.variance.variance * (factor if factor > 0 else 1.0))

    def limit_at_zero(self, confidence: float) -> float:
        """How large the difference must be for its interval to exclude zero."""
        return student_quantile((1 + confidence) / 2, self.variance.used_df) * self.error_at_zero

    def interval(self, confidence: float) -> Interval:
        """The differences d for which the score is within Student's t times the standard error that it has at d.

        Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference", with the variance
        of clusters in place of the binomial one.
        """
        square, score = self.variance.half_width(confidence) ** 2, self.score
        constant, slope = (square * value for value in self._variance)
        root = math.sqrt(slope**2 + 4 * slope * score * (1 - score) + 4 * constant * (1 + slope))
        ends = ((2 * score + slope + side * root) / (2 + 2 * slope) for side in (-1, 1))
        low, high = (min(max(end, 0.0), 1.0) - self.baseline for end in ends)
        return Interval(low, high, confidence, METHOD)

    @property
    def _variance(self) -> tuple[float, float]:
        """The variance if the true score were x, over the measured one, as a + b · x · (1 − x).

        What patients make goes with both scores; the luck of runs and generators is taken for the first one's alone.
        """
        own = self.score * (1 - self.score)
        both = own + self.noise
        if both == 0:
            return 1.0, 0.0
        patients = min(self.of_patients, 1.0) if own > 0 else 1.0
        return patients * self.noise / both, patients / both + ((1 - patients) / own if own > 0 else 0.0)


def gap_of(contrast: Contrast, tested: OutOfFold, metric: str, variance: Part | None = None) -> Gap:
    """The contrast as a gap: arms with weights above zero less the others; `variance`, of patients, for all of it."""
    scores = {arm: tested.score(arm, metric) for arm in contrast.weights}
    added = {arm: weight for arm, weight in contrast.weights.items() if weight > 0}
    taken = {arm: -weight for arm, weight in contrast.weights.items() if weight < 0}
    score, baseline = (sum(weight * scores[arm] for arm, weight in side.items()) for side in (added, taken))
    noise = sum(weight**2 * scores[arm] * (1 - scores[arm]) for arm, weight in taken.items())
    if variance is not None:
        return Gap(score, baseline, variance, noise=noise)
    spread = spread_of(contrast, tested, metric)
    return Gap(score, baseline, spread.total, spread.of_patients, noise)


def interval_of(contrast: Contrast, tested: OutOfFold, metric: str, confidence: float) -> Interval:
    return gap_of(contrast, tested, metric).interval(confidence)
