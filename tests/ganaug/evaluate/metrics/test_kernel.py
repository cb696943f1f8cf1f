"""The kernel distance: its definition, an oracle, and its freedom from bias."""

import itertools

import numpy as np
import pytest

from ganaug.errors import DataError
from ganaug.evaluate.metrics import checks
from ganaug.evaluate.metrics.kernel import kernel_distance
from ganaug.evaluate.metrics.metric import Features


def by_the_definition(x: Features, y: Features) -> float:
    """The unbiased MMD², pair by pair."""

    def kernel(a: Features, b: Features) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    within_x = np.mean([kernel(a, b) for a, b in itertools.permutations(x, 2)])
    within_y = np.mean([kernel(a, b) for a, b in itertools.permutations(y, 2)])
    across = np.mean([kernel(a, b) for a in x for b in y])
    return float(within_x + within_y - 2 * across)


def test_equals_the_definition_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 4)) + 0.5
    assert kernel_distance(x, y, rng=rng)[0] == pytest.approx(by_the_definition(x, y), rel=1e-12)
    assert kernel_distance(x, y[:5], rng=rng)[0] == pytest.approx(by_the_definition(x, y[:5]), rel=1e-12)


def test_agrees_with_torch_fidelity_on_its_own_subsets() -> None:
    metric_kid = pytest.importorskip("torch_fidelity.metric_kid", reason="torch-fidelity is the oracle")
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 16)), rng.gamma(2.0, size=(40, 16))
    options = {
        "kid_kernel_poly_degree": 3,
        "kid_kernel_poly_gamma": None,
        "kid_kernel_poly_coef0": 1,
        "kid_kernel": "poly",
    }
    oracle = metric_kid.kernel_mmd(x, y, **options)
    assert kernel_distance(x, y, rng=rng)[0] == pytest.approx(oracle, rel=1e-10)

    import torch

    subsets = {"kid_subsets": 400, "kid_subset_size": 20, "rng_seed": 0, "verbose": False}
    theirs = metric_kid.kid_features_to_metric(torch.from_numpy(x), torch.from_numpy(y), **options, **subsets)
    error_of_their_mean = theirs["kernel_inception_distance_std"] / np.sqrt(400)
    ours = kernel_distance(x, y, rng=rng)[0]
    assert abs(ours - theirs["kernel_inception_distance_mean"]) < 5 * error_of_their_mean


def test_standard_error_is_that_of_the_value() -> None:
    """Between different distributions as large as the spread of values; between equal ones up to √2 times larger."""
    rng = np.random.default_rng(6)
    for shift, block_size, low, high in ((1.0, 99, 0.8, 1.2), (1.0, 20, 0.8, 1.2), (0.0, 99, 1.0, 1.8)):
        draws = [(rng.normal(size=(40, 4)), rng.normal(shift, 1, (60, 4))) for _ in range(300)]
        values, errors = np.transpose([kernel_distance(x, y, block_size=block_size, rng=rng) for x, y in draws])
        assert low < np.sqrt((errors**2).mean()) / values.std() < high, (shift, block_size)


def test_standard_error_is_that_of_leaving_images_out_by_hand() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(7, 3)), rng.normal(1, 1, (9, 3))
    without_x = [by_the_definition(np.delete(x, i, 0), y) for i in range(7)]
    without_y = [by_the_definition(x, np.delete(y, j, 0)) for j in range(9)]
    variance = 6 * np.var(without_x) + 8 * np.var(without_y)
    assert kernel_distance(x, y, rng=rng)[1] == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_tiles_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(23, 4)), rng.normal(1, 1, (31, 4))
    whole = kernel_distance(x, y, rng=rng)
    monkeypatch.setattr(checks.tiles, "__defaults__", (7,))
    assert kernel_distance(x, y, rng=rng) == pytest.approx(whole, rel=1e-12)


def test_is_centred_on_zero_for_equal_distributions_and_goes_below() -> None:
    rng = np.random.default_rng(2)
    values = np.array(
        [kernel_distance(rng.normal(size=(30, 8)), rng.normal(size=(30, 8)), rng=rng)[0] for _ in range(300)]
    )
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert (values < 0).any()


def test_is_unbiased_at_every_size_where_the_frechet_distance_is_not() -> None:
    rng = np.random.default_rng(3)

    def mean_at(size: int) -> float:
        return float(
            np.mean(
                [
                    kernel_distance(rng.normal(size=(size, 4)), rng.normal(1, 1, (size, 4)), rng=rng)[0]
                    for _ in range(400)
                ]
            )
        )

    assert mean_at(8) == pytest.approx(mean_at(80), rel=0.15)


def test_nothing_is_drawn_up_to_the_block_size_and_blocks_keep_to_it_above() -> None:
    data = np.random.default_rng(4)
    x, y = data.normal(size=(12, 4)), data.normal(size=(50, 4))
    whole = [kernel_distance(x, y, block_size=50, rng=np.random.default_rng(seed)) for seed in (0, 1)]
    assert whole[0] == whole[1]
    first, again, other = (kernel_distance(x, y, block_size=20, rng=np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == again != other
    rng = np.random.default_rng(0)
    parts = [np.array_split(rng.permutation(n), 3) for n in (12, 50)]
    by_hand = [by_the_definition(x[in_x], y[in_y]) for in_x, in_y in zip(*parts, strict=True)]
    assert first[0] == pytest.approx(np.mean(by_hand), rel=1e-9)
    few = kernel_distance(x[:4], y, block_size=5, rng=data)  # a block needs three images of each side
    assert np.isfinite(few).all()


def test_two_images_leave_no_pair() -> None:
    with pytest.raises(DataError, match="2 and 9 images; expected at least 3"):
        kernel_distance(np.zeros((2, 4)), np.zeros((9, 4)), rng=np.random.default_rng(0))
