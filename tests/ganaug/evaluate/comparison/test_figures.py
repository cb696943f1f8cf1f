"""All metrics on the same features: each gives what it gives alone, and what fails costs no other figure."""

from dataclasses import replace

import numpy as np
import pytest

from ganaug.evaluate.comparison.figures import compute_all
from ganaug.evaluate.metrics.metric import Figure
from ganaug.evaluate.metrics.registry import METRICS


def test_every_figure_is_that_of_its_metric_alone() -> None:
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(60, 5)), rng.normal(0.5, 0.8, size=(50, 5))
    attempts = compute_all(real, made, seed=4)
    assert list(attempts) == list(METRICS)
    for name, metric in METRICS.items():
        figure = metric.compute(real, made, np.random.default_rng(4))
        assert (attempts[name].value, attempts[name].std) == (figure.value, figure.std), name
    assert compute_all(real, made, 4, ("kernel",)) == {"kernel": attempts["kernel"]}


def test_equal_seeds_draw_alike_for_sides_of_other_sizes() -> None:
    rng = np.random.default_rng(1)
    real, made = rng.normal(size=(200, 5)), rng.normal(size=(200, 5))
    whole, without = (compute_all(real[:end], made[:end], 7)["mind"].value for end in (200, 199))
    other = compute_all(real, made, 8)["mind"].value
    assert whole is not None
    assert without is not None
    assert other is not None
    assert abs(without - whole) < 0.05 * whole
    assert other != whole


def test_a_metric_without_a_finite_figure_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    real = np.random.default_rng(2).normal(size=(30, 5))
    fine = compute_all(real, real[::-1].copy(), 0)
    broken = replace(METRICS["kernel"], compute=lambda real, synthetic, rng: Figure(float("nan")))
    monkeypatch.setitem(METRICS, "kernel", broken)
    attempts = compute_all(real, real[::-1].copy(), 0)
    assert attempts["kernel"].value is None
    assert "finite" in attempts["kernel"].reason
    assert {name: each for name, each in attempts.items() if name != "kernel"} == {
        name: each for name, each in fine.items() if name != "kernel"
    }


def test_few_images_are_a_reason_with_how_many_it_takes() -> None:
    features = np.random.default_rng(3).normal(size=(10, 5))
    attempts = compute_all(features, features, 0)
    for name, metric in METRICS.items():
        assert (attempts[name].value is None) == (metric.needs > 10)
        assert attempts[name].value is not None or str(metric.needs) in attempts[name].reason
