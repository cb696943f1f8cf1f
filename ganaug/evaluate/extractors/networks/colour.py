"""Colour and stain of an image as a whole: no network, no weights, and no place in the image."""

import torch
from torch import Tensor

from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.provenance import digest_of

VERSION = 1  # raise it when the same images would have other features
NUM_FEATURES = 12
NOTE = "colour sees the mean colour and the stain of a whole image only: no nucleus, no gland, no place"


def colour(inputs: ExtractorInputs) -> Extractor:
    """Mean colour, mean optical density, and how the densities of the three channels vary together.

    What a classifier knows from these needs no tissue: the scanner, the laboratory, how strong the stain is. The
    directions in which densities vary together are those of the stains (Macenko et al. 2009).
    """
    return Extractor(
        "colour",
        digest_of(["colour", VERSION]),
        "means of red, green and blue and of their optical densities, and the covariances of these",
        embed,
        inputs.compute.device,
        note=NOTE,
        num_features=NUM_FEATURES,
    )


def embed(img: Tensor) -> Tensor:
    """u8 [n,3,H,W] -> float [n,12]; the same whatever the order of an image's pixels."""
    pixels = img.flatten(2).double()
    density = -torch.log((pixels + 1) / 256)
    mean = density.mean(dim=2)
    apart = density - mean[:, :, None]
    covariance = apart @ apart.transpose(1, 2) / pixels.shape[2]
    upper = torch.triu_indices(3, 3)
    return torch.cat([pixels.mean(dim=2) / 255, mean, covariance[:, upper[0], upper[1]]], dim=1).float()
