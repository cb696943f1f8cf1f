"""By how much each patient under each training run moves a metric: the linear part of a score on pooled counts."""

import numpy as np
from numpy.typing import NDArray

from ganaug.study.statistics.resampling import PREDICTION_METRICS, Counts

Floats = NDArray[np.float64]
STEP = 1e-5  # of all images, over which a slope is taken


def influence(counts: Counts, metric: str) -> Floats:
    """The part of every (run, patient, true class) in the metric of `counts` [R, G, K, K]: [R, G, K].

    Metrics do not change when all counts are multiplied, so the parts sum to zero over all runs and patients (Euler).
    To first order, leaving out or repeating patients or runs moves the metric by the sum of their parts.
    Source: Hampel 1974, "The influence curve and its role in robust estimation".
    """
    slopes = _slopes(counts.sum(axis=(0, 1)).astype(np.float64), metric)
    parts: Floats = np.einsum("rgkj,kj->rgk", counts, slopes)
    return parts


def _slopes(total: Floats, metric: str) -> Floats:
    """The derivatives of the metric by the entries of a confusion matrix [K, K]; zero in the rows of absent classes."""
    num_classes, step = len(total), STEP * total.sum()
    moved = np.eye(num_classes**2).reshape(-1, num_classes, num_classes) * step
    score = PREDICTION_METRICS[metric]
    slopes = (score(total + moved) - score(total - moved)) / (2 * step)
    return np.where(total.sum(axis=1, keepdims=True) > 0, slopes.reshape(num_classes, num_classes), 0.0)
