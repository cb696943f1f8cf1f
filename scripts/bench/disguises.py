"""Disguises of a copied image, u8 [H,W,3] to the same: what a generator that memorises may do to it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from ganaug.data.images.perceptual_hash import NUM_SYMMETRIES, apply_symmetry

Pixels = NDArray[np.uint8]
Disguise = Callable[[Pixels, np.random.Generator], Pixels]

# Absorbance of haematoxylin, eosin and a residual in red, green and blue. Source: Ruifrok and Johnston 2001.
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
_NOISE = 12.0  # standard deviation in grey levels


def as_it_is(image: Pixels, rng: np.random.Generator) -> Pixels:
    return image


def blur(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A Gaussian blur of 1.25 to 2.3 % of the side: 0.8 to 1.5 px at 64 px."""
    sigma = rng.uniform(0.8, 1.5) * len(image) / 64
    return _as_pixels(ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0)))


def orient(image: Pixels, rng: np.random.Generator) -> Pixels:
    """One of the seven other orientations."""
    return np.ascontiguousarray(apply_symmetry(image, int(rng.integers(1, NUM_SYMMETRIES))))


def tilt(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A rotation by 2 to 10° either way, reflected at the edges."""
    degrees = rng.uniform(2, 10) * rng.choice([-1, 1])
    return _as_pixels(ndimage.rotate(image.astype(float), degrees, reshape=False, order=1, mode="reflect"))


def restain(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Each stain at 70 to 130 %, and a little more or less of it everywhere."""
    density = -np.log((image + 1.0) / 257)
    stains = density @ np.linalg.inv(_STAINS) * rng.uniform(0.7, 1.3, 3) + rng.uniform(-0.03, 0.03, 3)
    return _as_pixels(257 * np.exp(-stains @ _STAINS) - 1)


def crop(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A crop of 90 % of the side anywhere, enlarged to the whole."""
    return _crop(image, 0.9, rng)


def crop_more(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A crop of 80 %."""
    return _crop(image, 0.8, rng)


def _crop(image: Pixels, fraction: float, rng: np.random.Generator) -> Pixels:
    side, kept = len(image), round(fraction * len(image))
    top, left = rng.integers(0, side - kept + 1, 2)
    part = Image.fromarray(image[top : top + kept, left : left + kept])
    return np.asarray(part.resize((side, side), Image.Resampling.BICUBIC))


def shift(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A shift by up to 6 % of the side both ways, reflected at the edges."""
    most = len(image) // 16
    return np.asarray(ndimage.shift(image, (*rng.integers(-most, most + 1, 2), 0), order=0, mode="reflect"))


def add_noise(image: Pixels, rng: np.random.Generator) -> Pixels:
    return _as_pixels(image + rng.normal(0, _NOISE, image.shape))


def combine(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A 90 % crop in another orientation, blurred, with other stains and noise."""
    for disguise in (crop, orient, blur, restain, add_noise):
        image = disguise(image, rng)
    return image


def _as_pixels(values: NDArray[np.float64]) -> Pixels:
    return np.rint(values).clip(0, 255).astype(np.uint8)


DISGUISES: dict[str, Disguise] = {
    "exact": as_it_is,
    "blurred": blur,
    "oriented": orient,
    "tilted 2–10°": tilt,
    "stain jitter": restain,
    "90 % crop": crop,
    "80 % crop": crop_more,
    "shifted": shift,
    "noise": add_noise,
    "combined": combine,
}
