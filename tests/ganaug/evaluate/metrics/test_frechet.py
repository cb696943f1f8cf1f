"""The Fréchet distance: closed forms, an oracle, and its invariances."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.errors import DataError
from ganaug.evaluate.metrics.frechet import frechet_distance, frechet_distance_of_moments
from ganaug.evaluate.metrics.metric import Features
from ganaug.evaluate.metrics.moments import Moments, moments_of


def exact(mean: Features, covariance: Features, size: int, rng: np.random.Generator) -> Features:
    """A sample [size,D] whose mean and unbiased covariance are exactly the given ones."""
    raw = rng.normal(size=(size, len(mean)))
    white = np.linalg.qr(raw - raw.mean(0))[0] * np.sqrt(size - 1)
    sample: Features = white @ np.linalg.cholesky(covariance).T + mean
    return sample


def random_covariance(dim: int, rng: np.random.Generator) -> Features:
    root = rng.normal(size=(dim, dim))
    return root @ root.T + 0.1 * np.eye(dim)


def by_matrix_root(x: Features, y: Features) -> float:
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(cov_x @ cov_y)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x + cov_y - 2 * np.real(root)))


def test_commuting_gaussians_have_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    std_x, std_y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.5, 3.0])
    mean_y = np.array([1.0, -2.0, 0.5])
    x = exact(np.zeros(3), np.diag(std_x**2), 40, rng)
    y = exact(mean_y, np.diag(std_y**2), 50, rng)
    assert frechet_distance(x, y) == pytest.approx((mean_y**2).sum() + ((std_x - std_y) ** 2).sum(), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(200, 300), (12, 12), (6, 80)])
def test_agrees_with_the_matrix_root(n: int, m: int) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 10)) @ rng.normal(size=(10, 10))
    y = rng.normal(size=(m, 10)) @ rng.normal(size=(10, 10)) + 0.3
    # Where n < D the matrix is singular, and its root by Schur decomposition is good to half the digits only.
    assert frechet_distance(x, y) == pytest.approx(by_matrix_root(x, y), rel=1e-5)


def test_fewer_images_than_features_agree_with_the_same_features_in_their_own_subspace() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(25, 5)) * 1.5 + 1
    basis = np.linalg.qr(rng.normal(size=(400, 5)))[0].T  # 5 orthonormal directions among 400
    assert frechet_distance(x @ basis, y @ basis) == pytest.approx(frechet_distance(x, y), rel=1e-9)


def test_zero_on_itself_whatever_the_order() -> None:
    rng = np.random.default_rng(3)
    for size in (20, 300):
        x = rng.normal(size=(size, 64))
        assert frechet_distance(x, rng.permutation(x)) == pytest.approx(0, abs=1e-9)


def test_symmetric_and_invariant_under_rotation_and_shift_of_both() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(60, 20)), rng.gamma(2.0, size=(80, 20))
    rotation, shift = scipy.stats.ortho_group.rvs(20, random_state=rng), rng.normal(size=20)
    distance = frechet_distance(x, y)
    assert frechet_distance(y, x) == pytest.approx(distance, rel=1e-10)
    assert frechet_distance(x @ rotation + shift, y @ rotation + shift) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * distance, rel=1e-9)


def test_grows_as_the_sample_shrinks() -> None:
    rng = np.random.default_rng(5)
    distances = [frechet_distance(rng.normal(size=(n, 32)), rng.normal(size=(n, 32))) for n in (1000, 100, 20)]
    assert distances == sorted(distances)


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(DataError, match="at least 2"):
        frechet_distance(np.zeros((1, 4)), np.zeros((9, 4)))


def correlated(n: int, dim: int, seed: int) -> Features:
    """Features whose variances fall off as a network's do, some of them constant as dead units are."""
    rng = np.random.default_rng(seed)
    mixed = (rng.normal(size=(n, dim)) / np.arange(1, dim + 1)) @ rng.normal(size=(dim, dim))
    return np.hstack([mixed, np.full((n, 3), 0.7)])


@pytest.mark.parametrize(("n", "m"), [(40, 30), (200, 300), (40, 300)])
@pytest.mark.parametrize("num_dead", [0, 3])
def test_agrees_with_torch_fidelity_on_the_same_features(n: int, m: int, num_dead: int) -> None:
    import torch

    metric_fid = pytest.importorskip("torch_fidelity.metric_fid", reason="torch-fidelity is the oracle")
    x, y = correlated(n, 64, 0)[:, : 64 + num_dead], 1.3 * correlated(m, 64, 1)[:, : 64 + num_dead] + 0.1
    moments = [metric_fid.fid_features_to_statistics(torch.from_numpy(side)) for side in (x, y)]
    theirs = metric_fid.fid_statistics_to_metric(*moments, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(x, y) == pytest.approx(theirs, rel=1e-6)


def test_moments_of_blocks_are_those_of_all_whatever_the_blocks() -> None:
    x = np.random.default_rng(7).normal(size=(500, 6)) * [1, 2, 3, 4, 5, 1e-3] + [0, 1, 1e3, -1e3, 1e6, 1e6]
    for cuts in ([], [1], [1, 1, 250], [100, 200, 499]):
        moments = Moments(6)
        for block in np.split(x, cuts):
            moments.add(block)
        assert moments.count == 500
        np.testing.assert_allclose(moments.mean, x.mean(0), rtol=1e-12)
        # about a mean a billion times the spread, products of raw features would have no digit left
        np.testing.assert_allclose(moments.covariance, np.cov(x - x[0], rowvar=False), rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("num_dead", [0, 3])
def test_streaming_moments_give_the_distance_of_the_features(num_dead: int) -> None:
    x, y = correlated(90, 20, 2)[:, : 20 + num_dead], 1.2 * correlated(70, 20, 3)[:, : 20 + num_dead]
    distance = frechet_distance_of_moments(moments_of(x), moments_of(y))
    assert distance == pytest.approx(by_matrix_root(x, y) if num_dead == 0 else frechet_distance(x, y), rel=1e-7)
    of_roots = np.linalg.svd((x - x.mean(0)) @ (y - y.mean(0)).T, compute_uv=False).sum() / np.sqrt(89 * 69)
    traces = x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum()
    assert distance == pytest.approx(((x.mean(0) - y.mean(0)) ** 2).sum() + traces - 2 * of_roots, rel=1e-7)


def test_moments_of_one_image_have_no_covariance() -> None:
    few = Moments(4)
    few.add(np.zeros((0, 4)))
    few.add(np.ones((1, 4)))
    with pytest.raises(DataError, match="1 images; expected at least 2"):
        frechet_distance_of_moments(few, moments_of(np.ones((5, 4))))


@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_is_symmetric_and_never_negative_at_any_shape(n: int, m: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, dim)), rng.normal(size=(m, dim))
    distance = frechet_distance(x, y)
    assert distance >= 0
    assert frechet_distance(y, x) == pytest.approx(distance, rel=1e-6, abs=1e-9)
    assert distance >= ((x.mean(0) - y.mean(0)) ** 2).sum() - 1e-9


def test_images_that_are_all_alike_have_a_distance() -> None:
    same, other = np.zeros((20, 3)), np.random.default_rng(0).normal(size=(20, 3))
    assert frechet_distance(same, same) == 0.0
    assert frechet_distance(same, other) == pytest.approx((other.mean(0) ** 2).sum() + other.var(0, ddof=1).sum())
