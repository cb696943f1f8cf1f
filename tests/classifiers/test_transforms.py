"""The training augmentation moves and tints, but invents nothing and forgets nothing."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from classifiers.transforms import MAX_TILT_RAD, MIN_CROP, augment, crop_and_turn, jitter_colour, to_float

MIDDLE = [1.0, 0.5, 0.5, 0.0, 0.5, 0.9]  # full side, no shift, no quarter turn, no tilt, no mirror


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 4, px: int = 16) -> Tensor:
    return torch.randint(0, 256, (n, 3, px, px), dtype=torch.uint8, generator=rng(9))


def moved(x: Tensor, draws: list[float]) -> Tensor:
    grid = F.affine_grid(crop_and_turn(torch.tensor([draws])), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def test_evaluation_only_scales_the_bytes() -> None:
    x = to_float(torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16))
    assert x.dtype == torch.float32
    assert (x.min(), x.max()) == (0, 1)
    assert torch.equal((x * 255).round().byte(), torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand_as(x))


def test_same_generator_same_bytes() -> None:
    first, again, other = (augment(images(), "standard", rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_level_none_is_the_evaluation_transform() -> None:
    assert torch.equal(augment(images(), "none", rng()), to_float(images()))


def test_input_bytes_are_left_alone_and_output_stays_in_range() -> None:
    x = images(32)
    before = x.clone()
    y = augment(x, "standard", rng())
    assert torch.equal(x, before)
    assert y.shape == x.shape
    assert y.min() >= 0
    assert y.max() <= 1


def test_every_image_of_a_batch_gets_its_own_change() -> None:
    same = images(1).expand(16, -1, -1, -1)
    y = augment(same, "standard", rng()).flatten(1)
    assert torch.cdist(y, y).fill_diagonal_(math.inf).min() > 0.1


def test_the_middle_of_all_draws_changes_nothing() -> None:
    x = to_float(images(1))
    torch.testing.assert_close(moved(x, MIDDLE), x)
    torch.testing.assert_close(jitter_colour(x, torch.ones(1, 3)), x)


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_quarter_turns_and_mirrorings_are_exact(quarter: int, mirrored: bool) -> None:
    x = to_float(images(1))
    draws = [1.0, 0.5, 0.5, (quarter + 0.5) / 4, 0.5, 0.1 if mirrored else 0.9]
    turned = [torch.rot90(m, k, (2, 3)) for k in range(4) for m in (x, x.flip(3))]
    errors = [(moved(x, draws) - candidate).abs().max().item() for candidate in turned]
    assert min(errors) < 1e-5


def test_all_eight_turns_are_reached_equally_often() -> None:
    matrices = crop_and_turn(torch.rand(4000, 6, generator=rng()))[:, :, :2]
    quarter = torch.atan2(-matrices[:, 0, 1], matrices[:, 1, 1]).div(math.pi / 2).round().long() % 4
    mirrored = (torch.linalg.det(matrices) < 0).long()
    counts = torch.bincount(quarter * 2 + mirrored, minlength=8)
    assert counts.min() > 400
    assert counts.max() < 600


def test_crop_stays_inside_and_tilt_within_its_limit() -> None:
    matrices = crop_and_turn(torch.rand(2000, 6, generator=rng()))
    side = torch.linalg.det(matrices[:, :, :2]).abs().sqrt()
    assert side.min() >= MIN_CROP - 1e-5
    assert side.max() <= 1 + 1e-5
    assert (matrices[:, :, 2].abs().amax(1) + side).max() <= 1 + 1e-5
    angle = torch.atan2(-matrices[:, 0, 1], matrices[:, 1, 1])
    tilt = (angle + math.pi / 4) % (math.pi / 2) - math.pi / 4
    assert tilt.abs().max() <= MAX_TILT_RAD + 1e-5
    assert tilt.std() > MAX_TILT_RAD / 3


def test_jitter_scales_what_it_says() -> None:
    x = 0.4 + 0.2 * to_float(images(2))
    brighter = jitter_colour(x, torch.tensor([[1.1, 1.0, 1.0]] * 2))
    torch.testing.assert_close(brighter, x * 1.1)
    harder = jitter_colour(x, torch.tensor([[1.0, 1.2, 1.0]] * 2))
    torch.testing.assert_close(harder.mean((1, 2, 3)), x.mean((1, 2, 3)))
    torch.testing.assert_close(harder.std((1, 2, 3)), 1.2 * x.std((1, 2, 3)))
    grey = jitter_colour(x, torch.tensor([[1.0, 1.0, 0.0]] * 2))
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="20×16 px"):
        augment(torch.zeros(2, 3, 16, 20, dtype=torch.uint8), "standard", rng())
