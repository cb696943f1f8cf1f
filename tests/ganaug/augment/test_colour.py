"""Colour maps equal the paper's product of matrices, and each part does what its name says."""

import math

import pytest
import torch
from torch import Tensor

from ganaug.augment.colour import apply_colour, colour_map, draw_colour
from ganaug.augment.dice import Dice
from ganaug.augment.spec import SPECS, AugmentSpec

NEUTRAL = {"brightness": 0.0, "contrast": 1.0, "luma": 1.0, "hue": 0.0, "saturation": 1.0}


def mapped(img: Tensor, **values: float) -> Tensor:
    given = {name: torch.full((img.shape[0],), value, dtype=img.dtype) for name, value in (NEUTRAL | values).items()}
    return apply_colour(img, colour_map(**given))


@pytest.fixture
def img() -> Tensor:
    return torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_brightness_adds_and_contrast_multiplies(img: Tensor) -> None:
    torch.testing.assert_close(mapped(img, brightness=0.3), img + 0.3)
    torch.testing.assert_close(mapped(img, contrast=1.7), img * 1.7)
    torch.testing.assert_close(mapped(img, brightness=0.3, contrast=1.7), (img + 0.3) * 1.7)


def test_luma_flip_negates_grey_keeps_chroma_and_undoes_itself(img: Tensor) -> None:
    flipped, grey = mapped(img, luma=-1), img.mean(1, keepdim=True)
    torch.testing.assert_close(flipped, img - 2 * grey)
    torch.testing.assert_close(mapped(flipped, luma=-1), img)


def test_a_third_of_a_turn_of_hue_exchanges_the_channels_and_a_whole_one_nothing(img: Tensor) -> None:
    torch.testing.assert_close(mapped(img, hue=1 / 3), img.roll(1, dims=1))
    torch.testing.assert_close(mapped(img, hue=1.0), img)


def test_saturation_scales_the_distance_from_grey(img: Tensor) -> None:
    grey = img.mean(1, keepdim=True)
    torch.testing.assert_close(mapped(img, saturation=0), grey.expand_as(img))
    torch.testing.assert_close(mapped(img, saturation=2), grey + 2 * (img - grey))


def test_the_closed_form_is_the_papers_product_of_matrices() -> None:
    b, c, theta, s = 0.2, 1.4, 0.7, 0.6
    v = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64) / math.sqrt(3)
    eye, grey = torch.eye(4, dtype=torch.float64), v.outer(v)
    brightness, contrast = eye.clone(), torch.diag(torch.tensor([c, c, c, 1.0], dtype=torch.float64))
    brightness[:3, 3] = b
    x, y, z = v[:3]
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)  # Rodrigues' rotation around v
    hue = eye.clone()
    hue[:3, :3] = eye[:3, :3] + math.sin(theta) * cross + (1 - math.cos(theta)) * cross @ cross
    product = (grey + (eye - grey) * s) @ hue @ (eye - 2 * grey) @ contrast @ brightness
    values = (torch.tensor([value], dtype=torch.float64) for value in (b, c, -1.0, theta / math.tau, s))
    torch.testing.assert_close(colour_map(*values)[0], product[:3])


@pytest.mark.parametrize("name", ["bgc", "histology"])
def test_with_probability_0_colours_stay(name: str, img: Tensor) -> None:
    colour = draw_colour(SPECS[name], Dice(2, 0.0, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(apply_colour(img, colour), img, atol=1e-6, rtol=0)


def test_a_drawn_luma_flip_mirrors_at_the_plane_of_chroma() -> None:
    colour = draw_colour(AugmentSpec(luma_flip=True), Dice(20, 1.0, torch.Generator().manual_seed(0)))[:, :, :3]
    mirror = torch.eye(3) - 2 / 3
    is_flipped = colour[:, 0, 0] < 0.9
    assert 0 < is_flipped.sum() < 20
    torch.testing.assert_close(colour[is_flipped], mirror.expand(int(is_flipped.sum()), 3, 3))


@pytest.mark.parametrize(
    ("spec", "share"),
    [
        (AugmentSpec(brightness=0.2), 0.3),
        (AugmentSpec(contrast=0.5), 0.3),
        (AugmentSpec(luma_flip=True), 0.15),  # chosen with p, and then every second time
        (AugmentSpec(hue=0.5), 0.3),
        (AugmentSpec(saturation=1.0), 0.3),
    ],
)
def test_each_change_happens_with_its_probability(spec: AugmentSpec, share: float) -> None:
    colour = draw_colour(spec, Dice(4000, 0.3, torch.Generator().manual_seed(3)))
    happened = ((colour - torch.eye(3, 4)).abs() > 1e-6).any(dim=2).any(dim=1).float().mean()
    assert abs(happened - share) < 0.03


def test_histology_keeps_a_stain_near_its_colour() -> None:
    """Mean colours of haematoxylin, eosin and glass, from 0 to 255, move by 25 at most 19 times in 20."""
    stains = torch.tensor([[110.0, 70.0, 150.0], [225.0, 130.0, 180.0], [240.0, 240.0, 240.0]]) / 127.5 - 1
    img = stains.T.reshape(1, 3, 3, 1).expand(1000, -1, -1, -1)
    colour = draw_colour(SPECS["histology"], Dice(1000, 1.0, torch.Generator().manual_seed(0)))
    moved = (apply_colour(img, colour) - img).square().mean(dim=1).sqrt()[..., 0] * 127.5  # [images, stains]
    assert (moved.quantile(0.95, dim=0) < 25).all()
    assert (moved.mean(dim=0) > 4).all()
    haematoxylin = apply_colour(img, colour)[:, :, 0, 0]
    assert (haematoxylin[:, 2] > haematoxylin[:, 1]).all()  # stays bluer than green


def test_gradients_of_first_and_second_order() -> None:
    img = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    colour = draw_colour(SPECS["bgc"], Dice(2, 1.0, torch.Generator().manual_seed(2)))
    assert torch.autograd.gradcheck(lambda x: apply_colour(x, colour).sin(), (img,))
    assert torch.autograd.gradgradcheck(lambda x: apply_colour(x, colour).sin(), (img,))
