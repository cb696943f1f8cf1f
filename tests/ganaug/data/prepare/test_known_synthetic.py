"""Synthetic images are known again among real ones, also where they show too little to be hashed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.data.images.perceptual_hash import grey_version, hashes_of
from ganaug.data.prepare.known_synthetic import find_synthetic
from ganaug.data.schema import ImageReader, read_table
from ganaug.data.synthetic_file import rows_of, write_rows
from ganaug.provenance import Provenance

Images = NDArray[np.uint8]
RECORD = Provenance("tiny", "f", "d", 0, ("p",), "c")


def faint(num: int, seed: int = 0) -> Images:
    """Images that hardly show anything, as a generator makes at first."""
    return np.random.default_rng(seed).integers(126, 129, (num, 16, 16, 3), np.uint8)


@pytest.fixture
def found_among(tmp_path: Path) -> Callable[[Images, Images], dict[int, str]]:
    """Which images are recognised, after a file of others was written."""

    def find(made: Images, images: Images) -> dict[int, str]:
        path = tmp_path / "synthetic" / "made.h5"
        path.parent.mkdir()
        attrs = {"resolution_px": 16, "generator": "g", "snapshot": "s"}
        write_rows(path, [rows_of(made, 0, np.arange(len(made)))], RECORD, ("a", "b"), attrs)
        assert not read_table(path).phash.any()
        assert len(ImageReader(path)) == len(made)

        def pixels(places: Sequence[int]) -> Images:
            return images[list(places)]

        return find_synthetic([path], hashes_of(np.stack([grey_version(image) for image in images])), pixels)

    return find


def test_faint_images_are_known_by_their_pixels_in_any_orientation(
    found_among: Callable[[Images, Images], dict[int, str]],
) -> None:
    made, others = faint(4), faint(4, seed=1)
    images = np.concatenate([made[:1], others, np.rot90(made[1:2], axes=(1, 2)), made[2:3, :, ::-1]])
    assert found_among(made, images) == {0: "made.h5", 5: "made.h5", 6: "made.h5"}


def test_an_image_of_one_colour_is_nobodys(found_among: Callable[[Images, Images], dict[int, str]]) -> None:
    white = np.full((1, 16, 16, 3), 255, np.uint8)
    assert found_among(white, white) == {}
