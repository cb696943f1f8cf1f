"""Paired differences between two arms on patients neither has seen, with a patient-clustered interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganaug.study.cells import CellResult
from ganaug.study.resampling import METRICS, confusions, group_weights, seed_weights, strata_of


@dataclass(frozen=True)
class Difference:
    """By how much an arm differs from a baseline, in units of the metric (0.01 is one point)."""

    classifier: str
    arm: str
    baseline: str
    metric: str
    estimate: float
    low: float
    high: float
    confidence: float  # of this interval
    num_patients: int
    num_images: int
    num_seeds: int
    folds: tuple[int, ...]


@dataclass(frozen=True)
class OutOfFold:
    """The out-of-fold test predictions of one classifier under every arm, as counts.

    Every patient is tested in exactly one fold, by the `S` runs of that fold.
    """

    counts: dict[str, np.ndarray]  # per arm i64 [S, G, K, K]: seed, patient, true class, predicted class
    fold: np.ndarray  # i64 [G], the fold in which the patient is tested

    def __post_init__(self) -> None:
        shapes = {counts.shape for counts in self.counts.values()}
        assert len(shapes) == 1, f"arms of different shapes {shapes}"
        (shape,) = shapes
        assert shape[1] == len(self.fold), f"{shape[1]} patients, folds of {len(self.fold)}"


def resample(tested: OutOfFold, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The weight of every (seed, patient) in every resample: f64 [R, S, G].

    Two things would differ if the study were done again, so both are drawn: the patients, with all their images (images
    of one patient resemble each other, and drawing them one by one would make the interval too narrow), and the
    training runs. Crossing the two draws counts their interaction more than once, which errs on the wide side.
    Source: Owen 2007, "The pigeonhole bootstrap".
    """
    any_arm = next(iter(tested.counts.values()))
    folds, fold = np.unique(tested.fold, return_inverse=True)
    patients = group_weights(strata_of(any_arm[0]), num_resamples, rng)
    seeds = seed_weights(len(folds), any_arm.shape[0], num_resamples, rng)
    return patients[:, None, :] * seeds[:, fold, :].transpose(0, 2, 1)


def score(counts: np.ndarray, metric: str) -> float:
    """The metric over all patients, seeds pooled; for accuracies it is the mean over the seeds. `counts` [S,G,K,K]."""
    return float(METRICS[metric](counts.sum(axis=(0, 1))))


def score_resamples(counts: np.ndarray, weights: np.ndarray, metric: str) -> np.ndarray:
    """The metric on every resample, f64 [R], of `counts` [S, G, K, K] under `weights` [R, S, G]."""
    return METRICS[metric](np.tensordot(weights, counts.astype(np.float64), axes=([1, 2], [0, 1])))


def paired_difference(
    tested: OutOfFold, weights: np.ndarray, *, classifier: str, arm: str, baseline: str, metric: str, confidence: float
) -> Difference:
    """Arm minus baseline, and the percentile interval over resamples that are the same for both.

    The percentile interval is used as it is the one a reader can check by counting resamples; where BCa would matter,
    below some twenty patients, neither is to be trusted and the verdict warns.
    Source: Efron and Tibshirani 1993, chapter 13.
    """
    treated, untreated = tested.counts[arm], tested.counts[baseline]
    differences = score_resamples(treated, weights, metric) - score_resamples(untreated, weights, metric)
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Difference(
        classifier=classifier,
        arm=arm,
        baseline=baseline,
        metric=metric,
        estimate=score(treated, metric) - score(untreated, metric),
        low=float(low),
        high=float(high),
        confidence=confidence,
        num_patients=treated.shape[1],
        num_images=int(treated[0].sum()),
        num_seeds=treated.shape[0],
        folds=tuple(np.unique(tested.fold).tolist()),
    )


def out_of_fold(results: Sequence[CellResult], classifier: str, num_classes: int) -> OutOfFold:
    """The predictions of one classifier's cells, pooled over the folds, as counts."""
    counts: dict[str, np.ndarray] = {}
    fold_of: dict[str, int] = {}
    mine = [result for result in results if result.cell.classifier == classifier]
    for arm in dict.fromkeys(result.cell.arm for result in mine):
        of_arm = [result for result in mine if result.cell.arm == arm]
        per_seed = []
        for seed in sorted({result.cell.seed for result in of_arm}):
            runs = [result for result in of_arm if result.cell.seed == seed]
            labels, probs, groups = pooled(runs)
            per_seed.append(confusions(labels, probs.argmax(axis=1), groups, num_classes))
            fold_of |= {group: run.cell.fold for run in runs for group in np.unique(run.groups).tolist()}
        counts[arm] = np.stack(per_seed)
    return OutOfFold(counts, np.array([fold_of[group] for group in sorted(fold_of)]))


def pooled(results: Sequence[CellResult]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels i64 [N], probabilities f32 [N,K] and patients text [N] of several cells, one after another."""
    return (
        np.concatenate([result.labels for result in results]),
        np.concatenate([result.probs for result in results]),
        np.concatenate([result.groups for result in results]),
    )
