"""Brightness, contrast, light and dark, hue and saturation: one random affine map of colours per image.

All of them keep the grey axis v = (1, 1, 1)/√3 apart from the plane of chroma across it. So their product, which the
paper writes as 4×4 matrices on (r, g, b, 1), has a closed form: a factor for the part along v, and a factor and a
rotation for the part across.
"""

import math

import torch
from torch import Tensor

from ganaug.augment.dice import Dice
from ganaug.augment.spec import AugmentSpec


def draw_colour(spec: AugmentSpec, dice: Dice) -> Tensor:
    """Draw the affine maps [N, 3, 4] of one batch. Source: Karras et al. 2020b, figure 11."""
    none = torch.zeros(dice.num_images, device=dice.device)
    brightness = dice.maybe(dice.normal(spec.brightness)) if spec.brightness > 0 else none
    contrast = dice.maybe(dice.normal(spec.contrast)) if spec.contrast > 0 else none
    is_flipped = dice.maybe(dice.below(2)) if spec.luma_flip else none
    hue = dice.maybe(dice.uniform(-spec.hue, spec.hue)) if spec.hue > 0 else none
    saturation = dice.maybe(dice.normal(spec.saturation)) if spec.saturation > 0 else none
    return colour_map(brightness, contrast.exp2(), 1 - 2 * is_flipped, hue, saturation.exp2())


def colour_map(brightness: Tensor, contrast: Tensor, luma: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """The affine maps [N, 3, 4] that add brightness, multiply by contrast, multiply grey by luma, turn the hue and
    multiply chroma by saturation, in this order.

    All [N]; hue in turns around v; the others are neutral at 0 (brightness) and 1.
    """
    identity = torch.eye(3, dtype=hue.dtype, device=hue.device)
    grey = torch.full_like(identity, 1 / 3)  # v vᵀ, the projection onto v
    across = (identity.roll(1, dims=0) - identity.roll(1, dims=1)) / math.sqrt(3)  # v ×, a quarter turn of chroma
    cos, sin = torch.cos(hue * math.tau), torch.sin(hue * math.tau)
    rotated = cos[:, None, None] * (identity - grey) + sin[:, None, None] * across
    linear = contrast[:, None, None] * (luma[:, None, None] * grey + saturation[:, None, None] * rotated)
    offset = (contrast * luma * brightness)[:, None].expand(-1, 3)
    return torch.cat([linear, offset[:, :, None]], dim=2)


def apply_colour(img: Tensor, colour: Tensor) -> Tensor:
    """Map the colours of images [N, 3, H, W] by [N, 3, 4]."""
    colour = colour.to(img.dtype)
    return torch.baddbmm(colour[:, :, 3:], colour[:, :, :3], img.flatten(2)).reshape(img.shape)
