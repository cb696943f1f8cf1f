"""Differences between arms on patients neither has seen, with cluster-robust intervals and a bootstrap as a check."""

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ganaug.config.choices import POOLED, TREATMENT
from ganaug.interval import Interval, percentile_interval
from ganaug.study.arms.names import pooled_arms
from ganaug.study.statistics.clustered import Contrast, Part, Spread, spread_of
from ganaug.study.statistics.intervals import Gap, gap_of
from ganaug.study.statistics.out_of_fold import OutOfFold
from ganaug.study.statistics.power import Size, smallest_gain
from ganaug.study.statistics.resampling import PREDICTION_METRICS, group_weights, seed_weights, strata_of


@dataclass(frozen=True)
class Difference:
    """By how much an arm differs from a baseline, in units of the metric (0.01 is one point)."""

    classifier: str
    arm: str
    baseline: str
    metric: str
    gap: Gap
    interval: Interval
    bootstrap: Interval  # of the same confidence; a check that knows nothing of the luck of a fold's one generator
    spread: Spread
    num_patients: int
    num_images: int
    num_seeds: int
    num_generators: int  # of each fold
    folds: tuple[int, ...]

    @property
    def is_answer(self) -> bool:
        """Whether this comparison is the question itself: synthetic images added, or not."""
        return (self.arm, self.baseline) == (TREATMENT, POOLED)

    @property
    def variance(self) -> Part:
        return self.spread.total

    @property
    def estimate(self) -> float:
        return self.gap.estimate

    @property
    def size(self) -> Size:
        return Size(self.num_patients, self.num_seeds, self.num_generators, len(self.folds))

    @property
    def p_value(self) -> float:
        """Of no difference, two-sided."""
        error = self.gap.error_at_zero
        if error == 0:
            return 1.0 if self.estimate == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.estimate) / error, self.variance.used_df))

    @property
    def smallest_gain(self) -> float:
        """The true gain that a study like this one would have shown in four of five repetitions."""
        return smallest_gain(self.variance, self.interval.confidence)

    def is_within(self, margin: float) -> bool:
        """Whether no effect larger than the margin remains possible, by two one-sided tests.

        Source: Schuirmann 1987; each test at (1 − confidence), so that the interval has 1 − 2 (1 − confidence).
        """
        possible = self.gap.interval(2 * self.interval.confidence - 1)
        return possible.is_above(-margin) and possible.is_below(margin)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, the intervals' bounds among the others."""
        bare = {name: value for name, value in vars(self).items() if not is_dataclass(value)}
        return {
            **bare,
            "score": self.gap.score,
            "estimate": self.estimate,
            "low": self.interval.low,
            "high": self.interval.high,
            "confidence": self.interval.confidence,
            "method": self.interval.method,
            "bootstrap_low": self.bootstrap.low,
            "bootstrap_high": self.bootstrap.high,
            "p": self.p_value,
            "smallest_gain": self.smallest_gain,
            "standard_error": self.variance.variance**0.5,
            "df": self.variance.used_df if np.isfinite(self.variance.used_df) else None,
        }


def contrast_of(arm: str, baseline: str) -> Contrast:
    """The arm minus a baseline, which may be the mean of two arms, as `POOLED` is."""
    subtracted = pooled_arms(baseline)
    return Contrast({arm: 1.0, **dict.fromkeys(subtracted, -1 / len(subtracted))})


ANSWER = contrast_of(TREATMENT, POOLED)  # the question itself


def paired_difference(
    tested: OutOfFold,
    drawn: Mapping[str, NDArray[np.float64]],
    *,
    classifier: str,
    arm: str,
    baseline: str,
    metric: str,
    confidence: float,
) -> Difference:
    """Arm minus baseline; `drawn` has the scores of both on the same resamples, as `score_resamples` gives them.

    >>> real = np.tile([[2, 1], [0, 3]], (1, 20, 1, 1))  # a run, 20 patients: 2 of 3 and 3 of 3 images are right
    >>> treated = np.tile([[3, 0], [0, 3]], (1, 20, 1, 1))
    >>> tested = OutOfFold({"real": real, "real+synthetic": treated}, fold=np.zeros((1, 20), int))
    >>> metric = "balanced_accuracy"
    >>> drawn = score_resamples(tested, resample(tested, 1000, np.random.default_rng(0)), metric)
    >>> difference = paired_difference(
    ...     tested, drawn, classifier="net", arm="real+synthetic", baseline="real", metric=metric, confidence=0.95)
    >>> round(difference.estimate, 3), round(difference.interval.low, 3), difference.num_patients
    (0.167, 0.167, 20)
    """
    contrast = contrast_of(arm, baseline)
    gap = gap_of(contrast, tested, metric)
    differences = sum(weight * drawn[name] for name, weight in contrast.weights.items())
    return Difference(
        classifier=classifier,
        arm=arm,
        baseline=baseline,
        metric=metric,
        gap=gap,
        interval=gap.interval(confidence),
        bootstrap=percentile_interval(np.asarray(differences), confidence),
        spread=spread_of(contrast, tested, metric),
        num_patients=len(tested.images),
        num_images=int(tested.images.sum()),
        num_seeds=tested.num_seeds,
        num_generators=tested.num_generators,
        folds=tuple(np.unique(tested.fold[tested.fold >= 0]).tolist()),
    )


def resample(tested: OutOfFold, num_resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The weight of every (run, patient) in every resample: [R, P·S, G].

    Two things would differ if the study were done again, so both are drawn: the patients, with all their images (images
    of one patient resemble each other, and drawing them one by one would make the interval too narrow), and the
    training runs, each of which counts alike for all patients that its fold tests. A patient keeps its weight in all
    repeats: they test the same patients again, and add none. Crossing the two draws counts their interaction more than
    once, which errs on the wide side.

    Source: Owen 2007, "The pigeonhole bootstrap".
    """
    folds, fold = np.unique(tested.fold, return_inverse=True)
    patients = group_weights(strata_of(tested.images), num_resamples, rng)
    seeds = seed_weights(len(folds), tested.num_seeds, num_resamples, rng)
    runs = [seeds[:, of_repeat, :].transpose(0, 2, 1) for of_repeat in fold.reshape(tested.fold.shape)]
    return np.ascontiguousarray(patients[:, None, :] * np.concatenate(runs, axis=1))


def score_resamples(tested: OutOfFold, weights: NDArray[np.float64], metric: str) -> dict[str, NDArray[np.float64]]:
    """The metric of each arm on every resample, [R], under `weights` [R, P·S, G]; one product of matrices for all."""
    counts = np.stack(list(tested.counts.values()), axis=2).astype(np.float64)  # [P·S, G, arms, K, K]
    cells = weights.reshape(len(weights), -1)
    sums = (cells @ counts.reshape(cells.shape[1], -1)).reshape(-1, *counts.shape[2:])
    return dict(zip(tested.counts, PREDICTION_METRICS[metric](sums).T, strict=True))
