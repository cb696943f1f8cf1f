"""Planted stains: stronger, of another hue, without nuclei, none at all; known concentrations; bad input."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.evaluate.appearance.stain import judge_stain
from ganaug.evaluate.appearance.unmix import nuclear_threshold, unmix
from ganaug.evaluate.judged import Chapter, Judged
from ganaug.evaluate.scores import ImageScore

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Draw = Callable[..., Images]
HUE = np.array([[0.45, 0.35], [0.50, 0.90], [0.75, 0.25]])


def row(chapter: Chapter, metric: str, class_name: str) -> ImageScore:
    (score,) = (each for each in chapter.scores if (each.metric, each.class_name) == (metric, class_name))
    return score


@pytest.fixture
def planted(
    draw: Draw, judge: Callable[..., Judged], real_label: Labels, real_group: NDArray[np.str_], made_label: Labels
) -> Callable[..., Judged]:
    def plant(seed: int = 0, **changes: object) -> Judged:
        rng = np.random.default_rng(seed)
        made = draw(made_label, np.arange(len(made_label)).astype(str), rng, **changes)
        return judge(draw(real_label, real_group, rng), real_label, real_group, made, made_label)

    return plant


def alarms(chapter: Chapter) -> dict[str, list[str]]:
    """The quantities with an alarm, per class."""
    found: dict[str, list[str]] = {}
    for finding in chapter.findings:
        if finding.is_alarm:
            found.setdefault(finding.class_name, []).append(finding.sentence)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_honest_images_raise_no_alarm_and_the_largest_shift_is_named(planted: Callable[..., Judged], seed: int) -> None:
    chapter = judge_stain(planted(seed), seed=0)
    assert alarms(chapter) == {}
    (remark,) = chapter.findings
    assert "not clearly outside the range" in remark.sentence
    assert "standard deviations between patients" in remark.sentence
    assert len(chapter.scores) == 2 * (4 + 2)
    for score in chapter.scores:
        assert score.question == "appearance"
        assert score.value is not None
    stronger = [row(chapter, "nuclear area", name).floor or 0.0 for name in ("Benign", "Malignant")]
    assert stronger[1] > stronger[0] + 0.05


def test_a_stronger_stain_is_found_in_both_stains_and_leaves_the_nuclei(planted: Callable[..., Judged]) -> None:
    chapter = judge_stain(planted(strength=1.3), seed=0)
    found = alarms(chapter)
    assert set(found) == {"Benign", "Malignant"}
    for name, sentences in found.items():
        assert [sentence.split(" of synthetic")[0] for sentence in sentences] == [
            "the haematoxylin",
            "the eosin",
        ]
        assert all(f"asked to be {name}" in sentence for sentence in sentences)
        for stain in ("haematoxylin", "eosin"):
            score = row(chapter, stain, name)
            assert score.value == pytest.approx(1.3 * (score.floor or 0.0), rel=0.08)


def test_another_hue_is_found_as_colour_that_neither_stain_has(planted: Callable[..., Judged]) -> None:
    found = alarms(judge_stain(planted(stains=HUE), seed=0))
    assert set(found) == {"Benign", "Malignant"}
    for sentences in found.values():
        assert any("other colour" in sentence for sentence in sentences)


def test_images_without_nuclei_are_found(planted: Callable[..., Judged]) -> None:
    judged = planted()
    made = judged.synthetic
    blurred = np.stack([image * 0.0 + image.mean((0, 1)) for image in made.pixels().astype(np.float64)])
    noise = np.random.default_rng(0).normal(0, 6, size=(*blurred.shape[:3], 1))
    flat = np.clip(blurred * (1 + noise / 128), 0, 254).round().astype(np.uint8)
    chapter = judge_stain(replace(judged, synthetic=replace(made, images=flat)), seed=0)
    assert alarms(chapter)
    faint = judge_stain(planted(nuclei=0.25), seed=0)
    assert any("haematoxylin" in text for sentences in alarms(faint).values() for text in sentences)


def test_advice_on_stain_is_not_given_for_nuclei(planted: Callable[..., Judged]) -> None:
    chapter = judge_stain(planted(nuclei=0.25), seed=0)
    todos = {finding.sentence.split(" of ")[0]: finding.todo for finding in chapter.findings if finding.is_alarm}
    assert {"the haematoxylin", "the nuclear area"} <= set(todos)
    for quantity, todo in todos.items():
        assert ("--stain" in todo) == (quantity != "the nuclear area")


def test_a_repeated_image_has_no_median(planted: Callable[..., Judged]) -> None:
    judged = planted(strength=1.6)
    made = judged.synthetic
    repeated = replace(made, indices=np.where(made.label == 0, 0, made.indices))
    chapter = judge_stain(replace(judged, synthetic=repeated), seed=0)
    assert set(alarms(chapter)) == {"Malignant"}
    assert row(chapter, "eosin", "Benign").value is None
    assert row(chapter, "eosin", "Benign").note == "Benign: all 40 synthetic images are alike"


def test_known_concentrations_come_back() -> None:
    stains = np.array([[0.65, 0.07], [0.70, 0.99], [0.29, 0.11]])
    stains /= np.linalg.norm(stains, axis=0)
    amounts = np.random.default_rng(0).uniform(0.2, 1.0, size=(16 * 16, 2))
    image = (255 * np.exp(-amounts @ stains.T) - 1).round().astype(np.uint8).reshape(16, 16, 3)
    found, left = unmix(image, stains)
    assert found == pytest.approx(amounts, abs=0.02)
    assert left.max() < 0.02
    white, nothing = unmix(np.full((4, 4, 3), 255, np.uint8), stains)
    assert white.shape == (0, 2)
    assert nothing.shape == (0,)


def test_the_threshold_lies_between_two_groups() -> None:
    histogram = np.zeros(256)
    histogram[20:30], histogram[100:110] = 5, 1
    assert 30 <= nuclear_threshold(histogram) * 256 / 3 <= 100


def test_the_order_of_the_images_does_not_matter(planted: Callable[..., Judged]) -> None:
    judged = planted(strength=1.3)
    order = np.random.default_rng(0).permutation(len(judged.synthetic))
    made = judged.synthetic
    other = replace(judged, synthetic=replace(made, indices=made.indices[order], label=made.label[order]))
    first, second = judge_stain(judged, seed=0), judge_stain(other, seed=0)
    assert len(first.scores) == len(second.scores) == 12
    for ours, theirs in zip(first.scores, second.scores, strict=True):
        assert (ours.value, ours.low, ours.floor) == pytest.approx((theirs.value, theirs.low, theirs.floor))


@pytest.mark.parametrize("kind", ["grey", "white", "black"])
def test_synthetic_images_without_stain_are_counted_and_an_alarm(planted: Callable[..., Judged], kind: str) -> None:
    judged = planted()
    made = judged.synthetic
    grey = made.pixels().mean(3, keepdims=True).astype(np.uint8).repeat(3, axis=3)
    images = {"grey": grey, "white": np.full_like(grey, 255), "black": np.zeros_like(grey)}[kind]
    chapter = judge_stain(replace(judged, synthetic=replace(made, images=images)), seed=0)
    (alarm,) = (finding for finding in chapter.findings if finding.is_alarm)
    assert "80 images of 80 synthetic" in alarm.sentence
    assert row(chapter, "eosin", "Benign").value is None


def test_a_data_set_without_stain_is_not_judged(planted: Callable[..., Judged]) -> None:
    judged = planted()
    train = judged.train
    grey = train.pixels().mean(3, keepdims=True).astype(np.uint8).repeat(3, axis=3)
    chapter = judge_stain(replace(judged, train=replace(train, images=grey)), seed=0)
    assert chapter.findings == ()
    assert len(chapter.scores) == 4
    for score in chapter.scores:
        assert score.value is None
        assert "none of 80 training images" in score.note


def test_a_class_missing_on_one_side_and_a_single_patient_give_reasons(planted: Callable[..., Judged]) -> None:
    judged = planted()
    made, train = judged.synthetic, judged.train
    benign = replace(made, indices=made.indices[::2], label=made.label[::2], group=made.group[::2])
    alone = replace(train, group=np.full(len(train), "patient-0"))
    chapter = judge_stain(replace(judged, synthetic=benign, train=alone), seed=0)
    assert "it takes 8 real and 8 synthetic" in row(chapter, "eosin", "Malignant").note
    score = row(chapter, "eosin", "Benign")
    assert score.value is not None
    assert score.floor_low is None
    assert "1 training patients" in score.note
    assert chapter.findings == ()
