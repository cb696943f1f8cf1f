"""The gallery: aligned, small, and with or without held-out images."""

import numpy as np
import pytest

from ganaug.data.images.perceptual_hash import NUM_SYMMETRIES, apply_symmetry
from ganaug.evaluate.copies.gallery import Pair, gallery, num_pairs, turn_back


@pytest.mark.parametrize("orientation", range(NUM_SYMMETRIES))
def test_turning_back_undoes_an_orientation(orientation: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    assert np.array_equal(turn_back(apply_symmetry(image, orientation), orientation), image)


@pytest.mark.parametrize("num_classes", [1, 4, 8, 15])
@pytest.mark.parametrize("has_held_out", [True, False])
def test_the_picture_of_the_most_detailed_images_is_below_a_megabyte(num_classes: int, has_held_out: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    pair = Pair(noise[0], noise[1], noise[2] if has_held_out else None, 0.5, True)
    pairs = {f"class {number}": [pair] * num_pairs(num_classes) for number in range(num_classes)}
    exhibit = gallery(pairs, "validation patients")
    assert len(exhibit.uri) < 1e6
    assert ("validation patients" in exhibit.caption) == has_held_out
