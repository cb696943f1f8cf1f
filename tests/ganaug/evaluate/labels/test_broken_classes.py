"""A class whose images are all the same, or those of another class: it is named, and the others are left alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ganaug.evaluate.judged import Chapter, Embedded, Finding, Judged
from ganaug.evaluate.labels import agreement
from ganaug.evaluate.labels.chapter import judge_labels
from ganaug.evaluate.labels.linear import Labelled
from ganaug.evaluate.labels.scope import Scope
from ganaug.evaluate.scores import ALL

Plant = Callable[[Any], tuple[Judged, Embedded]]
METRICS = ("agreement", "class separation", "CAS", "CAS back")


def alarms(chapter: Chapter) -> list[Finding]:
    return [finding for finding in chapter.findings if finding.is_alarm]


def notes(chapter: Chapter, class_name: str) -> list[str]:
    return [score.note for score in chapter.scores if score.class_name == class_name and score.value is None]


@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_images_that_are_all_alike_have_no_figure_and_one_alarm(plant: Plant, plan: Any, noise: float) -> None:
    judged, embedded = plant(plan(per_class=40))
    rng = np.random.default_rng(0)
    white = embedded.synthetic[:1] + noise * rng.normal(size=embedded.synthetic.shape)
    chapter = judge_labels(judged, replace(embedded, synthetic=white), seed=0)
    (alarm,) = alarms(chapter)
    assert (alarm.question, alarm.class_name) == ("diverse", ALL)
    assert "all 120 synthetic images are alike" in alarm.sentence
    assert [score.value for score in chapter.scores if score.metric.startswith(METRICS)] == [None] * 9
    for name in judged.class_names:
        assert notes(chapter, name) == [f"{name}: all 40 synthetic images are alike"] * 2


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_class_of_one_repeated_image_is_the_only_one_named(plant: Plant, plan: Any, num_classes: int) -> None:
    judged, embedded = plant(plan(num_classes=num_classes))
    first = judged.synthetic.of_class(0)
    embedded.synthetic[first] = embedded.synthetic[first[0]]
    chapter = judge_labels(judged, embedded, seed=0)
    (alarm,) = alarms(chapter)
    assert alarm.sentence == "all 60 synthetic images of Ductal are alike"
    assert alarm.todo
    assert notes(chapter, "Ductal") == ["Ductal: all 60 synthetic images are alike"] * 2
    for score in chapter.scores:
        if score.metric.startswith(("agreement", "CAS")) and num_classes == 3 and score.class_name != "Ductal":
            assert score.value is not None


def test_features_that_say_nothing_of_real_images_say_nothing_of_repeated_ones(plant: Plant, plan: Any) -> None:
    judged, embedded = plant(plan())
    sides = {side: np.ones_like(getattr(embedded, side)) for side in ("train", "held_out", "synthetic")}
    assert alarms(judge_labels(judged, replace(embedded, **sides), seed=0)) == []


def predictions(agreeing: tuple[int, int], patients: int) -> Labelled:
    """Of 20 images of each patient and two classes, as many are recognised as of `agreeing`; the feature says which."""
    label = np.repeat([0, 1], patients * 20)
    is_agreed = np.tile(np.arange(20), 2 * patients) < np.repeat(agreeing, patients * 20)
    predicted = np.where(is_agreed, label, 1 - label)[:, None].astype(np.float64)
    return Labelled(predicted, label, np.repeat(np.arange(2 * patients), 20).astype(str))


def test_a_broken_class_does_not_change_what_is_said_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "fit_by_patients", lambda *_: None)
    monkeypatch.setattr(agreement, "predict", lambda probe, features: features[:, 0].astype(np.int64))
    real, found = predictions((13, 18), 20), []
    for first in (20, 13, 0):  # recognised more often than real ones, as often, never
        scope = Scope(real, real, predictions((first, 12), 5), ("Ductal", "Lobular"), {})
        chapter = agreement.judge_agreement(scope, "agreement", "validation patients", np.random.default_rng(0))
        found.append([finding for finding in chapter.findings if finding.class_name == "Lobular"])
    assert found[0] == found[1] == found[2]
    assert found[0][0].is_alarm


def test_a_pair_that_is_separated_least_is_named_in_a_remark_and_in_no_note(plant: Plant, plan: Any) -> None:
    judged, embedded = plant(plan("half swapped", per_class=200, patients=16))
    chapter = judge_labels(judged, embedded, seed=0)
    (remark,) = (finding for finding in chapter.findings if "no two classes look alike" in finding.sentence)
    assert "nearest are Ductal and Lobular" in remark.sentence
    separations = [score for score in chapter.scores if score.metric.startswith("class separation")]
    assert [score.note for score in separations] == [embedded.extractor.note] * 3
