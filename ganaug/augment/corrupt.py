"""Corruptions of images: gains of frequency bands, additive noise and a hole."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ganaug.augment.dice import Dice
from ganaug.augment.geometry import reflect
from ganaug.augment.spec import AugmentSpec

# The zero-phase low-pass of one octave: the autocorrelation of the taps of the wavelet sym2, divided by 2.
OCTAVE = (-1 / 32, 0.0, 9 / 32, 16 / 32, 9 / 32, 0.0, -1 / 32)
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # expected of natural images in each band, by 1/f
NUM_BANDS = len(POWER)  # below π/8, then to π/4, π/2 and π


def draw_gains(spec: AugmentSpec, dice: Dice) -> Tensor:
    """Draw the gains [N, bands]: one band after the other is amplified, and all are scaled to the power they had.

    Source: Karras et al. 2020b, figure 11.
    """
    power = torch.tensor(POWER).to(dice.device, non_blocking=True)
    gains = torch.ones(dice.num_images, NUM_BANDS, device=dice.device)
    for band in range(NUM_BANDS):
        octaves = dice.maybe(dice.normal(spec.filter))
        factors = F.pad(octaves[:, None], (band, NUM_BANDS - 1 - band)).exp2()
        gains = gains * factors / (factors.square() @ power).sqrt()[:, None]
    return gains


def octave_bands() -> Tensor:
    """Zero-phase filters [bands, 43] that pass one band each, low to high, and sum to the identity."""
    bands, low = [], torch.ones(1)
    for octave in range(NUM_BANDS - 1):
        spread = torch.zeros(6 * 2**octave + 1)
        spread[:: 2**octave] = torch.tensor(OCTAVE)  # the octave's low-pass, as the previous ones left the sampling
        lower = _convolve(low, spread)
        bands.append(F.pad(low, [(len(lower) - len(low)) // 2] * 2) - lower)
        low = lower
    bands.append(low)
    return torch.stack([F.pad(band, [(len(low) - len(band)) // 2] * 2) for band in reversed(bands)])


def _convolve(signal: Tensor, taps: Tensor) -> Tensor:
    return F.conv1d(signal[None, None], taps.flip(0)[None, None], padding=len(taps) - 1)[0, 0]


def apply_gains(img: Tensor, gains: Tensor) -> Tensor:
    """Filter square images [N, C, H, H] along both axes with the sum of the bands, weighted by `gains` [N, bands].

    The images are continued by reflection; filter and reflection together are a matrix [H, H] per image. Its
    products are faster than convolutions with a filter per image, whose second derivative PyTorch computes one image
    after the other.
    Source: Karras et al. 2020b, figure 11.
    """
    bands = octave_bands().to(img.device, img.dtype, non_blocking=True)
    matrix = _filter_matrix(gains.to(img.dtype) @ bands, img.shape[3])[:, None]
    return matrix @ img @ matrix.mT


def _filter_matrix(taps: Tensor, size: int) -> Tensor:
    """The matrices [N, size, size] that filter by `taps` [N, odd] a line that is continued by reflection."""
    num, length = taps.shape
    pixels, offsets = (torch.arange(n, dtype=taps.dtype, device=taps.device) for n in (size, length))
    reached = reflect(pixels[:, None] + offsets - length // 2, size).round().long()
    matrix = taps.new_zeros(num, size, size)
    return matrix.scatter_add(2, reached.expand(num, -1, -1), taps[:, None, :].expand(-1, size, -1))


def draw_noise(spec: AugmentSpec, dice: Dice, size_px: int) -> Tensor:
    """Draw the noise [N, 3, H, H], of one standard deviation per image. Source: Karras et al. 2020b, figure 11."""
    std = dice.maybe(dice.normal(spec.noise).abs())
    return std[:, None, None, None] * dice.normal(1, 3, size_px, size_px)


def draw_hole(spec: AugmentSpec, dice: Dice) -> Tensor:
    """Draw the holes [N, 3] of cutout, as `apply_hole` takes them.

    Source: Karras et al. 2020b, figure 11.
    """
    centre = dice.uniform(0, 1, 2)
    side = dice.maybe(torch.full_like(centre[:, :1], spec.cutout))
    return torch.cat([centre, side], dim=1)


def apply_hole(img: Tensor, hole: Tensor) -> Tensor:
    """Make a square of each image [N, C, H, H] grey: `hole` [N, 3] is centre x, y and side, as fractions of H."""
    size = img.shape[3]
    start = ((hole[:, :2] - hole[:, 2:] / 2) * size).round()[:, :, None]
    end = ((hole[:, :2] + hole[:, 2:] / 2) * size).round()[:, :, None]
    pixels = torch.arange(size, device=img.device)
    inside = (pixels >= start) & (pixels < end)  # [N, axis, H]
    return img * ~(inside[:, 1, None, :, None] & inside[:, 0, None, None, :])
