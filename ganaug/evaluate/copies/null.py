"""The null of the copy audit: how far real images of other patients lead, and what more than that is worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEEDS_IMAGES, NEEDS_PATIENTS = 10, 2  # the smallest null
_FROM, _TO = 0.8, 0.98  # quantiles between which the tail is measured; the few above may be real copies
_NUM_RESAMPLES, _CONFIDENCE = 200, 0.9  # of patients, for the limit's upper end


@dataclass(frozen=True)
class Null:
    """The leads of n real images that show something, over the training images of other patients."""

    lead: NDArray[np.float64]  # [n]
    group: NDArray[np.str_]  # [n], the patient of each
    is_held_out: NDArray[np.bool_]  # [n], else of a training patient

    @classmethod
    def of(
        cls, lead: NDArray[np.float64], group: NDArray[np.str_], is_blank: NDArray[np.bool_], *, is_held_out: bool
    ) -> "Null":
        """That of images of one origin, without the blank ones."""
        return cls(lead[~is_blank], group[~is_blank], np.full(int((~is_blank).sum()), is_held_out))

    @classmethod
    def joined(cls, parts: Sequence["Null"]) -> "Null":
        """All images of several."""
        if not parts:
            return cls.empty()
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))

    @classmethod
    def empty(cls) -> "Null":
        """That of no image."""
        return cls(np.zeros(0), np.zeros(0, np.str_), np.zeros(0, np.bool_))

    @property
    def is_enough(self) -> bool:
        """Whether a limit can be had from it."""
        return len(self.lead) >= NEEDS_IMAGES and len(np.unique(self.group)) >= NEEDS_PATIENTS


def limit_at(null: Null, rate: float) -> float:
    """The lead that a fraction `rate` of real images exceeds, on the safe side; infinite where there are too few.

    Down to 2 % it is a quantile, below it an exponential tail of the decline between the quantiles 0.8 and 0.98. It is
    the upper end of a 90 % interval by resampling patients, as the images of one resemble each other.

    Our choice: the lead of unlike images is the largest of many correlations, whose tail is no heavier than that.
    """
    if not null.is_enough:
        return math.inf
    patients = [null.lead[null.group == name] for name in np.unique(null.group)]
    rng = np.random.default_rng(0)  # part of the method: the same images give the same limit
    limits = [_limit(null.lead, rate)]
    for _ in range(_NUM_RESAMPLES):
        drawn = rng.integers(len(patients), size=len(patients))
        limits.append(_limit(np.concatenate([patients[place] for place in drawn]), rate))
    return max(limits[0], float(np.quantile(limits, (1 + _CONFIDENCE) / 2)))


def _limit(lead: NDArray[np.float64], rate: float) -> float:
    if rate >= 1 - _TO:
        return float(np.quantile(lead, 1 - rate))
    low, high = np.quantile(lead, [_FROM, _TO])
    scale = (high - low) / math.log((1 - _FROM) / (1 - _TO))
    return float(high + scale * math.log((1 - _TO) / rate))


def p_value(num_copies: int, num_images: int, num_null_copies: int, num_null: int, rate: float) -> float:
    """The probability of so many copies or more among honest images.

    Where no real image is taken for a copy, their number is binomial at `rate`; else it is Fisher's exact test, one
    sided, of synthetic against real images.
    """
    from scipy import stats

    if num_copies == 0:
        return 1.0
    if num_null_copies == 0:
        return float(stats.binom.sf(num_copies - 1, num_images, rate))
    table = [[num_copies, num_images - num_copies], [num_null_copies, num_null - num_null_copies]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


def rate_interval(num_copies: int, num_images: int) -> tuple[float, float]:
    """The exact 95 % interval of a fraction; where none is found, its upper end is 95 % one-sided: 0.6 % of 500.

    Source: Clopper and Pearson 1934.
    """
    from scipy import stats

    if num_copies == 0:
        return 0.0, 1 - 0.05 ** (1 / num_images)
    interval = stats.binomtest(num_copies, num_images).proportion_ci(method="exact")
    return float(interval.low), float(interval.high)
