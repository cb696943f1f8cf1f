"""Flips, turns, shifts, scaling and rotation: one random matrix per image, executed once.

A matrix [N, 3, 3] maps homogeneous points (x, y, 1) of the output to where they come from in the input: pixels, y
downwards, (0, 0) the image's centre. Beyond its outermost pixels' centres the image is continued by reflection, without
end, by folding the points instead of padding the image: every size is static, and nothing is computed that is not seen.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_ops import grid_sample, setup_filter, upfirdn2d
from ganaug.augment.dice import Dice
from ganaug.augment.spec import AugmentSpec

# The low-pass of the orthogonal wavelet sym6, as in PyWavelets' table (pywt.Wavelet("sym6").dec_lo).
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
DELAY = sum(n * tap for n, tap in enumerate(SYM6)) / sum(SYM6)  # of the filter: 5.098 samples
MARGIN = 3  # pixels that the filter reaches beyond the edges


class Geometry(NamedTuple):
    """The source of each pixel, as matrices that map the output back to the input."""

    blit: Tensor  # [N, 3, 3], of the transformations that move whole pixels
    full: Tensor | None  # [N, 3, 3], of all of them; None where the specification has no others


def draw_geometry(spec: AugmentSpec, dice: Dice, size_px: int) -> Geometry:
    """Draw the matrices for square images of `size_px`. Source: Karras et al. 2020b, figure 11.

    A later transformation stands further right, as the matrix goes from the output back to the input. It should be
    inverted, too; but each is as likely as its inverse.
    """
    blit = _draw_blit(spec, dice, size_px)
    return Geometry(blit, _draw_resampling(spec, dice, size_px, blit) if spec.is_resampled else None)


def _draw_blit(spec: AugmentSpec, dice: Dice, size_px: int) -> Tensor:
    source = torch.eye(3, device=dice.device).expand(dice.num_images, 3, 3)
    if spec.x_flip:
        flips = dice.maybe(dice.below(2))
        source = source @ scale(1 - 2 * flips, torch.ones_like(flips))
    if spec.quarter_turns:
        source = source @ rotate(dice.maybe(dice.below(4)) / 4).round()
    if spec.integer_shift > 0:
        limit_px = spec.integer_shift * size_px
        source = source @ translate(dice.maybe(dice.uniform(-limit_px, limit_px, 2).round()))
    return source


def _draw_resampling(spec: AugmentSpec, dice: Dice, size_px: int, source: Tensor) -> Tensor:
    p_rotation = 1 - (1 - dice.p).sqrt()  # so that at least one of the two rotates with probability p
    if spec.scale > 0:
        factor = dice.maybe(dice.normal(spec.scale)).exp2()
        source = source @ scale(factor, factor)
    if spec.rotation > 0:
        source = source @ rotate(dice.maybe(dice.uniform(-spec.rotation, spec.rotation), p_rotation))
    if spec.stretch > 0:
        factor = dice.maybe(dice.normal(spec.stretch)).exp2()
        source = source @ scale(factor, 1 / factor)
    if spec.rotation > 0:
        source = source @ rotate(dice.maybe(dice.uniform(-spec.rotation, spec.rotation), p_rotation))
    if spec.shift > 0:
        source = source @ translate(dice.maybe(dice.normal(spec.shift * size_px, 2)))
    return source


def scale(x: Tensor, y: Tensor) -> Tensor:
    """Matrices [N, 3, 3] that multiply by the factors x and y, both [N]."""
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=1))


def rotate(turns: Tensor) -> Tensor:
    """Matrices [N, 3, 3] that rotate by `turns` [N], from the x axis towards the y axis."""
    cos, sin = torch.cos(turns * math.tau), torch.sin(turns * math.tau)
    zeros, ones = torch.zeros_like(cos), torch.ones_like(cos)
    return torch.stack([cos, -sin, zeros, sin, cos, zeros, zeros, zeros, ones], dim=1).reshape(-1, 3, 3)


def translate(shift: Tensor) -> Tensor:
    """Matrices [N, 3, 3] that add `shift` [N, 2], in pixels."""
    return F.pad(shift[:, :, None], (2, 0, 0, 1)) + torch.eye(3, dtype=shift.dtype, device=shift.device)


def transform(img: Tensor, geometry: Geometry) -> Tensor:
    """Execute the matrices on square images [N, C, H, H].

    An image whose matrix only moves whole pixels keeps them exactly; the others are resampled, in one go.
    """
    moved = copy_pixels(img, geometry.blit)
    if geometry.full is None:
        return moved
    is_resampled = (geometry.full != geometry.blit).any(dim=2).any(dim=1)
    return torch.where(is_resampled[:, None, None, None], resample_images(img, geometry.full), moved)


def copy_pixels(img: Tensor, source: Tensor) -> Tensor:
    """Each pixel of the output is the one that `source` says, to the nearest whole pixel."""
    num, channels, size, _ = img.shape
    pixels = torch.arange(size, dtype=torch.float32, device=img.device)
    points = reflect(_sources(source, pixels, size), size).round().long()
    index = (points[..., 1] * size + points[..., 0]).reshape(num, 1, -1)
    return img.flatten(2).gather(2, index.expand(-1, channels, -1)).reshape(img.shape)


def resample_images(img: Tensor, source: Tensor) -> Tensor:
    """Enlarge by 2 with sym6, look up bilinearly, shrink by 2 with sym6; without motion, they cancel out.

    Exactly so but for the outermost 3 pixels, as it is the enlarged image that is continued by reflection.
    Source: Karras et al. 2020b, figure 11.
    """
    size = img.shape[3]
    f = setup_filter(SYM6).to(img.device, non_blocking=True)
    # Sample j of the enlarged image lies at pixel (j − DELAY) / 2, and so do those that are shrunk again. What
    # reflection leaves of the plane needs the samples from `first` on, twice as many as pixels.
    first = math.floor(DELAY)
    fine = upfirdn2d(F.pad(img, [MARGIN] * 4, mode="reflect"), f, up=2, padding=[0, -1, 0, -1], gain=4)
    samples = torch.arange(2 * size + len(SYM6) - 2, dtype=img.dtype, device=img.device)
    points = reflect(_sources(source.to(img.dtype), (samples - DELAY) / 2, size), size)
    grid = (points * 2 + (DELAY - first + 0.5)) / size - 1  # as grid_sample counts: from -1 to 1, edge to edge
    return upfirdn2d(grid_sample(fine, grid), f, down=2, flip_filter=True)


def _sources(source: Tensor, coordinates: Tensor, size: int) -> Tensor:
    """Where the points (x, y) of the grid of these `coordinates` [n] come from: [N, n, n, 2], in pixels."""
    centre = (size - 1) / 2
    x = (coordinates - centre)[None, :, None] * source[:, None, :2, 0]
    y = (coordinates - centre)[None, :, None] * source[:, None, :2, 1]
    return (x + source[:, None, :2, 2] + centre)[:, None, :, :] + y[:, :, None, :]


def reflect(points: Tensor, size: int) -> Tensor:
    """Fold the line into [0, size − 1], as between two mirrors."""
    turns = points / (2 * (size - 1))
    return (turns - turns.round()).abs() * (2 * (size - 1))
