"""Calibration of class probabilities: temperature scaling, and how far confidence is from accuracy.

The confidence of a prediction is the probability of its likeliest class, the first on a tie.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

log = logging.getLogger(__name__)

NUM_BINS = 15  # Guo et al.'s
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.1, 10.0
NUM_TRIED = 33  # temperatures, by equal factors, among which the search begins


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions whose confidence lies in a bin; a calibrated classifier has accuracy equal to confidence."""

    confidence: float  # their mean
    accuracy: float  # the fraction of them that is right
    count: int


def fit_temperature(logits: Tensor | NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> float:
    """The temperature T that minimises the mean negative log-likelihood of softmax(logits / T), from 0.1 to 10.

    `logits` [N,K] and `labels` [N] are of validation images, which neither train nor test the model. Logits [N,V,K] are
    of V views of each image, whose probabilities are averaged: the likelihood is that of the mean of softmax(logits /
    T) over the views. Where all images are predicted right, the likelihood grows without end as T falls; where their
    logits are worse than none, as T rises. Then T is the bound, which is logged as a warning. Logits that are equal
    within each row give 1.

    Raises ValueError where logits and labels do not fit each other or are not finite.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2. Our choice: the bounds, as a few
    validation images must not make the probabilities certain, and Guo et al.'s networks need 1 to 3; and a grid before
    the search, as the likelihood of a mean of views may have several maxima.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax, logsumexp

    values = np.asarray(logits, dtype=np.float64)
    _check(labels, values[:, 0] if values.ndim == 3 and values.shape[1] else values, "logits")
    views = values[:, None] if values.ndim == 2 else values
    if not np.isfinite(values).all():
        raise ValueError("logits with NaN or infinity; expected finite numbers; train the model again")
    if np.ptp(views, axis=2).max() == 0:
        return 1.0

    def loss(log_temperature: float) -> float:
        likelihoods = log_softmax(views / math.exp(log_temperature), axis=2)[np.arange(len(labels)), :, labels]
        return -float((logsumexp(likelihoods, axis=1) - math.log(views.shape[1])).mean())

    grid = np.linspace(math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE), NUM_TRIED)
    low, high = grid[[0, -1]].tolist()
    nearest = int(np.argmin([loss(value) for value in grid.tolist()]))
    bounds = grid[max(nearest - 1, 0)], grid[min(nearest + 1, NUM_TRIED - 1)]
    found = float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)
    best = min((low, found, high), key=loss)  # a bounded search comes near its bounds, but not to them
    if best == found:
        return math.exp(found)
    bound = MIN_TEMPERATURE if best == low else MAX_TEMPERATURE
    log.warning(f"temperature {bound:g}, its bound; expected a likelihood with a maximum; use more validation images")
    return bound


def reliability_curve(
    labels: NDArray[np.int64], probs: NDArray[np.floating[Any]], num_bins: int = NUM_BINS
) -> tuple[ReliabilityBin, ...]:
    """Accuracy by confidence, in bins of equal width that include their upper end; empty bins are left out.

    `labels` [N], `probs` [N,K]. Raises ValueError where they do not fit each other.

    Source: Guo et al. 2017, equations 1 and 2.
    """
    _check(labels, probs, "probabilities")
    if num_bins < 1:
        raise ValueError(f"{num_bins} bins; expected at least 1")
    confidences = probs.max(1).astype(np.float64).clip(0, 1)  # float32 may pass 1 by its rounding
    is_right = probs.argmax(1) == labels
    bin_of = np.searchsorted(np.linspace(0, 1, num_bins + 1)[1:-1], confidences)
    counts = np.bincount(bin_of, minlength=num_bins)
    sums = (np.bincount(bin_of, weights=values, minlength=num_bins) for values in (confidences, is_right))
    confidence, accuracy = (values[counts > 0] / counts[counts > 0] for values in sums)
    rows = zip(confidence.tolist(), accuracy.tolist(), counts[counts > 0].tolist(), strict=True)
    return tuple(ReliabilityBin(*row) for row in rows)


def expected_calibration_error(
    labels: NDArray[np.int64], probs: NDArray[np.floating[Any]], num_bins: int = NUM_BINS
) -> float:
    """The mean over predictions of |accuracy - confidence| of their bin, 0 to 1; `labels` [N], `probs` [N,K].

    It depends on the bins, and of few images it is too high. Source: Guo et al. 2017, equation 3.
    """
    bins = reliability_curve(labels, probs, num_bins)
    return sum(row.count * abs(row.accuracy - row.confidence) for row in bins) / len(labels)


def negative_log_likelihood(labels: NDArray[np.int64], probs: NDArray[np.floating[Any]]) -> float:
    """The mean of -log of the probability of the true class, which `fit_temperature` minimises; `probs` [N,K].

    Probabilities that a float32 rounds to zero count as the smallest one that it does not, so that it is finite.
    """
    _check(labels, probs, "probabilities")
    of_true = probs[np.arange(len(labels)), labels].astype(np.float64)
    return -float(np.log(of_true.clip(np.finfo(np.float32).tiny)).mean())


def brier(labels: NDArray[np.int64], probs: NDArray[np.floating[Any]]) -> float:
    """The mean squared distance of probabilities [N,K] from certainty of the true class.

    Of more than two classes it is summed over them, 0 to 2; of two it is that of either, 0 to 1, as is usual.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability"; scikit-learn's scaling.
    """
    _check(labels, probs, "probabilities")
    rows = probs.astype(np.float64)
    rows /= rows.sum(1, keepdims=True)  # float32 has rounded them
    rows[np.arange(len(labels)), labels] -= 1
    return float((rows**2).sum(1).mean()) / (2 if probs.shape[1] == 2 else 1)


def _check(labels: NDArray[np.int64], values: NDArray[np.floating[Any]], what: str) -> None:
    if values.ndim != 2 or labels.shape != values.shape[:1] or len(labels) == 0:
        raise ValueError(f"labels {list(labels.shape)} and {what} {list(values.shape)}; expected [N] and [N,K], N > 0")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= values.shape[1]:
        raise ValueError(f"labels that are no classes 0 to {values.shape[1] - 1}; expected the index of a class each")
