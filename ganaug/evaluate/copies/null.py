"""The null of the copy audit: how far real images of other patients lead, and what more than that is worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEEDS_IMAGES, NEEDS_PATIENTS = 10, 2  # the smallest null
# Measured on the phantom and on BreakHis at 64 px: of real images, other fields of training patients among them, the
# largest lead was 0.66, save for two fields of BreakHis that were photographed twice (1.6); of copies in nine disguises
# 95 of 100 lead by 1.0 or more, of crops to 80 % fewer.
MIN_LEAD = 0.8  # of a copy, where the limit lies in the tail
_FROM, _TO = 0.8, 0.95  # quantiles between which the tail is measured; the few above may be real copies
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

    Down to 5 % it is a quantile, below it an exponential tail of the decline between the quantiles 0.8 and 0.95, and
    MIN_LEAD at least. It is the upper end of a 90 % interval by resampling patients, as the images of one resemble each
    other; and the tail is widened by 1 + 3/√n, as n images know its decline only so well.

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
    limit = max(limits[0], float(np.quantile(limits, (1 + _CONFIDENCE) / 2)))
    return limit if rate >= 1 - _TO else max(limit, MIN_LEAD)


def _limit(lead: NDArray[np.float64], rate: float) -> float:
    if rate >= 1 - _TO:
        return float(np.quantile(lead, 1 - rate))
    low, high = np.quantile(lead, [_FROM, _TO])
    scale = (high - low) / math.log((1 - _FROM) / (1 - _TO)) * (1 + 3 / math.sqrt(len(lead)))
    return float(high + scale * math.log((1 - _TO) / rate))


def p_value(lead: NDArray[np.float64], null: Null, limit: float, rate: float) -> float:
    """The probability that so many or more of n honest images exceed the limit at `rate`; `lead` [n].

    Where no real image of the null does, their number is binomial. Else the tail is heavier than it was thought, or the
    null holds copies, and the smaller of two p-values counts twice: Fisher's exact test of synthetic against real
    images, one sided, and the binomial test at the limit that the largest real lead, as one in all of them, gives.
    """
    from scipy import stats

    num, num_null = int((lead > limit).sum()), int((null.lead > limit).sum())
    if num == 0:
        return 1.0
    if num_null == 0:
        return float(stats.binom.sf(num - 1, len(lead), rate))
    table = [[num, len(lead) - num], [num_null, len(null.lead) - num_null]]
    fisher = float(stats.fisher_exact(table, alternative="greater").pvalue)
    scale = (limit - float(np.quantile(null.lead, _TO))) / math.log((1 - _TO) / rate)
    beyond = float(null.lead.max()) + scale * max(0.0, math.log(1 / (len(null.lead) * rate)))
    num_beyond = int((lead > beyond).sum())
    return min(1.0, 2 * fisher, 2 * float(stats.binom.sf(num_beyond - 1, len(lead), rate)))


def rate_interval(num_copies: int, num_images: int) -> tuple[float, float]:
    """The exact 95 % interval of a fraction; where none is found, its upper end is 95 % one-sided: 0.6 % of 500.

    Source: Clopper and Pearson 1934.
    """
    from scipy import stats

    if num_copies == 0:
        return 0.0, 1 - 0.05 ** (1 / num_images)
    interval = stats.binomtest(num_copies, num_images).proportion_ci(method="exact")
    return float(interval.low), float(interval.high)
