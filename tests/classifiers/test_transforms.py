"""The classical augmentation moves and tints, but invents nothing and forgets nothing."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from classifiers import transforms
from classifiers.config import ClassicalAugmentation
from classifiers.transforms import (
    MAX_STAIN_JITTER,
    MAX_TILT_RAD,
    MIN_CROP,
    NUM_ORIENTATIONS,
    STAIN_VECTORS,
    augment,
    crop_and_turn,
    jitter_colour,
    jitter_stains,
    orient,
    orient_each,
    to_float,
)

LEVELS: tuple[ClassicalAugmentation, ...] = ("light", "standard", "strong")
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
    assert (x.min().item(), x.max().item()) == (0, 1)
    assert torch.equal((x * 255).round().byte(), torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand_as(x))


@pytest.mark.parametrize("level", LEVELS)
def test_same_generator_same_bytes(level: ClassicalAugmentation) -> None:
    first, again, other = (augment(images(), level, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_level_none_is_the_evaluation_transform() -> None:
    assert torch.equal(augment(images(), "none", rng()), to_float(images()))


@pytest.mark.parametrize("level", LEVELS)
def test_input_bytes_are_left_alone_and_output_stays_in_range(level: ClassicalAugmentation) -> None:
    x = images(32)
    before = x.clone()
    y = augment(x, level, rng())
    assert torch.equal(x, before)
    assert y.shape == x.shape
    assert y.min() >= 0
    assert y.max() <= 1


@pytest.mark.parametrize("level", ["standard", "strong"])
def test_every_image_of_a_batch_gets_its_own_change(level: ClassicalAugmentation) -> None:
    same = images(1).expand(16, -1, -1, -1)
    y = augment(same, level, rng()).flatten(1)
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
    rotated = [torch.rot90(m, k, (2, 3)) for k in range(4) for m in (x, x.flip(3))]
    errors = [(moved(x, draws) - candidate).abs().max().item() for candidate in rotated]
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


def test_jitter_is_brightness_then_contrast_about_the_mean_then_saturation_about_grey() -> None:
    x, scales = 0.3 + 0.3 * to_float(images(4)), 0.8 + 0.4 * torch.rand(4, 3, generator=rng())
    brightness, contrast, saturation = scales[:, :, None, None, None].unbind(1)
    bright = x * brightness
    mean = bright.mean((1, 2, 3), keepdim=True)
    hard = mean + contrast * (bright - mean)
    grey = (hard * torch.tensor(transforms.LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(jitter_colour(x, scales), (grey + saturation * (hard - grey)).clamp(0, 1))


def test_each_image_gets_the_orientation_that_is_asked_for_it() -> None:
    x = images(NUM_ORIENTATIONS)
    asked = torch.tensor([3, 1, 4, 7, 5, 0, 2, 6])
    expected = torch.stack([orient(one_image, int(k)) for one_image, k in zip(x, asked, strict=True)])
    assert torch.equal(orient_each(x, asked), expected)


def test_light_is_an_orientation_of_the_bytes_and_reaches_all_eight() -> None:
    x = images(1).expand(400, -1, -1, -1)
    candidates = torch.cat([to_float(orient(images(1), k)) for k in range(NUM_ORIENTATIONS)])
    is_candidate = (augment(x, "light", rng())[:, None] == candidates).flatten(2).all(2)
    assert torch.equal(is_candidate.sum(1), torch.ones(400, dtype=torch.long))
    assert is_candidate.sum(0).min() > 25


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="20×16 px"):
        augment(torch.zeros(2, 3, 16, 20, dtype=torch.uint8), "standard", rng())


# ---- stains ----------------------------------------------------------------------------------------------------------

KEPT, UNMOVED = torch.ones(1, 3), torch.zeros(1, 3)
HAEMATOXYLIN, EOSIN, _ = torch.tensor(STAIN_VECTORS)


def light(amounts: Tensor) -> Tensor:
    """What passes amounts [N,3] of the stains, as pixels [N,3,1,1]."""
    return ((256 * (-amounts @ torch.tensor(STAIN_VECTORS)).exp() - 1) / 255)[:, :, None, None]


def density(pixels: Tensor) -> Tensor:
    return -((255 * pixels.flatten(1) + 1) / 256).log()


def test_a_stain_jitter_of_nothing_separates_and_recombines_to_the_same() -> None:
    every_shade = torch.arange(256).div(255).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    for x in (to_float(images()), every_shade):
        kept, unmoved = KEPT.expand(len(x), 3), UNMOVED.expand(len(x), 3)
        torch.testing.assert_close(jitter_stains(x, kept, unmoved), x, rtol=0, atol=1e-5)


def test_more_haematoxylin_darkens_nuclei_along_haematoxylin_and_leaves_eosin() -> None:
    more = torch.tensor([[1.5, 1.0, 1.0]])
    nuclei, stroma = light(torch.tensor([[0.8, 0.0, 0.0]])), light(torch.tensor([[0.0, 0.8, 0.0]]))
    changed = density(jitter_stains(nuclei, more, UNMOVED)) - density(nuclei)
    torch.testing.assert_close(changed, 0.4 * HAEMATOXYLIN[None], rtol=0, atol=1e-4)
    torch.testing.assert_close(jitter_stains(stroma, more, UNMOVED), stroma, rtol=0, atol=1e-5)


def test_a_shift_lays_the_stain_on_glass_too() -> None:
    glass = torch.ones(1, 3, 1, 1)
    stained = jitter_stains(glass, KEPT, torch.tensor([[0.0, 0.2, 0.0]]))
    torch.testing.assert_close(density(stained), 0.2 * EOSIN[None], rtol=0, atol=1e-4)


def test_stain_jitter_is_the_rule_of_tellez_written_out_pixel_by_pixel() -> None:
    x = to_float(images(3, 8))
    scales, shifts = 0.7 + 0.6 * torch.rand(3, 3, generator=rng(1)), 0.4 * torch.rand(3, 3, generator=rng(2)) - 0.2
    stains = np.array(STAIN_VECTORS)
    expected = np.empty(x.shape)
    for n, row, column in np.ndindex(3, 8, 8):
        pixel = 255 * x[n, :, row, column].double().numpy()
        amounts = np.linalg.solve(stains.T, -np.log((pixel + 1) / 256))
        amounts = scales[n].numpy() * amounts + shifts[n].numpy()
        expected[n, :, row, column] = np.clip((256 * np.exp(-stains.T @ amounts) - 1) / 255, 0, 1)
    np.testing.assert_allclose(jitter_stains(x, scales, shifts), expected, atol=1e-5)


def test_the_stain_of_an_image_is_jittered_without_regard_to_the_others() -> None:
    x, scales, shifts = to_float(images(4)), 1 + 0.1 * torch.arange(12.0).view(4, 3), torch.full((4, 3), 0.1)
    together = jitter_stains(x, scales, shifts)
    alone = torch.cat([jitter_stains(x[n : n + 1], scales[n : n + 1], shifts[n : n + 1]) for n in range(4)])
    torch.testing.assert_close(together, alone)


def test_strong_without_its_stains_is_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "MAX_STAIN_JITTER", 0.0)
    torch.testing.assert_close(augment(images(), "strong", rng()), augment(images(), "standard", rng()))


def test_stains_are_scaled_and_shifted_evenly_within_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[Tensor, Tensor]] = []

    def record(x: Tensor, scales: Tensor, shifts: Tensor) -> Tensor:
        drawn.append((scales, shifts))
        return x

    monkeypatch.setattr(transforms, "jitter_stains", record)
    augment(images(2000, 4), "strong", rng())
    ((scales, shifts),) = drawn
    for amounts in (scales - 1, shifts):
        assert amounts.shape == (2000, 3)
        assert amounts.abs().max() <= MAX_STAIN_JITTER
        assert amounts.mean(0).abs().max() < 0.1 * MAX_STAIN_JITTER
        torch.testing.assert_close(amounts.std(0), torch.full((3,), MAX_STAIN_JITTER / math.sqrt(3)), rtol=0.05, atol=0)
    together = torch.cat([scales, shifts], dim=1).T
    assert (torch.corrcoef(together) - torch.eye(6)).abs().max() < 0.1  # each stain for itself


NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])])
def test_a_gpu_sees_the_same_changes(device: str) -> None:
    before = images()
    on_cpu, on_device = augment(before, "strong", rng()), augment(before.to(device), "strong", rng())
    assert on_device.device.type == device
    torch.testing.assert_close(on_device.cpu(), on_cpu, rtol=0, atol=1e-3)
    assert (on_cpu - before).abs().max() > 0.1


def test_the_eight_orientations_are_those_of_the_square_and_all_different() -> None:
    image = torch.arange(9).view(1, 1, 3, 3)
    oriented = [orient(image, orientation) for orientation in range(NUM_ORIENTATIONS)]
    assert torch.equal(oriented[0], image)
    assert torch.equal(oriented[1], image.rot90(1, (-2, -1)))
    assert torch.equal(oriented[4], image.flip(-1))
    assert len({tuple(x.flatten().tolist()) for x in oriented}) == 8
    assert all(x[0, 0, 1, 1] == 4 for x in oriented), "the centre stays"
    with pytest.raises(ValueError, match="orientation 8; expected 0 to 7"):
        orient(image, 8)
