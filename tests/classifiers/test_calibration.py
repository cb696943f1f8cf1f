"""Calibration against closed forms, and against what the labels were drawn from."""

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from classifiers.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    ReliabilityBin,
    brier,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability_curve,
)

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


def drawn(num: int = 20_000, num_classes: int = 4, seed: int = 0) -> tuple[Floats, Labels]:
    """Logits, and labels drawn from their softmax: calibrated by construction."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (num, num_classes))
    above = rng.random((num, 1)) > softmax(logits, axis=1).cumsum(1)
    return logits, above.sum(1).clip(0, num_classes - 1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_temperature_that_spoiled_calibrated_logits_is_found(num_classes: int, temperature: float) -> None:
    logits, labels = drawn(num_classes=num_classes)
    spoiled = logits * temperature
    found = fit_temperature(spoiled, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    before, after = (expected_calibration_error(labels, softmax(spoiled / t, axis=1)) for t in (1.0, found))
    assert after < 0.02
    assert temperature == 1 or before > 0.05


def test_no_other_temperature_has_a_lower_loss() -> None:
    logits, labels = drawn(50)
    grid = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 2001)
    losses = [-log_softmax(logits / t, axis=1)[np.arange(50), labels].mean() for t in grid]
    assert fit_temperature(logits, labels) == pytest.approx(grid[np.argmin(losses)], rel=0.003)


def drawn_views(num: int, num_views: int = 8, num_classes: int = 4) -> tuple[Floats, Labels]:
    """Logits [N,V,K], and labels drawn from the mean of their softmax: calibrated as an average by construction."""
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 2, (num, 1, num_classes)) + rng.normal(0, 1.5, (num, num_views, num_classes))
    above = rng.random((num, 1)) > softmax(logits, axis=2).mean(1).cumsum(1)
    return logits, above.sum(1).clip(0, num_classes - 1)


def test_a_single_view_and_equal_views_have_the_temperature_of_plain_logits() -> None:
    logits, labels = drawn(200)
    found = fit_temperature(logits, labels)
    assert fit_temperature(logits[:, None], labels) == found
    assert fit_temperature(np.repeat(logits[:, None], 5, axis=1), labels) == pytest.approx(found, rel=1e-5)
    margins, right = np.tile([0.0, 3.0], (100, 1, 1)), np.array([1] * 80 + [0] * 20)
    assert fit_temperature(margins, right) == pytest.approx(3 / math.log(0.8 / 0.2), rel=1e-4)


def test_views_that_agree_and_views_that_do_not_have_a_closed_form() -> None:
    """Two views of margins m and -m average to one half at any T, so the images whose views agree decide it."""
    agree, differ = np.tile([0.0, 2.0], (20, 2, 1)), np.tile([[0.0, 2.0], [2.0, 0.0]], (30, 1, 1))
    labels = np.array([1] * 15 + [0] * 5 + [0, 1] * 15)
    found = fit_temperature(np.concatenate([agree, differ]), labels)
    assert found == pytest.approx(2 / math.log(0.75 / 0.25), rel=1e-4)


def test_over_confident_views_are_calibrated_as_they_are_averaged() -> None:
    logits, labels = drawn_views(20_000)
    spoiled = 3 * logits
    found = fit_temperature(spoiled, labels)
    assert found == pytest.approx(3, rel=0.05)
    before, after = (expected_calibration_error(labels, softmax(spoiled / t, axis=2).mean(1)) for t in (1.0, found))
    assert (before > 0.05, after < 0.02) == (True, True)
    of_one_view = fit_temperature(spoiled[:, 0], labels)
    assert of_one_view > 1.2 * found, "what suits a view alone makes the average of views unsure"
    as_before = expected_calibration_error(labels, softmax(spoiled / of_one_view, axis=2).mean(1))
    assert as_before > 2 * after


@pytest.mark.parametrize("scale", [0.5, 1.0, 6.0])
def test_no_other_temperature_of_views_has_a_lower_loss(scale: float) -> None:
    logits, labels = drawn_views(60, num_views=3)
    logits *= scale
    grid = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 2001)
    rows = np.arange(60)
    losses = [-np.log(softmax(logits / t, axis=2).mean(1)[rows, labels]).mean() for t in grid]
    assert fit_temperature(logits, labels) == pytest.approx(grid[np.argmin(losses)], rel=0.003)


def test_the_temperature_of_equal_margins_has_a_closed_form() -> None:
    """Two classes, margin m everywhere, a fraction a right: a = 1 / (1 + exp(-m/T))."""
    logits, labels = np.tile([0.0, 3.0], (100, 1)), np.array([1] * 80 + [0] * 20)
    assert fit_temperature(logits, labels) == pytest.approx(3 / math.log(0.8 / 0.2), rel=1e-4)


def test_the_temperature_does_not_depend_on_order_shift_or_type() -> None:
    logits, labels = drawn(200)
    found, order = fit_temperature(logits, labels), np.random.default_rng(1).permutation(200)
    assert fit_temperature(logits[order], labels[order]) == pytest.approx(found)
    assert fit_temperature(logits + 100 * np.arange(200)[:, None], labels) == pytest.approx(found)
    assert fit_temperature(torch.from_numpy(logits), labels) == found


def test_the_temperature_agrees_with_scikit_learn() -> None:
    pytest.importorskip("sklearn", minversion="1.8")
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Logits(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """A classifier whose features are its logits."""

        def fit(self, x: Floats, y: Labels) -> "Logits":
            self.classes_: Labels = np.unique(y)
            return self

        def predict(self, x: Floats) -> Labels:
            called: Labels = x.argmax(1)
            return called

        def decision_function(self, x: Floats) -> Floats:
            return x

    logits, labels = drawn(2000)
    theirs = CalibratedClassifierCV(FrozenEstimator(Logits().fit(logits, labels)), method="temperature")
    ours = softmax(logits * 2 / fit_temperature(logits * 2, labels), axis=1)
    assert theirs.fit(logits * 2, labels).predict_proba(logits * 2) == pytest.approx(ours, abs=1e-3)


@pytest.mark.parametrize(
    ("factor", "bound"),
    [(1.0, MIN_TEMPERATURE), (1e300, MIN_TEMPERATURE), (-1.0, MAX_TEMPERATURE), (-1e-9, MAX_TEMPERATURE)],
)
def test_a_likelihood_without_a_maximum_gives_the_bound_and_says_so(
    factor: float, bound: float, caplog: pytest.LogCaptureFixture
) -> None:
    labels = np.array([0, 1, 2, 2])
    with caplog.at_level(logging.WARNING):
        assert fit_temperature(factor * np.eye(3)[labels], labels) == bound
    assert f"temperature {bound:g}, its bound" in caplog.text


def test_a_class_alone_has_a_temperature_within_the_bounds() -> None:
    labels = np.zeros(3, dtype=np.int64)
    assert fit_temperature(np.array([[2.0, 0.0]] * 3), labels) == MIN_TEMPERATURE
    found = fit_temperature(np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]]), labels)
    assert found == pytest.approx(2 / math.log(2), rel=1e-4)


def test_logits_that_say_nothing_keep_their_temperature(caplog: pytest.LogCaptureFixture) -> None:
    assert fit_temperature(np.full((5, 3), 7.0), np.array([0, 1, 2, 0, 0])) == 1
    assert not caplog.records


def test_a_reliability_curve_counts_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.55, 0.45], [0.5, 0.5], [0.75, 0.25], [0.0, 1.0]])
    labels = np.array([0, 0, 0, 1, 0, 1])
    rows = [(row.confidence, row.accuracy, row.count) for row in reliability_curve(labels, probs, 4)]
    assert len(rows) == 3
    assert rows[0] == (0.5, 0, 1)  # 0.5 is the upper end of its bin, and the first class has the tie
    assert rows[1] == pytest.approx((0.65, 1, 2))  # 0.75 likewise
    assert rows[2] == pytest.approx((0.9, 2 / 3, 3))
    expected = (1 * 0.5 + 2 * 0.35 + 3 * (0.9 - 2 / 3)) / 6
    assert expected_calibration_error(labels, probs, 4) == pytest.approx(expected)


def test_every_prediction_is_in_exactly_a_bin_whatever_their_number() -> None:
    logits, labels = drawn(500)
    probs = softmax(logits, axis=1).astype(np.float32)
    for num_bins in (1, 2, 15, 1000):
        bins = reliability_curve(labels, probs, num_bins)
        assert 0 < len(bins) <= num_bins
        assert sum(row.count for row in bins) == 500
        hits = sum(row.count * row.accuracy for row in bins)
        assert hits == pytest.approx((probs.argmax(1) == labels).sum())
    (only,) = reliability_curve(labels, probs, 1)
    assert expected_calibration_error(labels, probs, 1) == pytest.approx(abs(only.accuracy - only.confidence))


def test_certainty_is_calibrated_when_right_and_as_wrong_as_can_be_when_not() -> None:
    labels = np.array([0, 1, 2, 1])
    for one_hot, error, distance in ((np.eye(3)[labels], 0.0, 0.0), (np.eye(3)[(labels + 1) % 3], 1.0, 2.0)):
        assert expected_calibration_error(labels, one_hot) == error
        assert brier(labels, one_hot) == distance


def test_a_probability_that_float32_rounds_above_one_is_certainty() -> None:
    probs = np.array([[1 + 2e-7, 0], [0, 1]], dtype=np.float32)
    assert probs.max() > 1
    assert reliability_curve(np.array([0, 1]), probs) == (ReliabilityBin(1.0, 1.0, 2),)


def test_brier_is_the_squared_distance_from_the_truth() -> None:
    logits, labels = drawn(300)
    probs = softmax(logits, axis=1)
    assert brier(labels, probs) == pytest.approx(((probs - np.eye(4)[labels]) ** 2).sum(1).mean())
    assert brier(labels, np.full((300, 4), 0.25)) == pytest.approx(0.75**2 + 3 * 0.25**2)


@pytest.mark.parametrize("labels", [[0, 1, 1], [0, 0, 0], [1, 1, 1]])
def test_brier_of_two_classes_is_that_of_either(labels: list[int]) -> None:
    truth, positive = np.array(labels), np.array([0.2, 0.7, 0.4])
    probs = np.stack([1 - positive, positive], axis=1)
    assert brier(truth, probs) == pytest.approx(((positive - truth) ** 2).mean())
    assert brier(1 - truth, probs[:, ::-1]) == pytest.approx(brier(truth, probs))


def test_brier_is_least_for_the_probabilities_that_labels_are_drawn_from() -> None:
    logits, labels = drawn()
    true, sharper, flatter = (brier(labels, softmax(logits * factor, axis=1)) for factor in (1, 2, 0.5))
    assert true < min(sharper, flatter)


FUNCTIONS: tuple[Callable[..., Any], ...] = (fit_temperature, reliability_curve, expected_calibration_error, brier)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("labels", "values", "message"),
    [
        (np.zeros(0, np.int64), np.zeros((0, 2)), r"labels \[0\]"),
        (np.zeros(3, np.int64), np.zeros((2, 2)), r"\[2, 2\]; expected \[N\] and \[N,K\]"),
        (np.zeros(2, np.int64), np.zeros(2), r"\[2\]; expected \[N\] and \[N,K\]"),
        (np.array([0, 2]), np.full((2, 2), 0.5), "no classes 0 to 1"),
        (np.array([-1, 0]), np.full((2, 2), 0.5), "no classes 0 to 1"),
        (np.array([0.5, 0]), np.full((2, 2), 0.5), "no classes 0 to 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    function: Callable[..., Any], labels: NDArray[Any], values: Floats, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        function(labels=labels, **{"logits" if function is fit_temperature else "probs": values})


def test_logits_of_no_views_are_refused() -> None:
    for shape in ((2, 0, 3), (2, 1, 1, 3)):
        with pytest.raises(ValueError, match=r"expected \[N\] and \[N,K\]"):
            fit_temperature(np.zeros(shape), np.zeros(2, np.int64))


def test_no_bins_and_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="0 bins"):
        reliability_curve(np.zeros(1, np.int64), np.array([[0.5, 0.5]]), 0)
    with pytest.raises(ValueError, match="NaN or infinity"):
        fit_temperature(np.array([[0.0, math.nan]]), np.zeros(1, np.int64))


def test_the_likelihood_is_scikit_learns_and_finite() -> None:
    from sklearn.metrics import log_loss

    logits, labels = drawn(200)
    probs = softmax(logits, axis=1)
    assert negative_log_likelihood(labels, probs) == pytest.approx(log_loss(labels, probs, labels=range(4)))
    wrong = np.array([[1.0, 0.0]], np.float32)
    assert math.isfinite(negative_log_likelihood(np.array([1]), wrong))
    with pytest.raises(ValueError, match="labels"):
        negative_log_likelihood(np.array([2]), wrong)
