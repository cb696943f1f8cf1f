"""The kernel distance: its definition, an oracle, and its freedom from bias."""

import itertools

import numpy as np
import pytest

from ganaug.errors import DataError
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
    value, spread = kernel_distance(x, y, rng=rng)
    assert value == pytest.approx(by_the_definition(x, y), rel=1e-12)
    assert spread == 0.0


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
    value, spread = kernel_distance(x, y, num_subsets=400, subset_size=20, rng=rng)
    standard_error = spread / np.sqrt(400)
    assert abs(value - theirs["kernel_inception_distance_mean"]) < 5 * standard_error
    assert spread == pytest.approx(theirs["kernel_inception_distance_std"], rel=0.2)


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


def test_subset_is_what_fits_and_reproducible_by_seed() -> None:
    data = np.random.default_rng(4)
    x, y = data.normal(size=(12, 4)), data.normal(size=(50, 4))
    first, again, other = (kernel_distance(x, y, num_subsets=5, rng=np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert first[1] > 0


def test_one_image_has_no_pair() -> None:
    with pytest.raises(DataError, match="at least 2"):
        kernel_distance(np.zeros((1, 4)), np.zeros((9, 4)), rng=np.random.default_rng(0))
