"""Means over images with intervals over patients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class PatientInterval:
    """The mean over images of a score, with its percentile bootstrap interval over patients."""

    mean: float
    low: float | None  # None of fewer than two patients
    high: float | None
    num_images: int
    num_patients: int


def patient_interval(
    values: NDArray[np.float64], groups: NDArray[np.str_], *, confidence: float = 0.95, seed: int = 0
) -> PatientInterval | None:
    """The mean of values [n], those that are not NaN, and its interval; None where all are NaN.

    Whole patients, `groups` [n], are drawn with replacement 2,000 times: images of one patient are not independent.
    """
    there = ~np.isnan(values)
    if not there.any():
        return None
    names, position = np.unique(groups[there], return_inverse=True)
    sums, counts = np.bincount(position, values[there]), np.bincount(position)
    estimate = float(values[there].mean())
    if len(names) < 2:
        return PatientInterval(estimate, None, None, int(there.sum()), len(names))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=NUM_RESAMPLES)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return PatientInterval(estimate, float(low), float(high), int(there.sum()), len(names))
