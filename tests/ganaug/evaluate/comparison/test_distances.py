"""Rows per class and overall: proportions, floors, held-out patients, intervals, missing figures and their reasons."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.evaluate.comparison.distances import judge_distances
from ganaug.evaluate.comparison.permutation import MIN_PATIENTS
from ganaug.evaluate.comparison.splits import NUM_SPLITS
from ganaug.evaluate.extractors.extractor import Extractor, unit_scale
from ganaug.evaluate.judged import Embedded, ImageSet, Judged
from ganaug.evaluate.metrics.metric import QUESTIONS
from ganaug.evaluate.metrics.registry import METRICS
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.evaluate.table import format_scores

NUM_FEATURES = 3
PARTS = ("train", "held_out", "synthetic")
Labels = NDArray[np.int64]


def set_of(label: Labels, group: NDArray[np.str_] | None = None) -> ImageSet:
    images = np.zeros((len(label), 1, 1, 3), np.uint8)  # nothing here looks at pixels
    return ImageSet(images, np.arange(len(label)), label, np.full(len(label), "") if group is None else group)


def patients_of(label: Labels, per_patient: int, prefix: str = "p") -> NDArray[np.str_]:
    return np.array([f"{prefix}{each}-{place // per_patient}" for place, each in enumerate(label.tolist())])


def features_of(label: Labels, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian around a mean that the class decides."""
    return rng.normal(size=(len(label), NUM_FEATURES)) + 4.0 * label[:, None]


