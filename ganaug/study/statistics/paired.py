"""Paired differences between two arms on patients neither has seen, with a patient-clustered interval."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.config.choices import BASELINE, TREATMENT
from ganaug.interval import Interval, percentile_interval
from ganaug.study.statistics.out_of_fold import OutOfFold, score_counts
from ganaug.study.statistics.resampling import PREDICTION_METRICS, Counts, group_weights, seed_weights, strata_of


@dataclass(frozen=True)
class Difference:
    """By how much an arm differs from a baseline, in units of the metric (0.01 is one point)."""

    classifier: str
    arm: str
    baseline: str
    metric: str
    estimate: float
    interval: Interval
    num_patients: int
    num_images: int
    num_seeds: int
    folds: tuple[int, ...]

    @property
    def is_answer(self) -> bool:
        """Whether this comparison is the question itself: synthetic images added, or not."""
        return (self.arm, self.baseline) == (TREATMENT, BASELINE)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, the interval's bounds and confidence among the others."""
        values: dict[str, Any] = {}
        for name, value in vars(self).items():
            bounds = {"low": self.interval.low, "high": self.interval.high, "confidence": self.interval.confidence}
            values |= bounds if name == "interval" else {name: value}
        return values


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
    weights: NDArray[np.float64] = patients[:, None, :] * np.concatenate(runs, axis=1)
    return weights


def score_resamples(counts: Counts, weights: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """The metric on every resample, [R], of `counts` [P·S, G, K, K] under `weights` [R, P·S, G]."""
    return PREDICTION_METRICS[metric](np.tensordot(weights, counts.astype(np.float64), axes=([1, 2], [0, 1])))


def paired_difference(
    tested: OutOfFold,
    weights: NDArray[np.float64],
    *,
    classifier: str,
    arm: str,
    baseline: str,
    metric: str,
    confidence: float,
) -> Difference:
    """Arm minus baseline, and the percentile interval over resamples that are the same for both.

    >>> real = np.tile([[2, 1], [0, 3]], (1, 20, 1, 1))  # a run, 20 patients: 2 of 3 and 3 of 3 images are right
    >>> treated = np.tile([[3, 0], [0, 3]], (1, 20, 1, 1))
    >>> tested = OutOfFold({"real": real, "real+synthetic": treated}, fold=np.zeros((1, 20), int))
    >>> difference = paired_difference(
    ...     tested, resample(tested, 1000, np.random.default_rng(0)), classifier="net", arm="real+synthetic",
    ...     baseline="real", metric="balanced_accuracy", confidence=0.95)
    >>> round(difference.estimate, 3), round(difference.interval.low, 3), difference.num_patients
    (0.167, 0.167, 20)
    """
    treated, untreated = tested.counts[arm], tested.counts[baseline]
    differences = score_resamples(treated, weights, metric) - score_resamples(untreated, weights, metric)
    return Difference(
        classifier=classifier,
        arm=arm,
        baseline=baseline,
        metric=metric,
        estimate=score_counts(treated, metric) - score_counts(untreated, metric),
        interval=percentile_interval(differences, confidence),
        num_patients=treated.shape[1],
        num_images=int(tested.images.sum()),
        num_seeds=tested.num_seeds,
        folds=tuple(np.unique(tested.fold[tested.fold >= 0]).tolist()),
    )
