"""The scores of the subtype model's arms, and the increments between them, with intervals over patients."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.config import SubtypeConfig
from ganaug.interval import Interval, percentile_interval
from ganaug.study.statistics.resampling import balanced_accuracy, group_weights, macro_f1

Floats = NDArray[np.float64]
PR_AUC, MACRO_F1, BALANCED_ACCURACY = "pr_auc", "macro_f1", "balanced_accuracy"
BOTH, GENES, IMAGE, PUBLISHED = "both", "genes", "image", "published"
PAIRS = ((BOTH, GENES), (BOTH, IMAGE), (PUBLISHED, GENES))  # arm and baseline, the question first
METRICS = {PR_AUC: "PR-AUC", MACRO_F1: "F1", BALANCED_ACCURACY: "balanced accuracy"}
BOOTSTRAP_SEED = 0  # the resamples are part of the method


@dataclass(frozen=True)
class PatientPredictions:
    """Out-of-fold probabilities: run r is one seed in one repeat of the folds, and tests every patient at most once."""

    labels: NDArray[np.int64]  # [P]
    probs: Mapping[str, NDArray[np.float64]]  # per arm [runs,P,K]; NaN where a run does not test the patient


@dataclass(frozen=True)
class SubtypeScore:
    """A score of an arm, or where there is a baseline the difference to it, on the same resamples of patients."""

    arm: str
    baseline: str | None
    metric: str
    value: float
    interval: Interval

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; what does not exist is None, with the reason."""
        bounds = {"value": self.value, "low": self.interval.low, "high": self.interval.high}
        shown = {name: number if np.isfinite(number) else None for name, number in bounds.items()}
        named = {"arm": self.arm, "baseline": self.baseline, "metric": self.metric}
        return {**named, **shown, "confidence": self.interval.confidence, "reason": self.interval.reason}


def compare(
    tested: PatientPredictions, config: SubtypeConfig
) -> tuple[tuple[SubtypeScore, ...], tuple[SubtypeScore, ...]]:
    """The scores of the arms and the increments between them, each the mean over the runs.

    The intervals are percentiles over resamples of patients, drawn inside the classes and the same for all arms. A run
    is no resample: the noise of training is averaged, not counted.
    """
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    is_tested = np.asarray(np.isfinite(next(iter(tested.probs.values()))).all(axis=2))  # [runs,P]
    known = is_tested.any(axis=0)  # the patients of the folds that were studied
    labels, is_tested = tested.labels[known], is_tested[:, known]
    weights = group_weights(labels, config.num_resamples, rng)
    weights = np.concatenate([np.ones((1, len(labels))), weights])  # the first row is the sample itself
    scored = {arm: _score_runs(labels, probs[:, known], is_tested, weights) for arm, probs in tested.probs.items()}

    def row(arm: str, baseline: str | None, metric: str) -> SubtypeScore:
        values = scored[arm][metric] - (scored[baseline][metric] if baseline else 0.0)
        return SubtypeScore(arm, baseline, metric, float(values[0]), percentile_interval(values[1:], config.confidence))

    pairs = [(arm, baseline) for arm, baseline in PAIRS if {arm, baseline} <= set(scored)]
    return (
        tuple(row(arm, None, metric) for arm in scored for metric in METRICS),
        tuple(row(arm, baseline, metric) for arm, baseline in pairs for metric in METRICS),
    )


def _score_runs(
    labels: NDArray[np.int64], probs: NDArray[np.float64], is_tested: NDArray[np.bool_], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    per_run = [
        score_probabilities(labels[has], of_run[has], weights[:, has])
        for of_run, has in zip(probs, is_tested, strict=True)
    ]
    return {metric: np.mean([scores[metric] for scores in per_run], axis=0) for metric in METRICS}


def average_precision(is_positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """The area under the precision–recall curve by steps, [R], of `scores` [N] under the `weights` [R,N] of resamples.

    NaN where a resample has no positive. Equal scores count as one threshold.
    Source: scikit-learn's `average_precision_score`, which is this for one row of weights.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last of each run of equal scores
    ranked = weights[:, order]
    num_above = np.cumsum(ranked, axis=1)[:, ends]
    hits = np.cumsum(ranked * is_positive[order], axis=1)[:, ends]
    precision = np.divide(hits, num_above, out=np.zeros_like(hits), where=num_above > 0)
    gained = np.diff(hits, axis=1, prepend=0.0)
    area, total = (gained * precision).sum(axis=1), hits[:, -1]
    mean_precision: Floats = np.divide(area, total, out=np.full(len(area), np.nan), where=total > 0)
    return mean_precision


def score_probabilities(labels: NDArray[np.int64], probs: NDArray[np.floating], weights: Floats) -> dict[str, Floats]:
    """Scores [R] by name, of probabilities [N,K] under weights [R,N]: means over the classes, each against the rest."""
    num_classes = probs.shape[1]
    areas = [average_precision(labels == k, probs[:, k].astype(np.float64), weights) for k in range(num_classes)]
    cells = np.eye(num_classes**2)[labels * num_classes + probs.argmax(axis=1)]
    counts = (weights @ cells).reshape(len(weights), num_classes, num_classes)
    return {
        PR_AUC: np.mean(areas, axis=0),
        MACRO_F1: macro_f1(counts),
        BALANCED_ACCURACY: balanced_accuracy(counts),
    }
