"""Intervals of resampled values: where they lie, and why there may be none."""

import numpy as np
import pytest

from ganaug.interval import Interval, percentile_interval


def test_tails_are_equal_and_hold_what_the_confidence_leaves() -> None:
    interval = percentile_interval(np.arange(1001.0), 0.9)
    assert (interval.low, interval.high) == pytest.approx((50, 950))
    assert (interval.confidence, interval.reason) == (0.9, "")


@pytest.mark.parametrize(
    ("value", "above", "below"),
    [(-1, True, False), (0, False, False), (1, False, False), (2, False, False), (3, False, True)],
)
def test_an_interval_that_touches_a_value_lies_on_neither_side(value: float, above: bool, below: bool) -> None:
    interval = Interval(0, 2, 0.95, "percentile")
    assert (interval.is_above(value), interval.is_below(value)) == (above, below)


def test_where_a_resample_has_no_value_there_is_no_interval_and_a_reason() -> None:
    interval = percentile_interval(np.array([0.1, np.nan, 0.3]), 0.95)
    assert np.isnan([interval.low, interval.high]).all()
    assert "1 of 3" in interval.reason
    assert not interval.is_above(0)
    assert not interval.is_below(0)
