"""Every metric refuses features that it cannot compare, in one line, and has a figure for the rest."""

from typing import cast

import numpy as np
import pytest

from ganaug.errors import DataError
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.metrics.metric import QUESTIONS, Features
from ganaug.evaluate.metrics.registry import METRICS, figure_name

ALONE = "vendi"  # looks at the synthetic images only
LEAST = {"kernel": 3, "frechet": 2, "mind": 2} | dict.fromkeys(("precision", "recall", "density", "coverage"), 6)


def features(num: int = 30, dim: int = 4) -> Features:
    return np.random.default_rng(num).normal(1, 1, size=(num, dim))


def compute(name: str, real: Features, synthetic: Features) -> float:
    return METRICS[name].compute(real, synthetic, np.random.default_rng(0)).value


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_no_number_is_counted(name: str, bad: float) -> None:
    real, synthetic = features(30), features(40)
    synthetic[[3, 5], 1] = bad
    with pytest.raises(DataError, match=r"NaN or infinite features in .* 2 of 40 images; expected finite") as caught:
        compute(name, real, synthetic)
    assert "\n" not in str(caught.value)
    if name != ALONE:
        with pytest.raises(DataError, match="in 2 of 40 and in 0 of 30"):
            compute(name, synthetic, real)


@pytest.mark.parametrize("name", LEAST)
def test_too_few_images_are_counted_on_either_side(name: str) -> None:
    assert set(LEAST) == set(METRICS) - {ALONE}
    least = LEAST[name]
    assert least <= METRICS[name].needs
    assert np.isfinite(compute(name, features(least), features(least)))
    with pytest.raises(DataError, match=f"{least - 1} and 30 images; expected at least {least} "):
        compute(name, features(least - 1), features(30))
    with pytest.raises(DataError, match=f"30 and {least - 1} images; expected at least {least} "):
        compute(name, features(30), features(least - 1))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("shape", [(0, 4), (30,), (30, 0), (30, 2, 2)])
def test_what_is_no_table_of_features_is_named(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="expected"):
        compute(name, features(), np.zeros(shape))


@pytest.mark.parametrize("name", LEAST)
def test_features_of_another_extractor_are_named(name: str) -> None:
    with pytest.raises(DataError, match=r"\(30, 4\) and \(30, 5\)"):
        compute(name, features(30, 4), features(30, 5))


@pytest.mark.parametrize("name", METRICS)
def test_synthetic_images_that_are_all_alike_have_a_figure_and_it_is_bad(name: str) -> None:
    real = features(40)
    alike, honest = compute(name, real, np.full((40, 4), 9.0)), compute(name, real, features(41)[:40])
    assert np.isfinite(alike)
    assert (honest > alike) == METRICS[name].higher_is_better


@pytest.mark.parametrize("name", METRICS)
def test_constant_images_on_both_sides_have_a_figure_or_a_reason(name: str) -> None:
    expected = {"kernel": 0.0, "frechet": 0.0, "vendi": 1.0, "mind": 0.0}
    flat = np.full((40, 4), 0.3)
    if name in expected:
        assert compute(name, flat, flat) == pytest.approx(expected[name], abs=1e-12)
    else:
        with pytest.raises(DataError, match="40 real images do not differ"):
            compute(name, flat, flat)


@pytest.mark.parametrize("name", METRICS)
def test_inputs_are_not_changed_and_float32_serves_as_well(name: str) -> None:
    single = features(30).astype(np.float32), features(40).astype(np.float32)
    as_float64 = single[0].astype(np.float64), single[1].astype(np.float64)
    before = [side.copy() for side in as_float64]
    of_float32 = METRICS[name].compute(*cast("tuple[Features, Features]", single), np.random.default_rng(0))
    assert compute(name, *as_float64) == of_float32.value
    for side, copy in zip(as_float64, before, strict=True):
        np.testing.assert_array_equal(side, copy)


@pytest.mark.parametrize("name", METRICS)
def test_an_entry_asks_a_question_and_only_inception_by_the_book_lends_a_papers_name(
    name: str, pixels: Extractor
) -> None:
    assert METRICS[name].question in QUESTIONS
    assert figure_name(METRICS[name], pixels) == f"{name}[{pixels.name}]"
