"""Distances and their floors: class proportions, missing figures and their reasons, the scale of features."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ganaug.evaluate.comparison.distances import Sides, distance_scores
from ganaug.evaluate.extractors.extractor import Extractor, unit_scale
from ganaug.evaluate.metrics.registry import METRICS
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.evaluate.table import format_scores


def frechet_of(scores: Sequence[ImageScore], name: str) -> ImageScore:
    (score,) = (score for score in scores if score.metric.startswith("frechet") and score.class_name == name)
    return score


def test_overall_value_uses_the_class_proportions_of_the_real_images(pixels: Extractor) -> None:
    rng = np.random.default_rng(0)
    real_label = np.repeat([0, 1], [20, 60])
    synthetic_label = np.repeat([0, 1], [60, 60])
    sides = Sides(
        real=rng.normal(size=(80, 3)) + 4 * real_label[:, None],
        real_label=real_label,
        group=np.array([f"p{i // 4}" for i in range(80)]),
        synthetic=rng.normal(size=(120, 3)) + 4 * synthetic_label[:, None],
        synthetic_label=synthetic_label,
        class_names=("a", "b"),
    )
    overall = frechet_of(distance_scores(sides, pixels, seed=0), ALL)
    assert overall.n_synthetic == 80
    mismatched = replace(sides, real=sides.real[20:], real_label=real_label[20:], group=sides.group[20:])
    of_one_class = frechet_of(distance_scores(mismatched, pixels, seed=0), "b").value
    assert overall.value is not None
    assert of_one_class is not None
    assert overall.value < of_one_class + 1


def test_too_few_patients_or_images_give_no_figure_but_a_reason(pixels: Extractor) -> None:
    rng = np.random.default_rng(0)
    real_label, synthetic_label = np.repeat([0, 1, 2], [30, 30, 30]), np.repeat([0, 1, 2], [30, 30, 3])
    group = np.array(["only"] * 30 + [f"p{i // 3}" for i in range(60)])
    real, synthetic = rng.normal(size=(90, 3)), rng.normal(size=(63, 3))
    scores = distance_scores(
        Sides(real, real_label, group, synthetic, synthetic_label, ("a", "b", "c")), pixels, seed=0
    )
    assert len(scores) == 4 * len(METRICS)
    alone, few, fine = (frechet_of(scores, name) for name in ("a", "c", "b"))
    assert alone.value is not None
    assert alone.floor is None
    assert alone.num_splits == 0
    assert "1 training patients" in alone.note
    assert few.value is few.floor is None
    assert "3 synthetic" in few.note
    assert fine.floor is not None
    assert not fine.note
    assert "leave out a" in frechet_of(scores, ALL).note
    text = format_scores(scores)
    assert alone.note in text
    assert "–" in text


def test_the_scale_of_features_matters_to_fid_alone(pixels: Extractor) -> None:
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 30)
    group = np.array([f"p{i // 5}" for i in range(60)])
    sides = Sides(rng.normal(size=(60, 3)), label, group, rng.normal(1, 1, size=(60, 3)), label, ("a", "b"))
    louder = replace(sides, real=10 * sides.real, synthetic=10 * sides.synthetic)
    for extractor, factor in ((pixels, 1), (replace(pixels, feature_scale=unit_scale), 100)):
        quiet, loud = (frechet_of(distance_scores(each, extractor, seed=0), ALL) for each in (sides, louder))
        for figure in ("value", "value_at_half", "floor"):
            assert getattr(loud, figure) == pytest.approx(factor * getattr(quiet, figure), rel=1e-9)
