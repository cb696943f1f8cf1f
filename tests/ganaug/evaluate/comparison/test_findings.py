"""Sentences on distances: alarms only beyond the range of real patients, none that its p-value contradicts."""

import re
from dataclasses import replace

from ganaug.cli.synthesize import synthesize
from ganaug.evaluate.comparison.findings import ADVICE, find_distances
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
        (finding,) = find_distances([replace(HEADLINE, value_at_half=value, p_value=p_value)])
        assert (finding.question, finding.is_alarm) == (question, is_alarm), (value, p_value)
        assert "kernel[net]" in finding.sentence
        assert "0.05 to 0.2" in finding.sentence


def test_a_ratio_is_an_alarm_below_the_range_of_real_patients_and_names_its_network() -> None:
    _, low = find_distances([HEADLINE, RATIO])
    assert low.is_alarm
    assert low.question == "faithful"
    assert "precision[net] is 0.3" in low.sentence
    assert find_distances([HEADLINE, replace(RATIO, value_at_half=0.7)]) == find_distances([HEADLINE])


def test_figures_that_are_missing_give_no_sentence() -> None:
    assert find_distances([replace(HEADLINE, floor=None), replace(RATIO, value_at_half=None)]) == []


def test_the_sentence_does_not_contradict_its_p_value_and_claims_nothing_of_few_images() -> None:
    within = replace(HEADLINE, value_at_half=0.15)
    (alike,) = find_distances([replace(within, p_value=0.4)])
    assert "as near to real images as other patients are (p = 0.4)" in alike.sentence
    (apart,) = find_distances([replace(within, p_value=0.007)])
    assert "as near" not in apart.sentence
    assert "within what other patients differ by, though farther than independent" in apart.sentence
    assert "p = 0.007" in apart.sentence
    (few,) = find_distances([replace(within, p_value=0.4, n_half=6)])
    assert "as near" not in few.sentence
    assert "too few images to see a difference (n = 6" in few.sentence
    (unsure,) = find_distances([replace(HEADLINE, p_value=0.4)])
    assert "as near" not in unsure.sentence
    assert not any(finding.is_alarm for finding in (alike, apart, few, unsure))


def test_every_class_without_synthetic_images_is_an_alarm() -> None:
    a, b, general = find_distances([replace(HEADLINE, value_at_half=0.15)], absent=("a", "b"))
    assert [(each.class_name, each.sentence, each.is_alarm) for each in (a, b)] == [
        (name, f"no synthetic image of {name}", True) for name in ("a", "b")
    ]
    assert {a.question, b.question} == {"obedient"}
    assert "synthesize all classes" in a.todo
    assert "without a, b" in general.sentence


def of_class(name: str, distance: float, precision: float, n_half: int = 40) -> list[ImageScore]:
    return [
        replace(HEADLINE, class_name=name, value_at_half=distance, n_half=n_half),
        replace(RATIO, class_name=name, value_at_half=precision, n_half=n_half),
    ]


def test_a_class_that_is_clearly_beyond_is_named_once_with_all_such_figures() -> None:
    fine = [replace(HEADLINE, value_at_half=0.15), replace(RATIO, value_at_half=0.7)]
    good, bad = of_class("good", 0.1, 0.8), of_class("bad", 0.5, 0.2)
    *_, found = find_distances(fine, [good, bad])
    assert (found.class_name, found.is_alarm, found.question) == ("bad", True, "faithful")
    assert "bad: " in found.sentence
    assert "kernel[net] 0.5 (0.05 to 0.2), precision[net] 0.2 (0.6 to 0.9)" in found.sentence
    assert found.todo == "train longer"
    just, few = of_class("just", 0.25, 0.5), of_class("few", 0.5, 0.2, n_half=7)
    assert find_distances(fine, [good, just, few]) == find_distances(fine)


def test_where_every_class_is_beyond_an_alarm_over_all_of_them_suffices() -> None:
    classes = [of_class("a", 0.5, 0.2), of_class("b", 0.5, 0.2)]
    assert {each.class_name for each in find_distances([HEADLINE, RATIO], classes)} == {ALL}
    swapped = find_distances([replace(HEADLINE, value_at_half=0.15), replace(RATIO, value_at_half=0.7)], classes)
    assert [each.class_name for each in swapped if each.is_alarm] == ["a", "b"]


def test_the_advice_names_no_option_of_another_command_nor_a_curve_that_may_not_be() -> None:
    flags = {flag for option in synthesize.params for flag in option.opts}
    assert len(ADVICE) == 4
    for todo in ADVICE.values():
        assert set(re.findall(r"--[a-z][a-z-]*", todo)) <= flags
        assert "--psi" not in todo
        assert "curve" not in todo
