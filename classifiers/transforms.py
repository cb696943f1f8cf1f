"""Bytes to network input, one batch at a time: the plain way for evaluation, and the random way for training."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

MIN_CROP = 0.8  # side of the smallest crop, as a share of the image's
MAX_TILT_RAD = math.radians(10)  # on top of a random quarter turn
MAX_JITTER = 0.2  # brightness, contrast and saturation are scaled by 1 ± this
LUMA = (0.299, 0.587, 0.114)


def to_float(images: Tensor) -> Tensor:
    """u8 [N,3,H,W] as float32 in [0,1]: all that evaluation does; the models scale and normalise by themselves."""
    return images.float().div_(255)


def augment(images: Tensor, level: Literal["none", "standard"], generator: torch.Generator) -> Tensor:
    """Square u8 [N,3,H,H] as float32 in [0,1], each image changed in its own random way, or not at level "none".

    "standard" is a random crop, rotation and colour jitter (ResViT-GANNet, BMC Medical Imaging 2025). The amounts are
    ours: a crop of 80 to 100 % of the side anywhere in the image, one of the eight turns and mirrorings (tissue has no
    up) and a tilt of up to 10°, brightness, contrast and saturation × 0.8 to 1.2; hue stays, as it is the stain's. What
    a tilt brings in from beyond the border is the image reflected. `generator` lives on the CPU, so that all devices
    see the same changes. Errors: ValueError for images that are not square.
    """
    if level == "none":
        return to_float(images)
    if images.shape[2] != images.shape[3]:
        raise ValueError(
            f"images of {images.shape[3]}×{images.shape[2]} px; expected squares, which quarter turns keep"
        )
    draws = torch.rand(len(images), 9, generator=generator).to(images.device)
    matrices = crop_and_turn(draws[:, :6])
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    moved = F.grid_sample(to_float(images), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return jitter_colour(moved, 1 + MAX_JITTER * (2 * draws[:, 6:] - 1))


def crop_and_turn(draws: Tensor) -> Tensor:
    """Uniform draws [N,6] to affine maps [N,2,3] from output to input, in coordinates from -1 to 1."""
    side, x, y, quarter, tilt, mirror = draws.unbind(1)
    side = MIN_CROP + (1 - MIN_CROP) * side
    angle = (quarter * 4).floor() * (math.pi / 2) + MAX_TILT_RAD * (2 * tilt - 1)
    flip = torch.where(mirror < 0.5, -1.0, 1.0)
    cos, sin = side * angle.cos(), side * angle.sin()
    shift_x, shift_y = (1 - side) * (2 * x - 1), (1 - side) * (2 * y - 1)  # the crop stays inside the image
    return torch.stack([flip * cos, -sin, shift_x, flip * sin, cos, shift_y], dim=1).view(-1, 2, 3)


def jitter_colour(images: Tensor, scales: Tensor) -> Tensor:
    """Float [N,3,H,W] in [0,1], brightness, contrast and saturation times `scales` [N,3], clamped to [0,1]."""
    brightness, contrast, saturation = scales[:, :, None, None, None].unbind(1)
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + contrast * (images - mean)
    grey = (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return (grey + saturation * (images - grey)).clamp_(0, 1)
