"""Power spectra of images: over the plane of frequencies, and over the distance from its middle."""

import numpy as np
from numpy.typing import NDArray

FLOOR = 0.01  # squared grey levels; the rounding to whole grey levels alone leaves 1/12

Spectra = NDArray[np.float32]


def plane_power(planes: NDArray[np.float32]) -> Spectra:
    """The power [...,N,N] of planes [...,N,N] in grey levels, at frequencies in the order of `numpy.fft.fft2`.

    Seen through a Hann window, without which the jump between opposite edges leaves a cross; the windowed mean is taken
    off. White noise of variance v has the power v at every frequency.
    """
    from scipy.fft import fft2

    window = hann(planes.shape[-1])
    mean = (planes * window).sum((-2, -1), keepdims=True) / window.sum()
    waves = fft2((planes - mean) * window)
    power: Spectra = (np.abs(waves) ** 2 / (window**2).sum()).astype(np.float32)
    return power


def hann(side: int) -> NDArray[np.float32]:
    """The window [N,N], 0 at the edge; periodic, so that a wave of a whole period leaks to its neighbours alone."""
    line = np.sin(np.pi * np.arange(side) / side) ** 2
    return np.outer(line, line).astype(np.float32)


def radial_mean(power: Spectra) -> Spectra:
    """The mean [...,N//2] over the frequencies at each distance from 0: 1/N, 2/N to a half cycle per pixel.

    Each frequency counts at the nearest of these; the corners beyond a half are not counted.
    """
    side = power.shape[-1]
    cycles = np.fft.fftfreq(side) * side
    radius = np.rint(np.hypot(cycles[:, None], cycles)).astype(np.int64).ravel()
    counted = np.flatnonzero((radius > 0) & (radius <= side // 2))
    rings = np.zeros((len(counted), side // 2), np.float32)
    rings[np.arange(len(counted)), radius[counted] - 1] = 1
    flat = power.reshape(*power.shape[:-2], side * side)[..., counted]
    mean: Spectra = flat @ (rings / rings.sum(0))
    return mean


def decibels(power: Spectra) -> Spectra:
    """10 · log10 of a power in squared grey levels, at least that of FLOOR."""
    level: Spectra = 10 * np.log10(np.maximum(power, np.float32(FLOOR)))
    return level
