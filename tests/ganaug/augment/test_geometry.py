"""Matrices move pixels to where they say, blits to the bit, and resampling is exact where theory says so."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganaug.augment.dice import Dice
from ganaug.augment.geometry import (
    SYM6,
    Geometry,
    copy_pixels,
    draw_geometry,
    reflect,
    resample_images,
    rotate,
    scale,
    transform,
    translate,
)
from ganaug.augment.spec import AugmentSpec

SIZE = 32


def one(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


@pytest.fixture
def img() -> Tensor:
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def centred() -> tuple[Tensor, Tensor]:
    """x and y [SIZE, SIZE] of the pixels, (0, 0) in the centre."""
    line = torch.arange(SIZE, dtype=torch.float64) - (SIZE - 1) / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x, y


def draws(spec: AugmentSpec, p: float, num: int = 4000, size_px: int = 100) -> Geometry:
    return draw_geometry(spec, Dice(num, p, torch.Generator().manual_seed(5)), size_px)


def test_flip_and_quarter_turns_are_those_of_torch(img: Tensor) -> None:
    assert torch.equal(copy_pixels(img, scale(one(-1, -1), one(1, 1))), img.flip(3))
    for turns in range(4):
        source = rotate(one(turns / 4, turns / 4)).round()
        assert torch.equal(copy_pixels(img, source), torch.rot90(img, turns, dims=(2, 3)))


def test_whole_shift_moves_pixels_and_mirrors_the_rest_around_the_edge(img: Tensor) -> None:
    moved = copy_pixels(img, translate(one(5, -3).expand(2, 2)))
    assert torch.equal(moved[:, :, 3:, : SIZE - 5], img[:, :, : SIZE - 3, 5:])
    padded = F.pad(img, [5] * 4, mode="reflect")
    assert torch.equal(moved, padded[:, :, 5 - 3 : SIZE + 5 - 3, 10:])


def test_each_image_has_its_own_matrix(img: Tensor) -> None:
    moved = copy_pixels(img, scale(one(1, -1), one(1, 1)))
    assert torch.equal(moved[0], img[0])
    assert torch.equal(moved[1], img[1].flip(2))


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_points_of_any_distance_fold_into_the_image(far: float) -> None:
    points = torch.linspace(-far, far, 1001, dtype=torch.float64)
    folded = reflect(points, SIZE)
    assert 0 <= folded.min() <= folded.max() <= SIZE - 1
    inside = torch.arange(SIZE, dtype=torch.float64)
    torch.testing.assert_close(reflect(inside, SIZE), inside)
    torch.testing.assert_close(reflect(-inside, SIZE), inside)
    torch.testing.assert_close(reflect(inside + 2 * (SIZE - 1), SIZE), inside)


def test_sym6_is_orthogonal_to_its_even_shifts() -> None:
    taps = torch.tensor(SYM6, dtype=torch.float64)
    products = torch.stack([taps[2 * k :] @ taps[: 12 - 2 * k] for k in range(6)])
    torch.testing.assert_close(products, F.one_hot(torch.tensor(0), 6).double(), atol=1e-11, rtol=0)


def test_resampling_without_motion_gives_the_image_back_but_at_its_edges(img: Tensor) -> None:
    same = resample_images(img.double(), torch.eye(3).expand(2, 3, 3))
    inner = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(same[inner], img.double()[inner], atol=1e-6, rtol=0)


def test_resampling_keeps_constants_and_moves_slopes_as_the_matrix_says() -> None:
    x, y = centred()
    img = torch.stack([torch.ones_like(x), x, y])[None]
    source = rotate(one(0.1)) @ scale(one(0.6), one(0.5)) @ translate(one(1.3, -0.7)[None])
    warped, source = resample_images(img, source)[0], source[0].double()
    inner = (slice(2, -2), slice(2, -2))
    torch.testing.assert_close(warped[0], img[0, 0], atol=1e-6, rtol=0)
    for axis in (0, 1):
        expected = source[axis, 0] * x + source[axis, 1] * y + source[axis, 2]
        torch.testing.assert_close(warped[1 + axis][inner], expected[inner], atol=1e-5, rtol=0)


def test_a_blob_goes_where_the_matrix_comes_from() -> None:
    x, y = centred()
    blob = torch.exp(-((x - 4) ** 2 + (y + 3) ** 2) / 8)[None, None]
    source = scale(one(0.8), one(1.1)) @ rotate(one(0.15)) @ translate(one(1.7, 0.4)[None])
    warped = resample_images(blob, source)[0, 0]
    centroid = torch.stack([(warped * x).sum(), (warped * y).sum()]) / warped.sum()
    expected = (torch.linalg.inv(source[0].double()) @ torch.tensor([4.0, -3.0, 1.0], dtype=torch.float64))[:2]
    torch.testing.assert_close(centroid, expected, atol=0.02, rtol=0)


def test_flip_by_resampling_is_the_flip_but_for_the_filter(img: Tensor) -> None:
    smooth = F.avg_pool2d(img, 9, stride=1, padding=4).double()
    source = scale(one(-1, -1), one(1, 1))
    torch.testing.assert_close(resample_images(smooth, source), smooth.flip(3), atol=0.03, rtol=0)


def test_only_images_that_need_it_are_resampled(img: Tensor) -> None:
    blit = scale(one(-1, -1), one(1, 1))
    full = blit @ rotate(one(0, 0.1))
    moved = transform(img, Geometry(blit, full))
    assert torch.equal(moved[0], img[0].flip(2))
    torch.testing.assert_close(moved[1], resample_images(img, full)[1])


def spec_with(field: str, value: float) -> AugmentSpec:
    fields: dict[str, Any] = {field: value}
    return AugmentSpec(**fields)


def test_flips_come_every_second_time_and_turns_evenly() -> None:
    flips = draws(AugmentSpec(x_flip=True), 1.0).blit[:, 0, 0]
    assert abs((flips == -1).float().mean() - 0.5) < 0.03  # 4000 draws: 3.8 standard deviations
    rotated = draws(AugmentSpec(quarter_turns=True), 1.0).blit
    _, counts = torch.unique(rotated.flatten(1), dim=0, return_counts=True)
    assert len(counts) == 4
    assert ((counts - 1000).square() / 1000).sum() < 16.3  # chi-squared with 3 degrees, p = 0.001


def test_whole_shifts_are_whole_and_within_their_limit() -> None:
    shifts = draws(AugmentSpec(integer_shift=0.125), 1.0).blit[:, :2, 2]
    assert torch.equal(shifts, shifts.round())
    assert shifts.min() == -12
    assert shifts.max() == 12


@pytest.mark.parametrize("field", ["scale", "stretch", "shift", "rotation"])
def test_each_transformation_happens_with_probability_p(field: str) -> None:
    geometry = draws(spec_with(field, 0.3), 0.3)
    assert geometry.full is not None
    happened = (geometry.full != geometry.blit).any(dim=2).any(dim=1).float().mean()
    assert abs(happened - 0.3) < 0.03  # 4.1 standard deviations; rotation: before or after, together with probability p


def test_scale_keeps_the_aspect_and_stretch_the_area() -> None:
    scaled, stretched = (draws(spec_with(field, 0.2), 1.0).full for field in ("scale", "stretch"))
    assert scaled is not None
    assert stretched is not None
    assert torch.equal(scaled[:, 0, 0], scaled[:, 1, 1])
    torch.testing.assert_close(stretched[:, 0, 0] * stretched[:, 1, 1], torch.ones(4000))
    for matrix in (scaled, stretched):
        assert abs(matrix[:, 0, 0].log2().std() - 0.2) < 0.01


def test_gradients_of_first_and_second_order() -> None:
    img = torch.randn(1, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    source = rotate(one(0.1)) @ scale(one(0.7), one(1.6))
    for function in (lambda x: copy_pixels(x, source).sin(), lambda x: resample_images(x, source).sin()):
        assert torch.autograd.gradcheck(function, (img,))
        assert torch.autograd.gradgradcheck(function, (img,))
