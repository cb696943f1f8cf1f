"""Principal components of small images: no network and no weights."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from classifiers.samples import read_batch
from ganaug.data.schema import IMAGES_AT_A_TIME
from ganaug.errors import ConfigError, DataError
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.provenance import digest_of

SIDE_PX = 32  # of the reduced images, as in the filter `nearest`
MAX_COMPONENTS = 64
MAX_IMAGES = 1000  # that the components are computed of, evenly spread over the training images
VERSION = 1  # raise it when the components of the same images would come out otherwise
NOTE = "pixels-pca sees colour and coarse layout only, no texture and no nuclei: a low figure does not show good tissue"


def pixels_pca(inputs: ExtractorInputs) -> Extractor:
    """The leading principal components of the fold's real training images, averaged over areas down to 32 px.

    For where no weights are at hand, and to see what colour and layout alone explain. Our choice: up to 64 components,
    not whitened. Then the Euclidean distance of features is that of the pixels, and a component counts by how much it
    varies; whitened, the faintest would count as much as the first, and a few hundred images do not determine those.
    Held-out and synthetic images decide nothing. The digest is that of the training images and of these settings.
    """
    dataset, fold = inputs.dataset, inputs.fold
    if dataset is None:
        raise ConfigError(
            "no data set, whose training images the principal components are of", todo="use an extractor of weights"
        )
    train, images = dataset.train(fold), dataset.images(fold)
    if len(train) < 2:
        raise DataError(f"fold {fold} of {dataset.name} has {len(train)} training images", expected="at least 2")
    used = train[np.unique(np.linspace(0, len(train) - 1, MAX_IMAGES).astype(int))]
    device = inputs.compute.device
    parts = np.array_split(used, max(1, len(used) // IMAGES_AT_A_TIME))
    mean, axes = _components(np.concatenate([_shrink(read_batch(images, part, "cpu")).double() for part in parts]))
    origin, directions = (torch.from_numpy(array).float().to(device) for array in (mean, axes))

    def embed(img: Tensor) -> Tensor:
        return (_shrink(img) - origin) @ directions

    settings = [VERSION, SIDE_PX, MAX_COMPONENTS, images.digest, used.tolist()]
    preprocessing = f"at most {SIDE_PX} px, mean over areas, pixels from 0 to 1, {axes.shape[1]} principal components"
    return Extractor(
        "pixels-pca",
        digest_of(settings),
        preprocessing,
        embed,
        device,
        note=NOTE,
        num_features=axes.shape[1],
    )


def _shrink(img: Tensor) -> Tensor:
    """Images u8 [n,3,H,W] as float [n,3·h·h] from 0 to 1, h at most SIDE_PX."""
    side = min(SIDE_PX, *img.shape[-2:])
    return F.interpolate(img.float() / 255, (side, side), mode="area").flatten(1)


def _components(pixels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [P] and orthonormal leading directions [P,C] of rows [N,P], each with its largest entry positive."""
    mean = pixels.mean(0)
    _, _, rows = np.linalg.svd(pixels - mean, full_matrices=False)
    axes = rows[:MAX_COMPONENTS]
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], axis=1))
    return mean, (axes * signs).T.copy()
