"""Haematoxylin and eosin of single images, unmixed with one reference so that they can be compared."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.data.prepare.stain import TISSUE_DENSITY, WHITE, Reference, fit_one, reference_of
from ganaug.errors import DataError
from ganaug.evaluate.appearance.samples import blocks, sample
from ganaug.evaluate.judged import ImageSet

MAX_SIDE_PX = 256  # of an image as it is looked at: of larger ones every second pixel, every third and so on
NUM_BINS = 256  # of the histogram in which the threshold of nuclei is sought
HIGHEST = 3.0  # haematoxylin in that histogram, in 99th percentiles of the image

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Stained:
    """A sample of the images of one side."""

    label: NDArray[np.int64]  # [n]
    group: NDArray[np.str_]  # [n]
    has_stain: NDArray[np.bool_]  # [n], whether two stains can be fitted to the image itself
    pixels: Pixels  # [m,H,W,3], of those that have, reduced
    fits: tuple[Reference, ...]  # [m], of these


def read_stained(images: ImageSet, num_classes: int) -> Stained:
    """Read a sample of the images and fit the stain of each by Macenko's method."""
    positions = sample(images, num_classes)
    reduced = [_reduce(block) for block in blocks(images, positions)]
    pixels = np.concatenate(reduced) if reduced else np.zeros((0, 1, 1, 3), np.uint8)
    fits = [fit_one(image, "macenko") for image in pixels]
    has_stain = np.array([fitted is not None for fitted in fits], np.bool_)
    shown = tuple(fitted for fitted in fits if fitted is not None)
    return Stained(images.label[positions], images.group[positions], has_stain, pixels[has_stain], shown)


def stains_of(real: Stained) -> NDArray[np.float64] | None:
    """The unit vectors [3,2] of optical density of the training images; None where none of them shows a stain."""
    try:
        return reference_of(real.fits).values["stains"]
    except DataError:
        return None


def unmix(image: Pixels, stains: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Concentrations [n,2] of the tissue pixels of an image u8 [H,W,3], and the density [n] that neither stain has.

    By least squares in natural optical density, with the same stains for every image; a pixel is tissue as in
    `ganaug.data.prepare.stain`. Source: Ruifrok and Johnston 2001, "Quantification of histochemical staining by color
    deconvolution".
    """
    pixels = image.reshape(-1, 3) + 1.0
    density = -np.log(pixels[np.all(pixels <= WHITE * np.exp(-TISSUE_DENSITY), axis=1)] / WHITE)
    concentration = density @ np.linalg.pinv(stains).T
    left = np.linalg.norm(density - concentration @ stains.T, axis=1)
    return concentration, left


def own_haematoxylin(image: Pixels, fitted: Reference) -> NDArray[np.float64]:
    """The haematoxylin [n] of the tissue pixels by the image's own stains, in 99th percentiles of the image.

    Nuclei are dark next to the rest of their own image, whatever the stain of the patient.
    """
    concentration, _ = unmix(image, fitted.values["stains"])
    amount: NDArray[np.float64] = concentration[:, 0] / fitted.values["max_concentration"][0]
    return amount


def haematoxylin_histogram(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The fraction of the pixels in each of NUM_BINS bins up to HIGHEST; the outermost ones hold what lies outside."""
    clipped = np.clip(amounts, 0, np.nextafter(HIGHEST, 0))
    return np.bincount((clipped * (NUM_BINS / HIGHEST)).astype(np.int64), minlength=NUM_BINS) / len(clipped)


def nuclear_threshold(histogram: NDArray[np.float64]) -> float:
    """The haematoxylin that best separates two groups of pixels, from counts in NUM_BINS up to HIGHEST.

    Source: Otsu 1979, "A threshold selection method from gray-level histograms".
    """
    middles = (np.arange(NUM_BINS) + 0.5) * HIGHEST / NUM_BINS
    below = histogram.cumsum()
    above = below[-1] - below
    sums = (histogram * middles).cumsum()
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float((np.nanargmax(np.where(below * above > 0, between, -1)) + 1) * HIGHEST / NUM_BINS)


def _reduce(images: Pixels) -> Pixels:
    step = -(-images.shape[1] // MAX_SIDE_PX)
    return images[:, ::step, ::step]
