"""Fractions of images, with intervals: of synthetic images, and of real ones whose patients are alike within."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95  # of the intervals that rows hold


@dataclass(frozen=True)
class Fraction:
    """A fraction with its interval, which has a width even where the fraction is 0 or 1."""

    value: float
    low: float
    high: float


def of_independent(hits: NDArray[np.bool_], confidence: float = CONFIDENCE) -> Fraction:
    """The fraction of images [n] that are hits, where each image was drawn for itself, as a generator's are.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> fraction = of_independent(np.ones(100, np.bool_))
    >>> round(fraction.low, 3), fraction.high
    (0.963, 1.0)
    """
    from scipy.stats import binomtest

    interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(confidence, method="wilson")
    return Fraction(float(hits.mean()), float(interval.low), float(interval.high))


def of_patients(hits: NDArray[np.bool_], group: NDArray[np.str_], confidence: float = CONFIDENCE) -> Fraction:
    """The same where `group` [n] says the patient of each image.

    The images count for as many independent ones as give the same variance, and a Clopper-Pearson interval is taken at
    that number. Where all are hits or none is, the variance says nothing, and each patient counts once (our choice: as
    if all images of a patient were one).
    Source: Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data".
    """
    from scipy.stats import beta

    value = float(hits.mean())
    size = _effective_size(hits, group, confidence)
    tail = (1 - confidence) / 2
    positive = value * size
    low = float(beta.ppf(tail, positive, size - positive + 1)) if value > 0 else 0.0
    high = float(beta.ppf(1 - tail, positive + 1, size - positive)) if value < 1 else 1.0
    return Fraction(value, low, high)


def _effective_size(hits: NDArray[np.bool_], group: NDArray[np.str_], confidence: float) -> float:
    """How many independent images the images are worth: 1 to n."""
    from scipy.stats import t

    names, owner = np.unique(group, return_inverse=True)
    value, num_patients = float(hits.mean()), len(names)
    if num_patients == 1 or value in (0.0, 1.0):
        return float(num_patients)
    off = np.bincount(owner, weights=hits - value)  # by patient, hits above their expected number
    variance = num_patients / (num_patients - 1) * float((off**2).sum()) / len(hits) ** 2
    quantile = 1 - (1 - confidence) / 2
    penalty = float((t.ppf(quantile, len(hits) - 1) / t.ppf(quantile, num_patients - 1)) ** 2)  # for few patients
    size = value * (1 - value) / variance * penalty if variance else len(hits) * penalty
    return min(max(size, 1.0), float(len(hits)))


def mean_of(fractions: Sequence[Fraction]) -> Fraction:
    """The unweighted mean of fractions of disjoint images, such as the recalls of the classes.

    Source: Zou and Donner 2008, "Construction of confidence limits about effect measures" (MOVER), for a sum.
    """
    value = float(np.mean([each.value for each in fractions]))
    below = float(np.sqrt(np.sum([(each.value - each.low) ** 2 for each in fractions]))) / len(fractions)
    above = float(np.sqrt(np.sum([(each.high - each.value) ** 2 for each in fractions]))) / len(fractions)
    return Fraction(value, value - below, value + above)


def gap_at_least(real: Fraction, synthetic: Fraction) -> float:
    """The lower limit of how far the synthetic fraction lies below the real one; negative where it may lie above.

    The real side counts with three times its variance (our choice): as many other patients would differ from these by
    that much, and so would a classifier of other patients; a generator is not asked for more. On BreakHis, real images
    of test patients in place of synthetic ones stay within.
    Source: Zou and Donner 2008 (MOVER), for a difference.
    """
    spread = 3 * (real.value - real.low) ** 2 + (synthetic.high - synthetic.value) ** 2
    return real.value - synthetic.value - float(np.sqrt(spread))
