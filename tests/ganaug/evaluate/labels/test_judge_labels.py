"""Planted faults: shuffled labels, one class for all, half of a class swapped, two classes alike, and none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ganaug.evaluate.judged import Chapter, Embedded, Judged
from ganaug.evaluate.labels.chapter import judge_labels
from ganaug.evaluate.scores import ALL, ImageScore

Plant = Callable[[Any], tuple[Judged, Embedded]]


def score_of(chapter: Chapter, metric: str, class_name: str = ALL) -> ImageScore:
    (score,) = (
        score for score in chapter.scores if score.metric.startswith(f"{metric}[") and score.class_name == class_name
    )
    return score


def alarms(chapter: Chapter) -> list[str]:
    return [f"{finding.class_name}: {finding.sentence}" for finding in chapter.findings if finding.is_alarm]


def numbers(*values: float | None) -> list[float]:
    present = [value for value in values if value is not None]
    assert len(present) == len(values)
    return present


@pytest.mark.parametrize("per_class", [40, 150])
@pytest.mark.parametrize("seed", range(4))
def test_an_honest_generator_raises_no_alarm(plant: Plant, plan: Any, per_class: int, seed: int) -> None:
    chapter = judge_labels(*plant(plan(per_class=per_class, seed=seed)), seed=0)
    assert alarms(chapter) == []
    agreement = score_of(chapter, "agreement")
    value, floor = numbers(agreement.value, agreement.floor)
    assert value == pytest.approx(floor, abs=0.12)
    assert value > 0.7


@pytest.mark.parametrize("apart", [0.0, 0.3])
def test_real_classes_that_are_alike_themselves_raise_no_alarm(plant: Plant, plan: Any, apart: float) -> None:
    chapters = [judge_labels(*plant(plan(apart=apart, per_class=40, seed=seed)), seed=0) for seed in range(5)]
    assert (
        sum(bool(alarms(chapter)) for chapter in chapters) <= 1
    )  # 3 pairs at a level of 5 %, of which most are spared
    for chapter in chapters:
        assert any("guessing" in finding.sentence for finding in chapter.findings)


@pytest.mark.parametrize("fault", ["shuffled", "one class"])
@pytest.mark.parametrize("per_class", [40, 200])
@pytest.mark.parametrize("num_classes", [2, 4])
def test_a_generator_that_ignores_its_class_has_collapsed(
    plant: Plant, plan: Any, fault: str, per_class: int, num_classes: int
) -> None:
    judged, embedded = plant(plan(fault, num_classes, per_class))
    chapter = judge_labels(judged, embedded, seed=0)
    (collapse,) = (finding for finding in chapter.findings if "look alike" in finding.sentence)
    assert collapse.is_alarm
    assert f"{num_classes} of {num_classes} classes" in collapse.sentence
    assert "--class-transition" in collapse.todo
    assert score_of(chapter, "agreement").value == pytest.approx(1 / num_classes, abs=0.12)
    separation = score_of(chapter, "class separation", "Ductal")
    value, floor = numbers(separation.value, separation.floor)
    assert abs(value) < 0.2 * floor


def test_classes_that_are_alike_are_named_and_the_others_are_not(plant: Plant, plan: Any) -> None:
    chapter = judge_labels(*plant(plan("two alike", num_classes=4, per_class=100, patients=16)), seed=0)
    (collapse,) = (finding for finding in chapter.findings if "look alike" in finding.sentence)
    assert "2 of 4 classes" in collapse.sentence
    assert "Ductal and Lobular" in collapse.sentence
    assert "Mucinous" not in collapse.sentence
    assert {finding.class_name for finding in chapter.findings if finding.is_alarm} == {ALL, "Ductal", "Lobular"}


def test_a_half_swapped_class_is_named_with_what_it_looks_like_but_has_not_collapsed(plant: Plant, plan: Any) -> None:
    chapter = judge_labels(*plant(plan("half swapped", per_class=200, patients=16)), seed=0)
    (alarm,) = alarms(chapter)
    assert alarm.startswith("Ductal")
    assert "mostly like Lobular" in alarm
    swapped, intact = (score_of(chapter, "agreement", name) for name in ("Ductal", "Mucinous"))
    high, floor_low = numbers(swapped.high, swapped.floor_low)
    assert high < floor_low
    value, floor = numbers(intact.value, intact.floor)
    assert value == pytest.approx(floor, abs=0.1)


def test_a_gap_that_few_patients_may_make_is_named_without_an_alarm(plant: Plant, plan: Any) -> None:
    chapter = judge_labels(*plant(plan("half swapped", per_class=200, patients=10)), seed=0)
    assert alarms(chapter) == []
    (remark,) = (finding for finding in chapter.findings if finding.class_name == "Ductal")
    assert "among 10 patients" in remark.sentence


@pytest.mark.parametrize(("fault", "is_poor"), [("honest", False), ("shuffled", True)])
def test_images_teach_as_well_as_they_are_labelled(plant: Plant, plan: Any, fault: str, is_poor: bool) -> None:
    chapter = judge_labels(*plant(plan(fault, per_class=64, patients=12)), seed=0)
    there, back = score_of(chapter, "CAS"), score_of(chapter, "CAS back")
    for score in (there, back):
        value, floor = numbers(score.value, score.floor)
        assert (value < floor - 0.2) == is_poor
    recalls = [score_of(chapter, "CAS recall", name) for name in ("Ductal", "Lobular", "Mucinous")]
    assert np.mean(numbers(*[each.value for each in recalls])) == pytest.approx(there.value)
    assert np.mean(numbers(*[each.floor for each in recalls])) == pytest.approx(there.floor)
    assert there.n_real == there.n_synthetic == 3 * 64
    assert any("trained on synthetic images" in alarm for alarm in alarms(chapter)) == is_poor


def test_every_row_answers_the_question_and_names_the_extractor(plant: Plant, plan: Any) -> None:
    judged, embedded = plant(plan())
    chapter = judge_labels(judged, embedded, seed=0)
    assert len(chapter.scores) == 4 + 3 + 2 + 3
    for score in chapter.scores:
        assert score.question == "obedient"
        assert score.extractor_digest == embedded.extractor.digest
    assert judge_labels(judged, embedded, seed=0) == chapter


def test_the_order_of_the_images_does_not_matter(plant: Plant, plan: Any) -> None:
    judged, embedded = plant(plan(per_class=64))
    order = np.random.default_rng(0).permutation(len(judged.synthetic))
    made = judged.synthetic
    shuffled = replace(made, indices=made.indices[order], label=made.label[order], group=made.group[order])
    first = judge_labels(judged, embedded, seed=0)
    second = judge_labels(
        replace(judged, synthetic=shuffled), replace(embedded, synthetic=embedded.synthetic[order]), seed=0
    )
    assert len(first.scores) == len(second.scores)
    for ours, theirs in zip(first.scores, second.scores, strict=True):
        assert ours.value == pytest.approx(theirs.value, abs=1e-6)
        assert ours.floor == pytest.approx(theirs.floor, abs=1e-6)


def without(judged: Judged, embedded: Embedded, side: str, keep: Any) -> tuple[Judged, Embedded]:
    images = getattr(judged, side)
    fewer = replace(images, indices=images.indices[keep], label=images.label[keep], group=images.group[keep])
    return replace(judged, **{side: fewer}), replace(embedded, **{side: getattr(embedded, side)[keep]})


@pytest.mark.parametrize("side", ["train", "held_out", "synthetic"])
def test_a_class_that_is_missing_on_one_side_has_a_reason_and_the_others_a_figure(
    plant: Plant, plan: Any, side: str
) -> None:
    judged, embedded = plant(plan())
    chapter = judge_labels(*without(judged, embedded, side, getattr(judged, side).label != 1), seed=0)
    absent, present = (score_of(chapter, "agreement", name) for name in ("Lobular", "Ductal"))
    assert absent.value is None
    assert "it takes 8" in absent.note
    assert present.value is not None
    assert "Lobular" in score_of(chapter, "CAS").note


def test_without_held_out_patients_the_separation_of_the_classes_still_comes_out(plant: Plant, plan: Any) -> None:
    judged, embedded = plant(plan("shuffled", per_class=100))
    nobody = np.zeros(len(judged.held_out), np.bool_)
    chapter = judge_labels(*without(judged, embedded, "held_out", nobody), seed=0)
    for metric in ("agreement", "CAS", "CAS back"):
        score = score_of(chapter, metric)
        assert score.value is None
        assert "0 validation images of 0 patients" in score.note
    assert any("look alike" in alarm for alarm in alarms(chapter))


def test_one_patient_per_class_is_said_to_be_too_few(plant: Plant, plan: Any) -> None:
    judged, embedded = plant(plan())
    first = [np.unique(judged.train.group[judged.train.label == label])[0] for label in range(3)]
    chapter = judge_labels(*without(judged, embedded, "train", np.isin(judged.train.group, first)), seed=0)
    assert "of 1 patients; it takes 8 images of 2 patients" in score_of(chapter, "agreement").note


def test_features_without_numbers_give_reasons_only(plant: Plant, plan: Any) -> None:
    judged, embedded = plant(plan())
    embedded.synthetic[5, 2] = np.nan
    chapter = judge_labels(judged, embedded, seed=0)
    assert len(chapter.scores) == 4
    for score in chapter.scores:
        assert score.value is None
        assert "NaN" in score.note


def test_constant_features_separate_nothing_and_raise_no_alarm(plant: Plant, plan: Any) -> None:
    judged, embedded = plant(plan())
    flat = {side: np.ones_like(getattr(embedded, side)) for side in ("train", "held_out", "synthetic")}
    chapter = judge_labels(judged, replace(embedded, **flat), seed=0)
    assert alarms(chapter) == []
    assert score_of(chapter, "agreement").value == pytest.approx(1 / 3)


def test_no_patient_is_named(plant: Plant, plan: Any) -> None:
    judged, embedded = plant(plan("shuffled"))
    chapter = judge_labels(judged, embedded, seed=0)
    text = " ".join([*(str(score) for score in chapter.scores), *(str(finding) for finding in chapter.findings)])
    names = {*judged.train.group, *judged.held_out.group}
    assert len(names) > 20
    assert [name for name in names if name in text] == []
