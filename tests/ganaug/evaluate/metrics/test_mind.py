"""MIND: closed forms of shifted and scaled sets, its definition by hand, and its invariances."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.errors import DataError
from ganaug.evaluate.metrics.metric import Features
from ganaug.evaluate.metrics.mind import NUM_PROJECTIONS, mind


def by_sorting(x: Features, y: Features, seed: int) -> float:
    """The definition for equal counts, line by line."""
    directions = np.random.default_rng(seed).normal(size=(NUM_PROJECTIONS, x.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    squares = [np.mean((np.sort(x @ line) - np.sort(y @ line)) ** 2) for line in directions]
    return float(3 * x.shape[1] * np.mean(squares))


def test_equals_the_definition_for_equal_counts() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(25, 6)), rng.gamma(2.0, size=(25, 6))
    assert mind(x, y, rng=np.random.default_rng(5)) == pytest.approx(by_sorting(x, y, 5), rel=1e-9)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_unequal_counts_are_as_if_every_image_stood_as_often_as_makes_them_equal(
    n: int, m: int, dim: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, dim)), rng.normal(size=(m, dim))
    repeated = by_sorting(np.repeat(x, m, axis=0), np.repeat(y, n, axis=0), seed)
    assert mind(x, y, rng=np.random.default_rng(seed)) == pytest.approx(repeated, rel=1e-9)


def test_a_line_needs_no_projection() -> None:
    rng = np.random.default_rng(1)
    x, y = np.sort(rng.normal(size=12)), np.sort(rng.normal(1, 2, 12))
    assert mind(x[:, None], y[:, None], rng=rng) == pytest.approx(3 * np.mean((x - y) ** 2), rel=1e-9)


@pytest.mark.parametrize("dim", [1, 2, 50])
def test_a_shift_costs_three_times_its_square(dim: int) -> None:
    rng = np.random.default_rng(2)
    x, shift = rng.normal(size=(40, dim)), rng.normal(size=dim)
    expected = 3 * (shift**2).sum()
    error = np.sqrt(2 / NUM_PROJECTIONS)  # of the mean of squares of a projection, at most
    assert mind(x, x + shift, rng=rng) == pytest.approx(expected, rel=4 * error)
    assert mind(x, rng.permutation(x), rng=rng) == pytest.approx(0, abs=1e-12)


def test_gaussians_of_two_scales_have_the_closed_form() -> None:
    """Quantiles of N(0, s²) on every line: the squared distance is (s - t)² and 3 D of it is expected."""
    quantiles = scipy.stats.norm.ppf((np.arange(4000) + 0.5) / 4000)[:, None]
    rng = np.random.default_rng(3)
    assert mind(2 * quantiles, 5 * quantiles, rng=rng) == pytest.approx(3 * 9, rel=1e-2)
    x, y = rng.normal(size=(20_000, 3)), rng.normal(size=(20_000, 3))
    assert mind(2 * x, 5 * y, rng=rng) == pytest.approx(3 * 3 * 9, rel=2e-2)


def test_invariant_under_order_and_scales_with_the_square() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(30, 5)), rng.gamma(2.0, size=(20, 5))
    distance = mind(x, y, rng=np.random.default_rng(0))
    assert mind(rng.permutation(x), rng.permutation(y), rng=np.random.default_rng(0)) == pytest.approx(distance)
    assert mind(y, x, rng=np.random.default_rng(0)) == pytest.approx(distance)
    assert mind(3 * x + 7, 3 * y + 7, rng=np.random.default_rng(0)) == pytest.approx(9 * distance)
    rotation = scipy.stats.ortho_group.rvs(5, random_state=rng)  # of the lines, whose draw stays
    rotated = mind(x @ rotation, y @ rotation, rng=np.random.default_rng(0))
    assert rotated == pytest.approx(distance, rel=0.15)
    assert mind(x, y, rng=np.random.default_rng(0)) == distance


def test_one_image_has_no_quantiles() -> None:
    with pytest.raises(DataError, match="1 and 9 images; expected at least 2"):
        mind(np.zeros((1, 4)), np.zeros((9, 4)), rng=np.random.default_rng(0))
