"""Confidence intervals, and the percentile interval of resampled values."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the units of what was resampled."""

    low: float  # NaN where there is none, as is `high`
    high: float
    confidence: float
    method: str
    reason: str = ""  # why there is none

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def is_above(self, value: float) -> bool:
        """Whether all of the interval lies above; False where there is none."""
        return self.low > value

    def is_below(self, value: float) -> bool:
        """Whether all of the interval lies below; False where there is none."""
        return self.high < value


def percentile_interval(values: NDArray[np.float64], confidence: float) -> Interval:
    """The interval between two quantiles of resampled values [R], with equal tails.

    It is used as it is the one that a reader can check by counting resamples; where BCa would matter, below some twenty
    patients, neither is to be trusted and the verdict warns.

    Source: Efron and Tibshirani 1993, chapter 13.
    """
    num_missing = int(np.count_nonzero(~np.isfinite(values)))
    if num_missing:
        reason = f"{num_missing} of {len(values)} resamples have no value"
        return Interval(np.nan, np.nan, confidence, "percentile", reason)
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail]).tolist()
    return Interval(low, high, confidence, "percentile")
