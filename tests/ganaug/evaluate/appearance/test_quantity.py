"""A quantity of a class: when the synthetic median is beyond the range of real patients, and of how many images."""

import numpy as np
import pytest

from ganaug.evaluate.appearance.quantity import MIN_IMAGES, Comparison, Quantity, Values, compare


def compared(made: Values) -> Comparison:
    """With 10 patients, whose medians differ by 1 on average, and whose images differ by 3."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(10), 30)
    values = rng.normal(size=10)[group] + rng.normal(0, 3, size=300)
    return compare(Quantity("eosin", 0.1), "Benign", (values, group.astype(str)), made, rng)


def test_a_median_beyond_the_patients_is_no_alarm_where_its_interval_is_not() -> None:
    expected = compared(np.linspace(-3, 3, 100)).range
    assert expected is not None
    beyond = expected.high + 0.5
    wide, narrow = (compared(np.linspace(beyond - reach, beyond + reach, 100)) for reach in (9, 1))
    assert wide.score.value == pytest.approx(narrow.score.value)
    assert (wide.is_alarm, narrow.is_alarm) == (False, True)
    assert "outside the range of 10 real patients" in narrow.describe()


def test_few_images_are_not_judged_whatever_they_are() -> None:
    for number in range(1, MIN_IMAGES):
        comparison = compared(np.full(number, 1000.0) + np.arange(number))
        assert comparison.score.value is None
        assert "it takes 8" in comparison.score.note
        assert not comparison.is_alarm
    assert compared(np.full(MIN_IMAGES, 1000.0) + np.arange(MIN_IMAGES)).is_alarm


def test_images_of_real_patients_seldom_raise_an_alarm() -> None:
    rng = np.random.default_rng(1)
    draws = [rng.normal(size=MIN_IMAGES) + rng.normal(0, 3, size=MIN_IMAGES) for _ in range(200)]
    assert sum(compared(made).is_alarm for made in draws) <= 2
