"""The audit's chapter: alarms at planted copies, none at honest images, and a sentence where nothing can be said."""

import base64
import io
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganaug.config import BREAST_CLASSES
from ganaug.evaluate.judged import Chapter, Finding
from ganaug.evaluate.scores import ALL, ImageScore

# patients of the phantom: training, held-out, and those whose images play an honest generator
TRAIN, HELD_OUT, HONEST = (0, 16), (16, 24), (24, 74)


def finding(chapter: Chapter, class_name: str = ALL) -> Finding:
    (found,) = [each for each in chapter.findings if each.class_name == class_name]
    return found


def score(chapter: Chapter, metric: str, class_name: str = ALL) -> ImageScore:
    (found,) = [each for each in chapter.scores if (each.metric, each.class_name) == (metric, class_name)]
    return found


def plant(honest: Any, copies: NDArray[np.uint8]) -> Any:
    """The honest images, the first of class 0 replaced by copies."""
    images = honest.images.copy()
    images[np.flatnonzero(honest.label == 0)[: len(copies)]] = copies
    return replace(honest, images=images)


@pytest.fixture(scope="module")
def sets(phantom: Any) -> Any:
    return [phantom.of(*patients) for patients in (TRAIN, HELD_OUT, HONEST)]


def test_an_honest_generator_raises_no_alarm_and_the_sentence_says_what_would_have_been_seen(
    judge: Any, sets: Any
) -> None:
    chapter = judge(*sets)
    assert [each.class_name for each in chapter.findings] == [ALL, *BREAST_CLASSES]
    assert not any(each.is_alarm or each.todo for each in chapter.findings)
    assert finding(chapter).sentence == "no copies found among 500; a rate above 0.6 % would have been seen"
    assert score(chapter, "copies").value == score(chapter, "copies").held_out == 0


def test_five_exact_copies_among_500_are_found_in_their_class(judge: Any, sets: Any) -> None:
    train, held_out, honest = sets
    chapter = judge(train, held_out, plant(honest, train.images[[3, 33, 63, 93, 123]]))
    for name, num in ((ALL, 500), (BREAST_CLASSES[0], 130)):
        assert finding(chapter, name).sentence == f"5 of {num} are copies of training images"
        assert finding(chapter, name).is_alarm
        assert "--reject-copies" in finding(chapter, name).todo
        assert "a lower --ada-target" in finding(chapter, name).todo, "which raises ADA's probability"
        row = score(chapter, "copies", name)
        assert row.value == pytest.approx(5 / num)
        assert row.p_value is not None
        assert row.low is not None
        assert row.high is not None
        assert row.low < 5 / num < row.high
        assert row.p_value < 1e-6
    assert not any(finding(chapter, name).is_alarm for name in BREAST_CLASSES[1:])


def test_copies_of_one_patient_in_disguise_are_said_to_be_so_without_the_name(
    judge: Any, sets: Any, bench: ModuleType
) -> None:
    train, held_out, honest = sets
    rng = np.random.default_rng(0)
    copies = np.stack([bench.DISGUISES["combined"](image, rng) for image in train.images[20:30]])
    chapter = judge(train, held_out, plant(honest.of(0, 16), copies))
    assert "are copies of one patient" in finding(chapter).sentence
    texts = [str(each.to_dict()) for each in (*chapter.scores, *chapter.findings)]
    texts += [each.title + each.caption for each in chapter.exhibits]
    assert not any("phantom-p" in text for text in texts)


def test_every_figure_stands_next_to_the_held_out_one_per_class(judge: Any, sets: Any) -> None:
    train, held_out, honest = sets
    chapter = judge(train, held_out, honest.of(0, 10))
    assert {each.question for each in (*chapter.scores, *chapter.findings, *chapter.exhibits)} == {"copying"}
    for metric in ("copies", "pixel similarity", "authenticity[colours]", "one patient[colours]"):
        for name in (ALL, *BREAST_CLASSES):
            row = score(chapter, metric, name)
            assert row.value is not None
            assert row.held_out is not None
    for name in (ALL, *BREAST_CLASSES):
        row = score(chapter, "C_T[colours]", name)
        assert row.p_value is not None or "it takes 20 of each" in row.note
    assert "alexnet" in score(chapter, "LPIPS nearest[alex]").note


