"""Average precision on thousands of resamples at once, and with it the scores of patients' probabilities."""

import numpy as np
from numpy.typing import NDArray

from ganaug.study.statistics.resampling import balanced_accuracy, macro_f1

Floats = NDArray[np.float64]
PR_AUC, MACRO_F1, BALANCED_ACCURACY = "pr_auc", "macro_f1", "balanced_accuracy"


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
