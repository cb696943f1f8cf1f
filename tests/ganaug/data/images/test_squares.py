"""Crop, tile and resize: what is shown keeps its aspect, its place and its size in micrometres."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ganaug.config import PrepareConfig
from ganaug.data.images.decode import Undecodable
from ganaug.data.images.squares import Square, squares, union
from ganaug.errors import ConfigError, private


def cut(
    pixels: NDArray[np.uint8],
    side: int,
    um_per_px: float | None = None,
    mask: NDArray[np.uint8] | None = None,
    **options: object,
) -> list[Square]:
    config = PrepareConfig("folder", "images", resolution_px=side, **options)  # type: ignore[arg-type]
    marked = None if mask is None else Image.fromarray(mask)
    return list(squares(Image.fromarray(pixels), marked, config, um_per_px))


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_crop_is_central_and_keeps_the_aspect() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 10:50] = 200  # exactly the central square
    assert np.all(cut(pixels, 40)[0].image == 200)
    # Smaller, only the filter's reach beyond the edge is dark.
    assert np.all(cut(pixels.transpose(1, 0, 2).copy(), 20)[0].image[2:-2] == 200)


def test_a_circle_stays_a_circle() -> None:
    y, x = np.mgrid[:46, :70]
    circle = np.where((y - 22.5) ** 2 + (x - 34.5) ** 2 < 15**2, 255, 0).astype(np.uint8)
    small = cut(circle[:, :, None].repeat(3, 2), 23)[0].image[..., 0].astype(float)
    assert np.allclose(small.sum(axis=0), small.sum(axis=1), atol=120)
    assert np.allclose(small, small.T, atol=40)


@pytest.mark.parametrize("fit", ["crop", "tile", "resize"])
def test_shrinking_does_not_alias(fit: str) -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    options: dict[str, Any] = {"field_px": 128} if fit == "tile" else {}
    squares = list(cut(stripes, 32, fit=fit, **options))
    assert len(squares) == (4 if fit == "tile" else 1)
    for square in squares:
        assert np.all(np.abs(square.image.astype(int) - 127) < 12)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    pixels = noise(32, 32)
    assert np.array_equal(cut(pixels, 32)[0].image, pixels)


@settings(max_examples=60, deadline=None)
@given(st.integers(16, 90), st.integers(16, 90), st.integers(16, 40))
def test_tiles_are_disjoint_whole_squares_of_the_image_and_as_many_as_fit(height: int, width: int, side: int) -> None:
    pixels = noise(height, width)
    if min(height, width) < side:
        with pytest.raises(Undecodable, match="less than a field"):
            cut(pixels, side, fit="tile")
        return
    tiles = cut(pixels, side, fit="tile")
    assert len(tiles) == (height // side) * (width // side)
    covered = np.zeros((height, width), int)
    for tile in tiles:
        x, y = map(int, tile.place[1:].split("y"))
        assert np.array_equal(tile.image, pixels[y : y + side, x : x + side])
        covered[y : y + side, x : x + side] += 1
    assert covered.max() == 1
    assert len({tile.place for tile in tiles}) == len(tiles)


def test_a_field_in_micrometres_has_that_size_whatever_the_scale() -> None:
    """The same tissue at 0.5 and at 1 micrometre per pixel gives the same square."""
    y, x = np.mgrid[:400, :400]
    tissue = (127 + 90 * np.sin(x / 40) * np.cos(y / 25)).astype(np.uint8)[:, :, None].repeat(3, 2)
    coarse = np.asarray(Image.fromarray(tissue).resize((200, 200), Image.Resampling.BOX))
    fine_square = cut(tissue, 32, 0.5, field_um=100.0)[0]
    coarse_square = cut(coarse, 32, 1.0, field_um=100.0)[0]
    assert fine_square.um_per_px == coarse_square.um_per_px == 100.0 / 32
    assert np.abs(fine_square.image.astype(int) - coarse_square.image.astype(int)).mean() < 3


def test_the_scale_of_the_written_pixels_is_the_fields_over_the_resolution() -> None:
    assert cut(noise(60, 80), 30, 0.42)[0].um_per_px == pytest.approx(0.42 * 60 / 30)
    assert cut(noise(60, 80), 30, 0.42, field_px=20)[0].um_per_px == pytest.approx(0.42 * 20 / 30)
    assert math.isnan(cut(noise(60, 80), 30)[0].um_per_px)
    assert math.isnan(cut(noise(60, 80), 30, 0.42, fit="resize")[0].um_per_px)  # it has two scales


def test_a_field_in_micrometres_needs_a_scale() -> None:
    with pytest.raises(Undecodable, match="micrometres per pixel are not known"):
        cut(noise(60, 80), 30, None, field_um=10.0)


def test_squashing_and_enlarging_are_reported() -> None:
    assert [(s.squashed, s.enlarged) for s in cut(noise(60, 80), 32, fit="resize")] == [(True, False)]
    assert [(s.squashed, s.enlarged) for s in cut(noise(60, 60), 32, fit="resize")] == [(False, False)]
    assert [(s.squashed, s.enlarged) for s in cut(noise(20, 80), 32)] == [(False, True)]


@pytest.mark.parametrize("fit", ["crop", "tile", "resize"])
def test_a_mask_stays_on_what_it_marks(fit: str) -> None:
    mask = np.zeros((96, 128), np.uint8)
    mask[30:70, 50:90] = 255
    pixels = mask[:, :, None].repeat(3, 2)  # bright exactly where it is marked
    options = {"field_px": 48} if fit == "tile" else {}
    squares = list(cut(pixels, 24, mask=mask, fit=fit, **options))
    assert len(squares) == (4 if fit == "tile" else 1)
    for square in squares:
        assert square.mask is not None
        assert set(np.unique(square.mask)) <= {0, 255}
        assert np.mean((square.image[..., 0] >= 128) == (square.mask == 255)) > 0.98


def test_masks_of_one_image_are_joined_and_one_of_another_size_is_refused() -> None:
    left, right, small = np.zeros((10, 20), np.uint8), np.zeros((10, 20), np.uint8), np.zeros((5, 10), np.uint8)
    left[:, :5], right[:, 16:] = 255, 255
    joined = union([Image.fromarray(left), Image.fromarray(right)], (20, 10), ("l.png", "r.png"))
    assert joined is not None
    marked = np.asarray(joined)
    assert marked.shape == (10, 20)
    assert np.array_equal(marked[0] == 255, [*[True] * 5, *[False] * 11, *[True] * 4])
    assert union([], (20, 10), ()) is None
    with pytest.raises(Undecodable, match=r"10×5 px.*20×10 px") as refused:
        union([Image.fromarray(left), Image.fromarray(small)], (20, 10), ("l.png", "s.png"))
    assert private("s.png") in str(refused.value)


@pytest.mark.parametrize(
    "options", [{"field_px": 0}, {"field_px": 5, "field_um": 2.0}, {"fit": "resize", "field_px": 9}, {"fit": "squash"}]
)
def test_contradictory_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        PrepareConfig("folder", "images", **options)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.floats(10.0, 29.9))
def test_a_field_of_broken_pixels_is_as_square_as_any(field_um: float) -> None:
    squares = list(cut(noise(60, 77), 16, 0.3, fit="tile", field_um=field_um / 2))
    assert len(squares) >= 1
    for square in squares:
        assert not square.squashed
        assert square.um_per_px == pytest.approx(field_um / 2 / 16)
