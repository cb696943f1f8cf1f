"""Precision, recall, density and coverage: two oracles, hand counts, and what they do not depend on."""

from dataclasses import astuple

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.errors import DataError
from ganaug.evaluate.metrics import checks
from ganaug.evaluate.metrics.metric import Features
from ganaug.evaluate.metrics.neighbours import Neighbours, compare_neighbours
from ganaug.evaluate.metrics.registry import METRICS


def two_sides(n: int, m: int, dim: int, seed: int) -> tuple[Features, Features]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)), 1.1 * rng.normal(size=(m, dim)) + 0.3


def by_prdc(real: Features, synthetic: Features, k: int) -> Neighbours:
    return Neighbours(**pytest.importorskip("prdc", reason="prdc is the oracle").compute_prdc(real, synthetic, k))


def by_pairs(real: Features, synthetic: Features, k: int) -> Neighbours:
    """The four definitions, image by image."""

    def radius(image: Features, side: Features) -> float:
        return float(np.sort(np.linalg.norm(side - image, axis=1))[k])

    balls = np.array([np.linalg.norm(synthetic - image, axis=1) <= radius(image, real) for image in real])
    recalled = [any(np.linalg.norm(image - other) <= radius(other, synthetic) for other in synthetic) for image in real]
    return Neighbours(
        float(balls.any(axis=0).mean()),
        float(np.mean(recalled)),
        float(balls.sum(axis=0).mean()) / k,
        float(balls.any(axis=1).mean()),
    )


@pytest.mark.parametrize(("n", "m", "dim", "k"), [(80, 80, 4, 5), (50, 90, 16, 3), (120, 40, 64, 5), (30, 30, 1, 1)])
def test_all_four_agree_with_prdc(n: int, m: int, dim: int, k: int, capsys: pytest.CaptureFixture[str]) -> None:
    real, synthetic = two_sides(n, m, dim, 0)
    ours = compare_neighbours(real, synthetic, k=k)
    assert astuple(ours) == pytest.approx(astuple(by_prdc(real, synthetic, k)), rel=1e-6)
    assert 0 < ours.precision < 1 or dim == 64
    capsys.readouterr()  # it prints


@pytest.mark.parametrize(("n", "m", "dim"), [(80, 80, 4), (50, 90, 16)])
def test_precision_and_recall_agree_with_torch_fidelity(n: int, m: int, dim: int) -> None:
    metric_prc = pytest.importorskip("torch_fidelity.metric_prc", reason="torch-fidelity is the oracle")
    real, synthetic = two_sides(n, m, dim, 1)
    features = torch.from_numpy(synthetic), torch.from_numpy(real)  # the generated ones come first there
    options = {"prc_batch_size": 1000, "save_cpu_ram": False, "verbose": False}
    theirs = metric_prc.prc_features_to_metric(*features, prc_neighborhood=5, **options)
    ours = compare_neighbours(real, synthetic)
    assert (ours.precision, ours.recall) == pytest.approx((theirs["precision"], theirs["recall"]), rel=1e-6)


@given(st.integers(4, 14), st.integers(4, 14), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_equals_the_definitions_image_by_image(n: int, m: int, dim: int, k: int, seed: int) -> None:
    real, synthetic = two_sides(n, m, dim, seed)
    assert compare_neighbours(real, synthetic, k=k) == by_pairs(real, synthetic, k)


def test_tiles_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    real, synthetic = two_sides(53, 41, 6, 2)
    whole = compare_neighbours(real, synthetic)
    monkeypatch.setattr(checks.tiles, "__defaults__", (7,))
    assert compare_neighbours(real, synthetic) == whole


def test_invariant_under_order_rotation_shift_and_scale_of_both() -> None:
    real, synthetic = two_sides(60, 50, 8, 3)
    rng = np.random.default_rng(4)
    rotation = scipy.stats.ortho_group.rvs(8, random_state=rng)
    expected = compare_neighbours(real, synthetic)
    assert compare_neighbours(rng.permutation(real), rng.permutation(synthetic)) == expected
    assert compare_neighbours(3 * real @ rotation + 5, 3 * synthetic @ rotation + 5) == expected


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_copies_lie_at_no_distance_even_where_k_others_are_copies_too(offset: float) -> None:
    rng = np.random.default_rng(5)
    real = offset + np.repeat(rng.normal(size=(12, 40)), 6, axis=0)  # of each image six, so every ball is a point
    real[0] += 1.0  # but one
    found = compare_neighbours(real, real)
    assert found.precision == found.recall == found.coverage == 1


def test_synthetic_images_that_are_all_alike_have_figures() -> None:
    real = np.random.default_rng(6).normal(size=(40, 3))
    inside = compare_neighbours(real, np.tile(real.mean(0), (40, 1)))
    assert inside.precision == 1
    assert inside.recall == 0
    assert inside.coverage < 1
    assert compare_neighbours(real, np.full((40, 3), 9.0)) == Neighbours(0.0, 0.0, 0.0, 0.0)


def test_real_images_that_are_all_alike_have_no_neighbourhood() -> None:
    with pytest.raises(DataError, match="40 real images do not differ"):
        compare_neighbours(np.full((40, 3), 0.1), np.random.default_rng(0).normal(size=(40, 3)))


def test_needs_a_neighbour_more_than_k() -> None:
    real, synthetic = two_sides(5, 6, 2, 0)
    with pytest.raises(DataError, match="5 and 6 images; expected at least 6"):
        compare_neighbours(real, synthetic)


def test_each_entry_picks_its_own_figure() -> None:
    real, synthetic = two_sides(60, 50, 3, 7)
    found = compare_neighbours(real, synthetic)
    figures = {name: METRICS[name].compute(real, synthetic, np.random.default_rng(0)).value for name in vars(found)}
    assert figures == vars(found)
    assert len(set(figures.values())) == 4
