"""The range of one more split: it holds what it says, and ends at what a metric can be."""

import numpy as np
import pytest

from ganaug.evaluate.comparison.rows import range_of_next, within
from ganaug.evaluate.metrics.registry import METRICS


def test_the_range_of_the_next_split_holds_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        *seen, following = rng.normal(5, 2, size=11).tolist()
        interval = range_of_next(seen)
        low, high = interval.low, interval.high
        assert low is not None
        assert high is not None
        hits += low <= following <= high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)
    assert within(METRICS["kernel"], range_of_next([1.0])) == (None, None)
    assert within(METRICS["precision"], range_of_next([0.9, 1.0, 1.0]))[1] == 1.0