def test_lpips_ranks_the_nearest_by_features(judge: Any, sets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def distance(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.asarray(np.abs(first.astype(float) - second).mean((1, 2, 3)))

    monkeypatch.setattr("ganaug.evaluate.copies.figures.lpips_distance", lambda folder, device: distance)
    train, held_out, _ = sets
    row = score(judge(train, held_out, train), "LPIPS nearest[alex]")
    assert row.value == 0
    assert row.held_out is not None
    assert row.held_out > 1


def test_the_gallery_is_a_small_picture_with_the_copies_first(judge: Any, sets: Any) -> None:
    train, held_out, honest = sets
    (exhibit,) = judge(train, held_out, plant(honest.of(0, 8), train.images[[3, 33]])).exhibits
    kind, _, content = exhibit.uri.partition(",")
    assert kind == "data:image/png;base64"
    assert len(exhibit.uri) < 1e6
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        reds = np.asarray(picture.convert("RGB")).reshape(-1, 3) == (178, 34, 34)  # the frames of copies
    assert reds.all(1).sum() > 500


# ---- bad input -------------------------------------------------------------------------------------------------------


def test_without_held_out_images_training_patients_set_the_null(judge: Any, sets: Any) -> None:
    train, held_out, honest = sets
    nobody, few = held_out.of(0, 0), honest.of(0, 10)
    for images, is_alarm in ((few, False), (plant(few, train.images[[3, 33, 63]]), True)):
        chapter = judge(train, nobody, images)
        assert finding(chapter).is_alarm == is_alarm
        assert "no held-out image" in score(chapter, "copies").note
        assert score(chapter, "copies").held_out is None
        assert score(chapter, "C_T[colours]").value is None


def test_one_training_patient_is_judged_by_held_out_images_and_not_without(judge: Any, sets: Any) -> None:
    train, held_out, honest = sets
    alone, images = train.of(0, 1), plant(honest.of(0, 10), train.images[[1, 2, 3]])
    assert finding(judge(alone, held_out, images)).is_alarm
    chapter = judge(alone, held_out.of(0, 0), images)
    assert [each.is_alarm for each in chapter.findings] == [False]
    assert "it takes 10 of 2" in finding(chapter).sentence
    assert score(chapter, "copies").value is None
    assert score(chapter, "pixel similarity").value is not None
    assert "it takes 2" in score(chapter, "authenticity[colours]").note


def test_blank_images_are_counted_apart_and_are_copies_of_none(judge: Any, sets: Any) -> None:
    train, held_out, honest = sets
    rng, few = np.random.default_rng(0), honest.of(0, 10)
    glass = rng.normal(240, 2, (8, *train.images.shape[1:])).clip(0, 255).astype(np.uint8)
    glass[:4] = 200
    images = train.images.copy()
    images[:4] = 200
    chapter = judge(replace(train, images=images), held_out, plant(few, glass))
    assert finding(chapter).sentence.startswith("no copies found among 92;")
    assert "8 blank images not counted" in finding(chapter).sentence
    assert not any(each.is_alarm for each in chapter.findings)


def test_only_blank_images_are_no_evidence(judge: Any, sets: Any) -> None:
    train, held_out, honest = sets
    few = honest.of(0, 2)
    chapter = judge(train, held_out, replace(few, images=np.full_like(few.images, 200)))
    assert "cannot be judged" in finding(chapter).sentence
    assert score(chapter, "copies").value is None


@pytest.mark.parametrize("missing", ["training", "synthetic"])
def test_no_images_end_in_a_sentence(judge: Any, sets: Any, missing: str) -> None:
    train, held_out, honest = sets
    chapter = judge(
        train.of(0, 0) if missing == "training" else train, held_out, honest.of(0, int(missing != "synthetic"))
    )
    assert f"0 {missing}" in finding(chapter).sentence
    assert not chapter.exhibits


def test_features_that_are_no_numbers_leave_the_verdict(judge: Any, sets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train, held_out, honest = sets
    monkeypatch.setattr("ganaug.evaluate.judged.Embedded.scaled", lambda self: replace(self, train=self.train * np.nan))
    chapter = judge(train, held_out, honest.of(0, 10))
    assert score(chapter, "copies").value == 0
    assert "no finite numbers" in score(chapter, "authenticity[colours]").note


def test_a_held_out_image_that_is_a_training_image_is_named_as_a_leak(judge: Any, sets: Any) -> None:
    train, held_out, honest = sets
    images = held_out.images.copy()
    images[0] = train.images[5][::-1]
    chapter = judge(train, replace(held_out, images=images), honest.of(0, 10))
    leak = chapter.findings[-1]
    assert "1 image of validation patients, of 80" in leak.sentence
    assert "ganaug audit" in leak.todo
    assert not any(each.is_alarm for each in chapter.findings)


def test_a_class_without_images_is_said_to_have_none_and_not_to_show_nothing(judge: Any, sets: Any) -> None:
    train, held_out, honest = sets
    few = honest.of(0, 4)
    others = np.flatnonzero(few.label != 0)
    chapter = judge(
        train, held_out, replace(few, images=few.images[others], label=few.label[others], group=few.group[others])
    )
    name = BREAST_CLASSES[0]
    assert finding(chapter, name).sentence == f"copies cannot be judged: there is no synthetic image of {name}"
    assert score(chapter, "copies", name).note == f"{name}: no synthetic image"
