"""The detector: it finds the training image and its orientation, whatever the stain, and knows how rare a lead is."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from ganaug.data.images.perceptual_hash import NUM_SYMMETRIES, apply_symmetry
from ganaug.evaluate.copies.alignment import correlate, views_of
from ganaug.evaluate.copies.detector import CopyDetector
from ganaug.evaluate.copies.gallery import turn_back
from ganaug.evaluate.copies.null import MIN_LEAD, Null, limit_at, p_value, rate_interval
from ganaug.evaluate.copies.structure import orientations, shows_nothing, structure_of, unit_vectors, warp


@pytest.fixture(scope="module")
def train(phantom: Any) -> Any:
    return phantom.of(0, 12)


@pytest.fixture(scope="module")
def detector(train: Any) -> CopyDetector:
    return CopyDetector.fit(train.images, train.group)


# ---- structure -------------------------------------------------------------------------------------------------------


def test_the_structure_does_not_know_the_stains_strength_nor_the_light(train: Any) -> None:
    images = train.images[:10]
    paler = (255 * (images / 255) ** 0.7).round().astype(np.uint8)
    darker = (images * 0.85).astype(np.uint8)
    original = unit_vectors(structure_of(images), 1.0)
    for changed in (paler, darker):
        assert (original * unit_vectors(structure_of(changed), 1.0)).sum(1).min() > 0.97
    others = unit_vectors(structure_of(train.images[10:20]), 1.0)
    assert (original * others).sum(1).abs().max() < 0.6


def test_constant_and_empty_images_show_nothing(train: Any) -> None:
    glass = np.random.default_rng(0).normal(240, 3, (5, 64, 64, 3)).clip(0, 255).astype(np.uint8)
    constant = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (0, 128, 255)])
    assert shows_nothing(structure_of(np.concatenate([glass, constant]))).all()
    assert not shows_nothing(structure_of(train.images)).any()


@pytest.mark.parametrize("side", [16, 32, 128])
def test_every_resolution_has_a_structure(side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    structures = structure_of(images)
    assert structures.shape == (3, 32, 32)
    assert structures.isfinite().all()


def test_orientations_are_those_of_the_hashes(train: Any) -> None:
    structures = structure_of(train.images[:2])
    for symmetry, view in enumerate(orientations(structures)):
        assert np.array_equal(view.numpy(), apply_symmetry(structures.numpy(), symmetry, axes=(1, 2)))


def test_warp_at_rest_changes_nothing_and_a_shift_moves_whole_pixels() -> None:
    structures = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(warp(structures, torch.zeros(2, 4)), structures, atol=1e-5)
    shifted = warp(structures, torch.tensor([[0.0, 0.0, 2 / 16, 0.0]]).expand(2, 4))
    assert torch.allclose(shifted[:, :, :-2], structures[:, :, 2:], atol=1e-5)


def test_the_coarse_search_is_the_largest_correlation_of_all_views(train: Any) -> None:
    structures = structure_of(train.images[:6])
    found = correlate(structures[:2], views_of(structures))
    shrunk = torch.nn.functional.interpolate(orientations(structures[:2]).flatten(0, 1)[:, None], (16, 16), mode="area")
    queries = unit_vectors(shrunk[:, 0], 0.75).view(8, 2, -1)
    expected = torch.einsum("snd,vdk->nksv", queries, views_of(structures)).flatten(2).amax(2)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(found.diagonal(), torch.ones(2), atol=1e-5)


# ---- matches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetry", range(NUM_SYMMETRIES))
def test_a_copy_is_found_with_its_training_image_and_orientation(
    symmetry: int, detector: CopyDetector, train: Any
) -> None:
    places = np.array([4, 50, 90])
    copies = apply_symmetry(train.images[places], symmetry, axes=(1, 2))
    matches = detector.match(np.ascontiguousarray(copies))
    assert matches.position.tolist() == places.tolist()
    assert detector.is_copy(matches).all()
    assert matches.distance.max() < 1e-3
    for copy, place, orientation in zip(copies, places, matches.orientation.tolist(), strict=True):
        assert np.array_equal(turn_back(train.images[place], orientation), copy)


def test_images_of_other_patients_are_no_copies(detector: CopyDetector, phantom: Any) -> None:
    images = phantom.of(20, 28).images
    assert not detector.is_copy(detector.match(images)).any()
    assert detector.distances(images).min() > 0.1


def test_an_image_is_judged_alike_alone_and_among_others(detector: CopyDetector, phantom: Any) -> None:
    images = phantom.of(20, 34).images  # more than are aligned at a time
    together = detector.match(images)
    alone = detector.match(images[130:131])
    assert alone.position[0] == together.position[130]
    assert alone.lead[0] == pytest.approx(together.lead[130], abs=1e-3)


def test_a_copy_across_two_training_patients_hides_no_copy_of_it(train: Any) -> None:
    images = train.images.copy()
    images[30] = images[5]
    detector = CopyDetector.fit(images, train.group)
    assert detector.is_copy(detector.match(images[5:6])).all()


@pytest.mark.parametrize("num_patients", [2, 3])
def test_with_few_patients_an_image_leads_over_single_images(num_patients: int, phantom: Any) -> None:
    train, honest = phantom.of(0, num_patients), phantom.of(20, 24)
    detector = CopyDetector.fit(train.images, train.group)
    assert detector.is_copy(detector.match(train.images[3:8])).all()
    assert detector.is_copy(detector.match(honest.images)).mean() < 0.05


def test_the_null_compares_training_images_with_other_patients_only(train: Any) -> None:
    """Two images of a patient may be the same: that says nothing of other patients."""
    images = train.images.copy()
    images[1::2] = images[::2]
    detector = CopyDetector.fit(images, train.group)
    assert len(detector.null.lead) == len(images)
    assert detector.null.lead.max() < 0.6


def test_one_patient_or_no_image_gives_no_limit(train: Any) -> None:
    detector = CopyDetector.fit(train.images[:10], train.group[:10])
    assert detector.limit == math.inf
    matches = detector.match(train.images[:0])
    assert len(matches.position) == len(detector.is_copy(matches)) == 0


# ---- the null --------------------------------------------------------------------------------------------------------


def null_of(lead: Any, num_patients: int = 50) -> Null:
    group = np.array([f"p{number % num_patients}" for number in range(len(lead))])
    return Null(np.asarray(lead, np.float64), group, np.zeros(len(lead), np.bool_))


@pytest.mark.parametrize("rate", [0.1, 0.01, 1e-3, 1e-5])
def test_the_limit_of_exponential_leads_is_their_quantile_or_somewhat_more(rate: float) -> None:
    limits = [limit_at(null_of(np.random.default_rng(seed).exponential(size=1000)), rate) for seed in range(5)]
    assert -math.log(rate) * 0.95 < np.mean(limits) < -math.log(rate) * 1.4


@pytest.mark.parametrize("num_images", [12, 40, 300])
def test_few_images_of_the_null_raise_no_more_false_alarms(num_images: int) -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        null = null_of(rng.exponential(size=num_images), max(3, num_images // 10))
        alarms += p_value(rng.exponential(size=500), null, limit_at(null, 1e-5), 1e-5) < 0.01
    assert alarms <= 6


def test_a_few_copies_among_the_null_do_not_hide_others() -> None:
    lead = np.random.default_rng(0).exponential(size=1000)
    with_copies = lead.copy()
    with_copies[:5] = 100
    assert limit_at(null_of(with_copies), 1e-5) == pytest.approx(limit_at(null_of(lead), 1e-5), rel=0.15)


def test_the_limit_falls_with_the_rate_and_is_the_same_every_time() -> None:
    null = null_of(np.random.default_rng(0).exponential(size=200))
    limits = [limit_at(null, rate) for rate in (1e-5, 1e-3, 0.049, 0.051, 0.1, 0.9)]
    assert limits == sorted(limits, reverse=True)
    assert limits == [limit_at(null, rate) for rate in (1e-5, 1e-3, 0.049, 0.051, 0.1, 0.9)]


def test_a_copy_leads_by_more_than_unlike_images_ever_do() -> None:
    null = null_of(np.random.default_rng(0).exponential(size=200) / 1000)
    assert limit_at(null, 1e-5) == limit_at(null, 1e-3) == MIN_LEAD
    assert limit_at(null, 0.1) < 0.01


def test_too_small_a_null_has_no_limit() -> None:
    assert limit_at(null_of(np.ones(9)), 0.1) == math.inf
    assert limit_at(null_of(np.ones(100), num_patients=1), 0.1) == math.inf


def test_p_values_are_exact() -> None:
    null, lead = null_of(np.linspace(0, 0.4, 1000)), np.zeros(500)
    assert p_value(lead, null, 1.0, 1e-5) == 1
    lead[0] = 2
    assert p_value(lead, null, 1.0, 1e-5) == pytest.approx(1 - (1 - 1e-5) ** 500)


def test_copies_in_the_null_are_compared_with_and_stronger_copies_still_count() -> None:
    with_copies = np.r_[np.linspace(0, 0.4, 997), np.full(3, 1.1)]
    null, lead = null_of(with_copies), np.zeros(500)
    lead[:5] = 1.05  # of 8 copies among 1,500 images, 5 or more fall into 500
    assert p_value(lead, null, 1.0, 1e-5) == pytest.approx(2 * stats.hypergeom.sf(4, 1500, 8, 500))
    lead[:5] = 3
    assert p_value(lead, null, 1.0, 1e-5) < 1e-6


def test_none_of_500_excludes_a_rate_of_six_in_a_thousand() -> None:
    assert rate_interval(0, 500)[1] == pytest.approx(0.006, abs=1e-4)
    low, high = rate_interval(7, 500)
    assert stats.binom.sf(6, 500, low) == pytest.approx(0.025)
    assert stats.binom.cdf(7, 500, high) == pytest.approx(0.025)
