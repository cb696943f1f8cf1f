"""The Vendi score: closed forms, its bounds, and what it does not depend on."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.errors import DataError
from ganaug.evaluate.metrics.vendi import VENDI, vendi_score


def test_is_the_number_of_different_images_where_they_are_orthogonal() -> None:
    for num, dim in ((1, 3), (5, 5), (8, 30)):
        images = np.linalg.qr(np.random.default_rng(0).normal(size=(dim, num)))[0].T
        assert vendi_score(images) == pytest.approx(num, rel=1e-9)
        assert vendi_score(np.repeat(images, 7, axis=0)) == pytest.approx(num, rel=1e-9)


def test_is_one_where_all_are_alike() -> None:
    assert vendi_score(np.full((20, 6), 0.3)) == pytest.approx(1, abs=1e-9)
    assert vendi_score(np.full((4, 6), -2.0)) == pytest.approx(1, abs=1e-9)


def test_weighs_directions_by_their_entropy() -> None:
    images = np.repeat(np.eye(3), [1, 2, 5], axis=0)
    p = np.array([1, 2, 5]) / 8
    assert vendi_score(images) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-9)


def test_two_images_at_an_angle_have_the_closed_form() -> None:
    p = (1 + np.cos(0.7) * np.array([1, -1])) / 2
    images = np.array([[2.0, 0.0], [np.cos(0.7), np.sin(0.7)]])  # lengths do not matter
    assert vendi_score(images) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-9)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_is_bounded_and_the_same_by_either_matrix(num: int, dim: int, seed: int) -> None:
    images = np.random.default_rng(seed).normal(size=(num, dim))
    score = vendi_score(images)
    assert 1 - 1e-9 <= score <= min(num, dim) + 1e-9
    # more features of zero, or every image twice, change which matrix is smaller and nothing else
    assert vendi_score(np.hstack([images, np.zeros((num, 40))])) == pytest.approx(score, rel=1e-9)
    assert vendi_score(np.repeat(images, 13, axis=0)) == pytest.approx(score, rel=1e-9)


def test_invariant_under_order_and_rotation_and_blind_to_the_real_images() -> None:
    rng = np.random.default_rng(1)
    images = rng.normal(size=(30, 8))
    rotation = scipy.stats.ortho_group.rvs(8, random_state=rng)
    assert vendi_score(rng.permutation(images) @ rotation) == pytest.approx(vendi_score(images), rel=1e-9)
    scores = {VENDI.compute(rng.normal(size=(30, 8)), images, rng).value for _ in range(3)}
    assert scores == {vendi_score(images)}


def test_grows_with_the_number_of_images() -> None:
    images = np.random.default_rng(2).normal(size=(400, 64))
    scores = [vendi_score(images[:num]) for num in (25, 100, 400)]
    assert scores == sorted(scores)


def test_features_of_zero_have_no_direction() -> None:
    images = np.vstack([np.zeros((2, 5)), np.ones((8, 5))])
    with pytest.raises(DataError, match="2 of 10 images are all zero"):
        vendi_score(images)
