"""The structure of images, in which copies are searched: small, without stain and light, of equal weight everywhere.

Grey optical density at 32 px, of which a band of frequencies is kept: what is broader is stain and section, what is
finer is lost by a blur. Every place is divided by the contrast around it, so that a single dark duct does not decide.

Our choice: measured on the phantom and on BreakHis at 64 px, see `scripts/bench_copies.py`.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ganaug.data.images.perceptual_hash import NUM_SYMMETRIES

SIDE_PX = 32  # of a structure
_FINE_PX, _BROAD_PX = 0.7, 3.0  # standard deviations of the two blurs whose difference is the band
_MIN_CONTRAST = (
    0.004  # of the band, in natural optical density; BreakHis begins at 0.014, noise of 3 grey levels 0.0013
)
_WHITE, _DARKEST = 255.0, 8.0  # grey levels; the second keeps the density of black finite
_CHUNK = 256  # images at a time

Pixels = NDArray[np.uint8]  # [n,H,W,3]


def structure_of(images: Pixels, device: str = "cpu") -> Tensor:
    """The structures f32 [n,32,32] of images u8 [n,H,W,3]; zero where an image shows next to nothing."""
    starts = range(0, len(images), _CHUNK)
    parts = [_structure(torch.from_numpy(images[start : start + _CHUNK]).to(device)) for start in starts]
    return torch.cat(parts) if parts else torch.zeros(0, SIDE_PX, SIDE_PX, device=device)


def _structure(images: Tensor) -> Tensor:
    light = (images.float() + _DARKEST) / (_WHITE + _DARKEST)
    density = F.interpolate(-light.log().mean(3)[:, None], (SIDE_PX, SIDE_PX), mode="area")
    band = _blur(density, _FINE_PX) - _blur(density, _BROAD_PX)
    local = _blur(band**2, _BROAD_PX).sqrt()
    flat = band / (local + 0.5 * local.mean((2, 3), keepdim=True)).clamp(min=1e-6)
    shows = band.std((2, 3), keepdim=True) >= _MIN_CONTRAST
    return torch.where(shows, flat, 0.0)[:, 0]


def shows_nothing(structures: Tensor) -> NDArray[np.bool_]:
    """Which images [n] are blank; they are evidence of nothing, and copies of no other."""
    return (structures == 0).flatten(1).all(1).cpu().numpy()


def orientations(structures: Tensor) -> Tensor:
    """Structures [n,h,h] in the eight orientations, [8,n,h,h], as `apply_symmetry` numbers them."""
    views = []
    for symmetry in range(NUM_SYMMETRIES):
        view = structures.transpose(1, 2) if symmetry & 4 else structures
        dims = [dim for bit, dim in ((2, 1), (1, 2)) if symmetry & bit]
        views.append(view.flip(dims) if dims else view)
    return torch.stack(views)


def warp(structures: Tensor, placements: Tensor) -> Tensor:
    """Structures [n,h,h] as seen at placements [n,4]: angle in radians, logarithm of the scale, shift across and down.

    A scale below 1 enlarges, as a crop does; shifts are in units of half a side. Outside, an image is reflected.
    """
    angle, scale = placements[:, 0], placements[:, 1].exp()
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.stack([cos, -sin, placements[:, 2], sin, cos, placements[:, 3]], 1).view(-1, 2, 3)
    places = F.affine_grid(rows, [len(structures), 1, *structures.shape[1:]], align_corners=False)
    return F.grid_sample(structures[:, None], places, padding_mode="reflection", align_corners=False)[:, 0]


def unit_vectors(structures: Tensor, half: float) -> Tensor:
    """The central squares of [...,h,h] as vectors [...,d] of mean 0 and length 1, whose products are correlations.

    half: half the square's side, in units of half a side. A blank square is a vector of zeros.
    """
    side = structures.shape[-1]
    edge = round(side * (1 - half) / 2)
    vectors = structures[..., edge : side - edge, edge : side - edge].flatten(-2)
    vectors = vectors - vectors.mean(-1, keepdim=True)
    lengths: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / lengths.clamp(min=1e-6)


def _blur(images: Tensor, sigma_px: float) -> Tensor:
    """[n,1,h,w] after a Gaussian blur, reflected at its edges."""
    radius = math.ceil(3 * sigma_px)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=images.device) / sigma_px) ** 2)
    taps = taps / taps.sum()
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    blurred: Tensor = F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))
    return blurred
