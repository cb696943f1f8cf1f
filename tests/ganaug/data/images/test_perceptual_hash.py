"""Perceptual hashes and the comparison of pixels: copies are known however they were spoilt, other fields never."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.data.images.perceptual_hash import apply_symmetry, phash, phash_symmetries, same_picture

SYMMETRIES = range(8)
Pixels = NDArray[np.uint8]


def distance(first: int, second: int) -> int:
    return (int(first) ^ int(second)).bit_count()


# ---- hashes ----------------------------------------------------------------------------------------------------------


def test_the_hash_survives_resizing_and_dimming_but_tells_images_apart(
    texture: Callable[..., Pixels], resize: Callable[..., Pixels], relight: Callable[..., Pixels]
) -> None:
    image = texture(0)
    assert distance(phash(image), phash(resize(image, 40))) <= 4
    assert distance(phash(image), phash(relight(image, 0.8))) <= 4
    assert min(distance(phash(image), phash(texture(seed))) for seed in range(1, 20)) > 10


def test_the_hash_has_64_bits_half_of_them_set(texture: Callable[..., Pixels]) -> None:
    hashes = [phash(texture(seed)) for seed in range(20)]
    assert all(0 <= value < 2**64 for value in hashes)
    assert all(30 <= value.bit_count() <= 33 for value in hashes)
    assert len(set(hashes)) == 20


@pytest.mark.parametrize("side", [16, 45, 64, 112, 224])
def test_the_hashes_of_the_symmetries_are_those_of_the_rotated_image(texture: Callable[..., Pixels], side: int) -> None:
    for seed in range(5):
        image = texture(seed, side)
        hashes = phash_symmetries(image)
        assert hashes[0] == phash(image)
        again = [phash(np.ascontiguousarray(apply_symmetry(image, symmetry))) for symmetry in SYMMETRIES]
        assert max(map(distance, hashes, again)) <= 2, "only rounding may differ"


def test_the_eight_symmetries_are_eight_and_include_the_quarter_turns() -> None:
    image = np.arange(12).reshape(2, 2, 3)
    views = {apply_symmetry(image, symmetry).tobytes() for symmetry in SYMMETRIES}
    assert len(views) == 8
    for times in range(4):
        assert np.rot90(image, times).tobytes() in views
        assert np.rot90(image[:, ::-1], times).tobytes() in views


def test_an_image_without_structure_has_no_hash(
    tissue: Callable[..., Pixels], empty_field: Callable[..., Pixels]
) -> None:
    flat = np.full((64, 64, 3), 230, np.uint8)
    ramp = np.broadcast_to(np.linspace(100, 240, 64).astype(np.uint8)[:, None, None], (64, 64, 3)).copy()
    for image in (flat, ramp, empty_field(0), empty_field(1, 224)):
        assert not phash_symmetries(image).any()
    assert all(phash(tissue(patient)) for patient in range(12))


# ---- pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["recompressed", "lighter", "darker", "gamma", "blurred", "resized"])
def test_a_copy_is_known_however_it_was_spoilt_and_rotated(
    tissue: Callable[..., Pixels], spoil: dict[str, Callable[[Pixels], Pixels]], way: str
) -> None:
    for patient in range(8):
        image = tissue(patient)
        copy = np.ascontiguousarray(apply_symmetry(spoil[way](image), patient))
        assert same_picture(image, copy)
        assert same_picture(copy, image)


def test_copies_are_known_at_other_sizes(texture: Callable[..., Pixels]) -> None:
    assert same_picture(texture(3, 224), texture(3, 64))
    assert same_picture(texture(3, 32), texture(3, 90))


def test_other_fields_of_one_patient_are_other_pictures(tissue: Callable[..., Pixels]) -> None:
    for patient in range(6):
        fields = [tissue(patient, index) for index in range(6)]
        assert not any(same_picture(fields[i], fields[j]) for i in range(6) for j in range(i))


@pytest.mark.parametrize("veil", ["vignette", "aperture"])
def test_what_lies_before_every_field_alike_makes_no_copy(
    tissue: Callable[..., Pixels], recompress: Callable[..., Pixels], relight: Callable[..., Pixels], veil: str
) -> None:
    row, column = np.mgrid[:64, :64] - 31.5
    radius = np.hypot(row, column)[..., None]
    light = np.exp(-((radius / 45) ** 2)) if veil == "vignette" else radius < 31
    fields = [relight(tissue(patient, index), light) for patient in range(4) for index in range(3)]
    assert not any(same_picture(fields[i], fields[j]) for i in range(12) for j in range(i))
    if veil == "vignette":  # an aperture leaves four blocks, all of which must show something
        assert all(same_picture(field, recompress(field[::-1], 75)) for field in fields)


def test_empty_fields_are_copies_of_nothing(empty_field: Callable[..., Pixels]) -> None:
    assert not same_picture(empty_field(0), empty_field(1))
    assert not same_picture(empty_field(0), empty_field(0))
