"""The whole pipeline: nothing at p = 0, the same by the same seed, differentiable twice, of static shape, never NaN."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganaug.augment.geometry import Geometry
from ganaug.augment.pipeline import AugmentPipe
from ganaug.augment.spec import SPECS
from ganaug.config import ADA_PIPELINES
from ganaug.errors import ConfigError

NAMES = sorted(set(SPECS) - {"none"})


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(num: int = 4, size: int = 16) -> Tensor:
    return torch.rand(num, 3, size, size, generator=seeded(0)) * 2 - 1


def test_every_configured_name_has_a_specification() -> None:
    assert tuple(SPECS) == ADA_PIPELINES


def test_none_is_the_very_same_tensor() -> None:
    img, generator = images(), seeded()
    assert AugmentPipe(SPECS["none"])(img, 1.0, generator) is img
    assert torch.equal(generator.get_state(), seeded().get_state())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [16, 128])
def test_with_probability_0_images_stay(name: str, size: int) -> None:
    img = images(size=size)
    torch.testing.assert_close(AugmentPipe(SPECS[name])(img, 0.0, seeded()), img, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_and_images_differ_from_each_other(name: str) -> None:
    img, pipe = images(1).expand(8, -1, -1, -1), AugmentPipe(SPECS[name])
    first, again, other = (pipe(img, 0.8, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(torch.unique(first.flatten(1), dim=0)) > 2


def test_what_happens_at_some_p_happens_alike_at_every_larger_one() -> None:
    pipe, img = AugmentPipe(SPECS["histology"]), images(2000, 8)
    small, large = (pipe.draw(img, p, seeded()) for p in (0.02, 1.0))
    assert small.colour is not None
    assert large.colour is not None
    flips = small.geometry.blit[:, 0, 0] == -1
    assert flips.any()
    brighter = (small.colour[:, 0, 3] != 0) & (small.colour[:, :, :3] == torch.eye(3)).all(dim=2).all(dim=1)
    assert brighter.any()
    ratio = large.colour[brighter, 0, 3] / small.colour[brighter, 0, 3]  # at p = 1, contrast multiplies it as well
    grey = large.colour[brighter, 0, :3].sum(dim=1)
    torch.testing.assert_close(ratio, grey)


def test_a_tensor_p_is_as_good_as_a_number() -> None:
    pipe, img = AugmentPipe(SPECS["bgcfnc"]), images()
    assert torch.equal(pipe(img, 0.5, seeded()), pipe(img, torch.tensor(0.5), seeded()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_images_are_augmented_in_float32(dtype: torch.dtype) -> None:
    pipe, img = AugmentPipe(SPECS["bgc"]), images().to(dtype)
    assert torch.equal(pipe(img, 1.0, seeded()), pipe(img.float(), 1.0, seeded()).to(dtype))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_first_and_second_order(name: str) -> None:
    pipe, img = AugmentPipe(SPECS[name]), images(1, 8).double().requires_grad_()
    draws = pipe.draw(img, 1.0, seeded(11))
    augment = partial(lambda draws, img: pipe.apply(img, draws).sin(), draws)
    assert torch.autograd.gradcheck(augment, (img,), fast_mode=True)
    assert torch.autograd.gradgradcheck(augment, (img,), fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_r1_through_the_pipeline_reaches_the_discriminator(name: str) -> None:
    img, weight = images().requires_grad_(), torch.tensor(0.5, requires_grad=True)
    logits = (AugmentPipe(SPECS[name])(img, 1.0, seeded()) * weight).square().sum()
    (gradient,) = torch.autograd.grad(logits, img, create_graph=True)
    torch.autograd.backward(gradient.square().sum())
    assert weight.grad is not None
    assert weight.grad.abs() > 0
    assert img.grad is not None
    assert (img.grad.flatten(1).abs().sum(dim=1) > 0).all()


def test_extremes_stay_finite() -> None:
    img = torch.cat([torch.full((40, 3, 16, 16), value) for value in (-1.0, 0.0, 1.0, 1e4)]).requires_grad_()
    for name in NAMES:
        for seed in range(3):
            out = AugmentPipe(SPECS[name])(img, 1.0, seeded(seed))
            (gradient,) = torch.autograd.grad(out.sum(), img)
            assert out.isfinite().all()
            assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["bgcfnc", "histology"])
def test_it_compiles_as_a_whole(name: str) -> None:
    pipe, img = AugmentPipe(SPECS[name]), images().requires_grad_()
    compiled = torch.compile(pipe.apply, fullgraph=True, backend="aot_eager")
    for seed in range(2):  # other draws, the same graph
        draws = pipe.draw(img, 0.7, seeded(seed))
        ours, theirs = pipe.apply(img, draws), compiled(img, draws)
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        gradients = (torch.autograd.grad(out.square().sum(), img)[0] for out in (ours, theirs))
        torch.testing.assert_close(*gradients, atol=1e-3, rtol=1e-3)


def test_wrong_images_and_probabilities_are_told() -> None:
    pipe = AugmentPipe(SPECS["blit"])
    for img in (torch.zeros(2, 1, 16, 16), torch.zeros(2, 3, 16, 32), torch.zeros(2, 3, 4, 4), torch.zeros(3, 16, 16)):
        with pytest.raises(ConfigError, match="square RGB images"):
            pipe(img, 0.5, seeded())
    with pytest.raises(ConfigError, match="from 0 to 1"):
        pipe(images(), 1.5, seeded())


def test_histology_keeps_the_mean_colour_of_real_tissue(shared: Path) -> None:
    """On average by 15 of 255 levels at most, where the paper's colours move it by more than 50."""
    files = sorted((shared / "data" / "BreaKHis_v1").rglob("*.png"))[::105]
    if not files:
        pytest.skip("no BreakHis images")
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB").resize((64, 64))) for file in files])
    img = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().repeat(16, 1, 1, 1) / 127.5 - 1
    distance = {}
    for name in ("histology", "bgc"):
        moved = AugmentPipe(SPECS[name])(img, 1.0, seeded()).mean(dim=(2, 3)) - img.mean(dim=(2, 3))
        distance[name] = moved.square().mean(dim=1).sqrt().mean() * 127.5
    assert 2 < distance["histology"] < 15
    assert distance["bgc"] > 50


def test_blits_reuse_the_pixels_that_were() -> None:
    img, pipe = images(), AugmentPipe(SPECS["blit"])
    draws = pipe.draw(img, 1.0, seeded())
    assert isinstance(draws.geometry, Geometry)
    assert draws.geometry.full is None
    assert len(img) > 1
    for before, after in zip(img, pipe.apply(img, draws), strict=True):
        assert set(after.flatten().tolist()) <= set(before.flatten().tolist())
