"""Sentences on distances: alarms only beyond the range of real patients, and only where the test agrees."""

from dataclasses import replace

from ganaug.evaluate.comparison.findings import find_distances
from ganaug.evaluate.scores import ALL, ImageScore

HEADLINE = ImageScore(
    "kernel[net]", ALL, 0.5, value_at_half=0.5, floor=0.1, floor_low=0.05, floor_high=0.2, p_value=0.001, n_half=40
)
RATIO = ImageScore(
    "precision[net]", ALL, 0.3, value_at_half=0.3, floor=0.8, floor_low=0.6, floor_high=0.9, n_half=40,
    question="faithful",
)  # fmt: skip


def test_a_distance_is_an_alarm_only_beyond_the_floor_and_with_a_small_p_value() -> None:
    for value, p_value, question, is_alarm in (
        (0.5, 0.001, "overall", True),
        (0.5, 0.2, "overall", False),
        (0.5, None, "overall", True),
        (0.15, 0.001, "overall", False),
        (0.01, 0.9, "copying", True),
    ):
        (finding,) = find_distances(replace(HEADLINE, value_at_half=value, p_value=p_value), [])
        assert (finding.question, finding.is_alarm) == (question, is_alarm), (value, p_value)
        assert "kernel[net]" in finding.sentence
        assert "0.05 to 0.2" in finding.sentence


def test_a_ratio_is_an_alarm_below_the_range_of_real_patients_and_names_its_network() -> None:
    _, low = find_distances(HEADLINE, [RATIO])
    assert low.is_alarm
    assert low.question == "faithful"
    assert "precision[net] is 0.3" in low.sentence
    assert find_distances(HEADLINE, [replace(RATIO, value_at_half=0.7)]) == find_distances(HEADLINE, [])


def test_figures_that_are_missing_give_no_sentence() -> None:
    assert find_distances(replace(HEADLINE, floor=None), [replace(RATIO, value_at_half=None)]) == []