def case(extractor: Extractor, *, per_class: int = 48, made: int = 60, held_out: int = 24) -> tuple[Judged, Embedded]:
    """Two classes, 8 patients each, with held-out patients; an ideal generator."""
    rng = np.random.default_rng(0)
    train, out, synthetic = (np.repeat([0, 1], count) for count in (per_class, held_out, made))
    judged = Judged(
        train=set_of(train, patients_of(train, per_class // 8)),
        held_out=set_of(out, patients_of(out, 4, "h")),
        synthetic=set_of(synthetic),
        class_names=("a", "b"),
        held_out_part="validation patients",
    )
    return judged, Embedded(extractor, *(features_of(label, rng) for label in (train, out, synthetic)))


def row_of(scores: Sequence[ImageScore], name: str, metric: str = "frechet") -> ImageScore:
    (score,) = (score for score in scores if score.metric.startswith(metric) and score.class_name == name)
    return score


def test_every_metric_has_a_row_for_each_class_with_all_figures(pixels: Extractor) -> None:
    judged, embedded = case(pixels)
    scores = judge_distances(judged, embedded, seed=0).scores
    assert [(score.metric, score.class_name) for score in scores] == [
        (f"{metric}[pixels]", name) for metric in METRICS for name in (ALL, "a", "b")
    ]
    for score in scores:
        metric = METRICS[score.metric.removesuffix("[pixels]")]
        assert not score.note
        for figure in ("value", "low", "high", "value_at_half", "floor", "floor_low", "floor_high", "held_out"):
            assert getattr(score, figure) is not None, (score.metric, figure)
        assert score.held_out_floor is not None
        assert (score.p_value is not None) == (metric.name == "kernel")
        assert (score.ratio is not None) == metric.is_ratio
        assert score.question == metric.question
        assert score.question in QUESTIONS
        assert score.num_splits == NUM_SPLITS
        factor = 2 if score.class_name == ALL else 1
        assert (score.n_real, score.n_synthetic) == (48 * factor, 60 * factor)
        assert score.n_held_out == 24 * factor
    kernel = row_of(scores, ALL, "kernel")
    assert kernel.p_value is not None
    assert kernel.p_value > 0.02
    assert kernel.value is not None
    assert kernel.low is not None
    assert kernel.high is not None
    assert kernel.low < kernel.value < kernel.high


def test_without_intervals_the_other_figures_are_the_same(pixels: Extractor) -> None:
    judged, embedded = case(pixels)
    full = judge_distances(judged, embedded, seed=3).scores
    brief = judge_distances(judged, embedded, seed=3, with_intervals=False).scores
    assert [replace(score, low=None, high=None, p_value=None) for score in full] == list(brief)


def test_no_figure_depends_on_the_names_of_patients(pixels: Extractor) -> None:
    judged, embedded = case(pixels)
    renamed = np.array(
        [f"z{hash_of * 7919 % 1000}" for hash_of in np.unique(judged.train.group, return_inverse=True)[1]]
    )
    assert len(np.unique(renamed)) == 16
    other = replace(judged, train=replace(judged.train, group=renamed))
    assert judge_distances(other, embedded, seed=1) == judge_distances(judged, embedded, seed=1)


def test_the_floor_depends_on_the_synthetic_images_by_their_matched_numbers_only(pixels: Extractor) -> None:
    judged, embedded = case(pixels)
    rng = np.random.default_rng(9)
    first = judge_distances(judged, embedded, seed=2, with_intervals=False).scores
    floors = ("floor", "floor_low", "floor_high", "floor_std", "held_out_floor", "n_half")
    # images of either class, and the rows that have more of them than a half and the held-out part hold
    for counts, names in (((90, 40), (ALL, "a", "b")), ((60, 10), ("a",)), ((0, 60), ("b",))):
        made = np.repeat([0, 1], counts)
        other = replace(judged, synthetic=set_of(made)), replace(embedded, synthetic=features_of(made, rng))
        scores = judge_distances(*other, seed=2, with_intervals=False).scores
        for before, after in zip(first, scores, strict=True):
            if before.class_name in names:
                assert [getattr(after, name) for name in floors] == [getattr(before, name) for name in floors]


def test_the_order_of_images_changes_neither_value_nor_interval(pixels: Extractor) -> None:
    judged, embedded = case(pixels, made=48)
    order = np.random.default_rng(5).permutation(len(judged.train))
    mixed = replace(
        judged, train=replace(judged.train, label=judged.train.label[order], group=judged.train.group[order])
    )
    first = judge_distances(judged, embedded, seed=1).scores
    second = judge_distances(mixed, replace(embedded, train=embedded.train[order]), seed=1).scores
    for metric in ("frechet", "kernel"):
        before, after = row_of(first, "a", metric), row_of(second, "a", metric)
        assert after.value == pytest.approx(before.value, rel=1e-9)
        assert before.low is not None
        assert after.low is not None
        assert before.value is not None
        width = before.value - before.low
        assert after.low == pytest.approx(before.low, abs=0.5 * width), "only which synthetic images go with a patient"


def test_overall_value_uses_the_class_proportions_of_the_real_images(pixels: Extractor) -> None:
    rng = np.random.default_rng(0)
    label, made = np.repeat([0, 1], [20, 60]), np.repeat([0, 1], [60, 60])
    judged = Judged(set_of(label, patients_of(label, 4)), set_of(label[:0]), set_of(made), ("a", "b"), "")
    embedded = Embedded(pixels, features_of(label, rng), np.zeros((0, NUM_FEATURES)), features_of(made, rng))
    overall = row_of(judge_distances(judged, embedded, seed=0, with_intervals=False).scores, ALL)
    assert overall.n_synthetic == 80
    assert overall.value is not None
    assert overall.floor is not None
    assert overall.value < 3 * overall.floor, "equal proportions, so no distance between classes"
    assert "no images of held-out patients" in overall.note
    assert overall.held_out is None


def test_a_collapsed_class_is_named_by_its_p_value_and_its_interval(pixels: Extractor) -> None:
    judged, embedded = case(pixels)
    images = embedded.synthetic.copy()
    images[judged.synthetic.label == 1] = images[judged.synthetic.label == 1][:1]
    scores = judge_distances(judged, replace(embedded, synthetic=images), seed=0).scores
    good, bad = row_of(scores, "a", "kernel"), row_of(scores, "b", "kernel")
    assert good.p_value is not None
    assert bad.p_value is not None
    assert bad.p_value < 0.02 < good.p_value
    frechet = row_of(scores, "b")
    assert frechet.low is not None
    assert frechet.floor_high is not None
    assert frechet.low > frechet.floor_high


def test_a_generator_that_copies_its_patients_is_below_the_floor_but_not_to_held_out_patients(
    pixels: Extractor,
) -> None:
    rng = np.random.default_rng(1)
    label = np.repeat([0, 1], 48)
    judged, embedded = case(pixels)
    effect = 2 * rng.normal(size=(16, NUM_FEATURES))[np.repeat(np.arange(16), 6)]
    train = embedded.train + effect
    copies = replace(embedded, train=train, synthetic=train + 0.1 * rng.normal(size=train.shape))
    judged = replace(judged, synthetic=set_of(label))
    out = embedded.held_out + 2 * rng.normal(size=(12, NUM_FEATURES))[np.repeat(np.arange(12), 4)]
    row = row_of(judge_distances(judged, replace(copies, held_out=out), seed=0, with_intervals=False).scores, ALL)
    assert row.value is not None
    assert row.floor is not None
    assert row.held_out is not None
    assert row.held_out_floor is not None
    assert row.value < 0.2 * row.floor
    assert row.held_out == pytest.approx(row.held_out_floor, rel=0.2)


def test_too_few_patients_or_images_give_no_figure_but_a_reason(pixels: Extractor) -> None:
    rng = np.random.default_rng(0)
    label, made = np.repeat([0, 1, 2, 3], [30, 30, 30, 30]), np.repeat([0, 1, 2], [30, 30, 3])
    group = patients_of(label, 3)
    group[:30] = "only"
    judged = Judged(set_of(label, group), set_of(label[:0]), set_of(made), ("a", "b", "c", "d"), "")
    embedded = Embedded(pixels, features_of(label, rng), np.zeros((0, NUM_FEATURES)), features_of(made, rng))
    scores = judge_distances(judged, embedded, seed=0).scores
    assert len(scores) == 5 * len(METRICS)
    alone, few, fine, absent = (row_of(scores, name, "kernel") for name in ("a", "c", "b", "d"))
    assert alone.value is not None
    assert alone.floor is alone.low is alone.p_value is None
    assert alone.num_splits == 0
    assert "1 training patients" in alone.note
    assert "a: no interval: 1 patients" in alone.note
    assert "a: no p-value" in alone.note
    assert f"it takes {MIN_PATIENTS}" in alone.note
    assert few.value is few.floor is few.p_value is None
    assert "3 synthetic" in few.note
    assert absent.value is None
    assert "0 synthetic" in absent.note
    assert fine.floor is not None
    assert fine.p_value is not None
    assert not fine.note
    overall = row_of(scores, ALL, "kernel").note
    assert "all classes without d" in overall
    assert "leave out a" in overall
    assert "only" not in "".join(score.note for score in scores)
    text = format_scores(scores)
    assert alone.note in text
    assert "–" in text


def test_few_held_out_images_are_a_note_with_how_many_it_takes(pixels: Extractor) -> None:
    judged, embedded = case(pixels, held_out=5)
    score = row_of(judge_distances(judged, embedded, seed=0, with_intervals=False).scores, "a")
    assert score.held_out is score.held_out_floor is None
    assert score.n_held_out == 5
    assert "a: 5 images of validation patients, 60 synthetic and 48 training ones leave 5 on each side" in score.note
    assert f"it takes {METRICS['frechet'].needs}" in score.note


def test_a_class_without_synthetic_images_is_an_alarm_and_not_said_to_lack_held_out_ones(pixels: Extractor) -> None:
    judged, embedded = case(pixels)
    of_a = judged.synthetic.of_class(0)
    chapter = judge_distances(
        replace(judged, synthetic=set_of(judged.synthetic.label[of_a])),
        replace(embedded, synthetic=embedded.synthetic[of_a]),
        seed=0,
        with_intervals=False,
    )
    assert [(each.class_name, each.sentence) for each in chapter.findings if each.question == "obedient"] == [
        ("b", "no synthetic image of b")
    ]
    assert "24 images of validation patients, 0 synthetic" in row_of(chapter.scores, "b").note


def test_one_image_in_place_of_a_class_is_an_alarm_of_that_class(pixels: Extractor) -> None:
    judged, embedded = case(pixels)
    images = embedded.synthetic.copy()
    images[judged.synthetic.label == 1] = images[judged.synthetic.label == 1][:1]
    ideal, bad = (judge_distances(judged, each, seed=0) for each in (embedded, replace(embedded, synthetic=images)))
    assert not any(each.is_alarm for each in ideal.findings)
    (found,) = (each for each in bad.findings if each.class_name != ALL)
    assert (found.class_name, found.question, found.is_alarm) == ("b", "diverse", True)
    assert "vendi[pixels] 1 (" in found.sentence
    assert "recall[pixels] 0 (" in found.sentence


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_features_of_a_class_cost_its_rows_and_no_others(pixels: Extractor, bad: float) -> None:
    judged, embedded = case(pixels)
    train = embedded.train.copy()
    train[-1, 0] = bad
    scores = judge_distances(judged, replace(embedded, train=train), seed=0).scores
    for name, is_fine in (("a", True), ("b", False), (ALL, False)):
        score = row_of(scores, name)
        assert (score.value is not None) == is_fine
        assert is_fine or "1 real and 0 synthetic images have NaN or infinite features" in score.note
    assert row_of(scores, "a").low is not None


def test_images_that_are_all_alike_give_rows_and_no_error(pixels: Extractor) -> None:
    judged, embedded = case(pixels)
    same = replace(
        embedded, **{part: np.zeros_like(getattr(embedded, part)) for part in ("train", "held_out", "synthetic")}
    )
    scores = judge_distances(judged, same, seed=0).scores
    assert len(scores) == 3 * len(METRICS)
    assert row_of(scores, "a").value == 0.0
    assert row_of(scores, "a", "vendi").value is None
    assert "all zero" in row_of(scores, "a", "vendi").note
    assert all(score.value is not None or score.note for score in scores)


def test_the_scale_of_features_matters_to_fid_alone(pixels: Extractor) -> None:
    judged, embedded = case(pixels)
    louder = replace(embedded, **{part: 10 * getattr(embedded, part) for part in PARTS})
    for extractor, factor in ((pixels, 1), (replace(pixels, feature_scale=unit_scale), 100)):
        sets = (replace(each, extractor=extractor) for each in (embedded, louder))
        quiet, loud = (row_of(judge_distances(judged, each, seed=0, with_intervals=False).scores, ALL) for each in sets)
        for figure in ("value", "value_at_half", "floor", "floor_low", "held_out"):
            assert getattr(loud, figure) == pytest.approx(factor * getattr(quiet, figure), rel=1e-9)


def test_the_note_of_the_extractor_stands_with_every_metric(pixels: Extractor) -> None:
    for held_out in (24, 5):  # of which the second has a note of its own
        judged, embedded = case(pixels, held_out=held_out)
        noted = replace(embedded, extractor=replace(pixels, note="a floor too low"))
        scores = judge_distances(judged, noted, seed=0, with_intervals=False).scores
        assert all(score.note for score in scores)
        overall = [score for score in scores if score.class_name == ALL]
        assert len(overall) == len(METRICS)
        assert all(score.note.endswith("a floor too low") for score in overall)
