"""Grids: isolated peaks at the frequencies that upsampling by 2, 4 and 8 leaves behind.

They are looked for in the images' own spectrum, where a pattern that is added to the pixels shows, and in that of the
differences of neighbouring pixels, whose size is periodic where pixels were repeated or interpolated.
"""

from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.appearance.power import Spectra, decibels, plane_power

PERIODS = (2, 4, 8)  # pixels
MIN_SPACING = 4  # frequencies from one place of a grid to the next; with fewer, its neighbourhood holds the next peak
MIN_EXCESS_DB = 1.5  # over real images, our choice: below, a peak is of no consequence
MIN_PEAKS_DB = (2.0, 4.0, 4.0)  # over its own neighbourhood, in the image and its edges: those of blurred images ripple
MIN_Z = 4.5  # of the excess, between many images: about a hundred places are looked at
MIN_IMAGES = 8  # of all classes, on each side
WEAKER_DB = 12.0  # than the strongest peak: what is still the same grid, and no accident of its edges


@dataclass(frozen=True)
class Grid:
    """The strongest grid that was found."""

    period_px: int  # the longest period that has a peak
    peak_db: float  # the strongest peak over its neighbourhood, in synthetic images
    real_db: float  # the same place in real ones
    is_in_edges: bool  # whether it is the size of the differences that has this period, not the image itself


def grid_contrasts(images: NDArray[np.float32], power: Spectra) -> NDArray[np.float32]:
    """How far each place of a grid stands out, in decibels [n,3,C,2], of images [n,N,N,3] with their power [n,N,N].

    Of the image, its horizontal and its vertical differences; next to places along either axis, as a ridge, such as the
    cross that straight edges leave, is high next to one of them only. C is 0 where images are too small.
    """
    places = grid_places(images.shape[1])
    grey = images.mean(3)
    edges = [np.abs(np.roll(grey, -1, axis=axis) - grey) for axis in (2, 1)]
    levels = np.stack([decibels(power), *(decibels(plane_power(plane)) for plane in edges)], axis=1)
    if not len(places):
        return np.zeros((len(images), 3, 0, 2), np.float32)
    return np.stack([_contrast(levels, place, images.shape[1]) for place in places], axis=2)


def grid_places(side: int) -> list[tuple[int, int, int]]:
    """Period in pixels and frequency (vertical, horizontal) in cycles per image, one of each pair of opposite ones."""
    finest = max((period for period in PERIODS if side // period >= MIN_SPACING), default=0)
    places = []
    for down in range(finest):
        for across in range(finest):
            opposite = (-down % finest, -across % finest)
            if (down, across) != (0, 0) and (down, across) <= opposite:
                period = finest // gcd(down, across, finest)
                places.append((period, round(down * side / finest), round(across * side / finest)))
    return places


def find_grid(
    synthetic: NDArray[np.float32], real: NDArray[np.float32], group: NDArray[np.str_], side: int
) -> Grid | None:
    """The grid in the contrasts of synthetic images [n,3,C,2] that real ones [m,3,C,2] do not have.

    Both excesses of a peak must be large and clear, by Student's t for the number of synthetic images; the error of the
    real one is the larger of that between patients and that between images. None where a side has fewer images than
    MIN_IMAGES, or is too small for a grid.
    """
    from scipy.stats import norm, t

    periods = np.array([place[0] for place in grid_places(side)], np.int64)
    if not len(periods) or min(len(synthetic), len(real)) < MIN_IMAGES:
        return None
    patients = [real[group == name].mean(0) for name in np.unique(group)]
    between = _squared_error(np.stack(patients)) if len(patients) > 1 else np.float32(0)
    error = np.sqrt(_squared_error(synthetic) + np.maximum(between, _squared_error(real)))
    peak, usual = synthetic.mean(0), np.mean(patients, axis=0)
    excess = peak - usual
    lowest = np.array(MIN_PEAKS_DB)[:, None, None]
    clear = float(t.isf(norm.sf(MIN_Z), len(synthetic) - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        is_clear = (excess > MIN_EXCESS_DB) & (excess / error > clear) & (peak > lowest)
    found = is_clear.all(2)  # [3,C]
    if not found.any():
        return None
    strength = np.where(found, excess.min(2), -np.inf)
    plane, place = np.unravel_index(int(strength.argmax()), strength.shape)
    return Grid(
        period_px=int(periods[(strength >= strength.max() - WEAKER_DB).any(0)].max()),
        peak_db=float(peak[plane, place].min()),
        real_db=float(usual[plane, place].min()),
        is_in_edges=bool(plane > 0),
    )


def _squared_error(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of the mean over the first axis."""
    error: NDArray[np.float32] = values.var(0, ddof=1) / len(values)
    return error


def _contrast(levels: Spectra, place: tuple[int, int, int], side: int) -> NDArray[np.float32]:
    """[...,2] from levels [...,N,N]: a place next to those at 2 and more steps along either axis.

    The window spreads a peak over one step to each side.
    """
    _, down, across = place
    steps = np.array([-4, -3, -2, 2, 3, 4] if side // max(PERIODS) >= 8 else [-2, 2])
    center = levels[..., down, across]
    along = levels[..., (down + steps) % side, across], levels[..., down, (across + steps) % side]
    return np.stack([center - own.mean(-1) for own in along], axis=-1)
