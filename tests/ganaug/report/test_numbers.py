"""Number formats: signs, digits, and values that do not exist."""

import pytest

from ganaug.report.numbers import count, figure, number, percent, points, probability


def test_points_are_signed_and_zero_has_no_sign() -> None:
    assert [points(value) for value in (0.0123, -0.02, 0.0, -0.0001)] == ["+1.2", "−2.0", "0.0", "0.0"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(number(-0.12345), "−0.123"), (number(2, 1), "2.0"), (figure(12.3456), "12.35"), (percent(0.975), "97.5 %")],
)
def test_digits_of_each_format(text: str, expected: str) -> None:
    assert text == expected


def test_a_value_that_does_not_exist_is_a_dash() -> None:
    assert number(None) == figure(None) == "–"


def test_one_of_a_thing_is_no_plural() -> None:
    assert [count(num, "image") for num in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


def test_a_probability_is_never_said_to_be_zero() -> None:
    assert [probability(p) for p in (0.0, 4e-4, 6e-4, 0.25)] == ["< 0.001", "< 0.001", "0.001", "0.250"]
