"""Whether maps show what decides: deletion and insertion, and where masks exist, overlap and pointing."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from classifiers.explain.method import check_request

STEPS = 20  # parts in which the pixels are deleted or inserted
WHITE_LEVEL = math.exp(-0.05)  # tissue absorbs more than an optical density of 0.05 in every colour
BLACK_LEVEL = 20 / 255  # a pixel darker than this in all colours is outside of the scan
FIXED_CUT = 0.5  # of a map's maximum

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """The probability of a class while pixels are deleted or inserted, the highest of the map first."""

    fractions: Floats  # [S], of the pixels that are deleted or inserted, from 0 to 1
    deletion: Floats  # [n,S]
    insertion: Floats  # [n,S]

    @property
    def deletion_auc(self) -> Floats:
        """The area under each curve [n], in [0,1]; lower: what the map marks first is what the class rests on."""
        return np.asarray(np.trapezoid(self.deletion, self.fractions, axis=1))

    @property
    def insertion_auc(self) -> Floats:
        """The area under each curve [n], in [0,1]; higher: what the map marks first suffices for the class."""
        return np.asarray(np.trapezoid(self.insertion, self.fractions, axis=1))


def compute_curves(
    model: nn.Module, images: Tensor, maps: Tensor, class_index: Tensor, baseline: Tensor, *, steps: int = STEPS
) -> Curves:
    """Deletion and insertion curves of images [n,3,H,W] for maps [n,H,W]; deleted pixels show `baseline` [n,3,H,W].

    The same definition as torchcam's metric, per image: pixels by falling value of the map, equal ones row by row from
    the top; ceil(H·W / steps) at a time; the softmax probability of the class. Raises ValueError as methods do.
    Source: Petsiuk et al. 2018, RISE.
    """
    check_request(model, images, class_index)
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    ranks = order.argsort(dim=1).view(len(images), 1, *images.shape[2:])
    num_pixels = order.shape[1]
    counts = [*range(0, num_pixels, -(-num_pixels // steps)), num_pixels]
    deletion, insertion = [], []
    with torch.inference_mode():
        for count in counts:
            marked = ranks < count
            deletion.append(_probability(model, torch.where(marked, baseline, images), class_index))
            insertion.append(_probability(model, torch.where(marked, images, baseline), class_index))
    return Curves(np.array(counts) / num_pixels, np.stack(deletion, axis=1), np.stack(insertion, axis=1))


def _probability(model: nn.Module, images: Tensor, class_index: Tensor) -> Floats:
    probs = model(images).float().softmax(1).gather(1, class_index[:, None])[:, 0]
    return np.asarray(probs.double().cpu())


# ---- what deleted pixels show ----------------------------------------------------------------------------------------


def blur(images: Tensor) -> Tensor:
    """Images [n,3,H,W] behind a Gaussian whose standard deviation is an eighth of the height (our choice).

    Colour and large areas stay, glands and nuclei go; the border is reflected.
    """
    radius = min(3 * images.shape[2] // 8, *(side - 1 for side in images.shape[2:]))
    at = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (at / (images.shape[2] / 8)) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(images, (radius, radius, radius, radius), mode="reflect")
    rows = F.conv2d(padded, kernel[:, :, None, :], groups=3)
    return F.conv2d(rows, kernel[:, :, :, None], groups=3)


def tissue_colour(images: Tensor) -> Tensor:
    """Each image's mean colour over its tissue, everywhere in the image, [n,3,H,W].

    Tissue is every pixel that is darker than exp(-0.05) = 0.951 in all colours, and not darker than 20/255 in all:
    glass and the black around a scan are not counted. An image without tissue gives its mean over all pixels. Black,
    the usual choice, is a colour that no tissue has.
    """
    is_tissue = ((images <= WHITE_LEVEL).all(1) & (images >= BLACK_LEVEL).any(1))[:, None]
    weight = is_tissue.where(is_tissue.any((2, 3), keepdim=True).expand_as(is_tissue), True).to(images.dtype)
    mean = (images * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True)
    return mean.expand_as(images)


BASELINES: dict[str, Callable[[Tensor], Tensor]] = {"blur": blur, "tissue": tissue_colour}


# ---- against masks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Localisation:
    """How thresholded maps meet the masks of n images; NaN for an image whose mask is empty."""

    iou: Floats  # [n], area in common / area of both together
    precision: Floats  # [n], fraction of the marked area that lies in the mask; NaN also where nothing is marked
    recall: Floats  # [n], fraction of the mask that is marked
    pointing: Floats  # [n], whether the map's maximum lies in the mask; the fraction that does, of several maxima

    @property
    def num_without_mask(self) -> int:
        return int(np.isnan(self.iou).sum())


def localise(maps: Tensor, marked: Tensor, masks: NDArray[np.bool_], *, tolerance_px: float = 0.0) -> Localisation:
    """Compare maps [n,H,W], and what a threshold marks of them, bool [n,H,W], with masks bool [n,H,W].

    A maximum within `tolerance_px` of the mask counts as inside of it. A constant map points everywhere, so its
    pointing is the fraction of the image that lies in the mask. Source of pointing: Zhang et al. 2018.
    """
    from scipy.ndimage import distance_transform_edt

    areas, values = np.asarray(marked.cpu()), np.asarray(maps.cpu())
    common, either = (areas & masks).sum((1, 2)), (areas | masks).sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        iou, precision, recall = common / either, common / areas.sum((1, 2)), common / masks.sum((1, 2))
    distances = [distance_transform_edt(~mask) for mask in masks]
    pointing = np.array([(d[v == v.max()] <= tolerance_px).mean() for d, v in zip(distances, values, strict=True)])
    is_empty = ~masks.any((1, 2))
    return Localisation(*(np.where(is_empty, np.nan, scores) for scores in (iou, precision, recall, pointing)))


def fixed_mask(maps: Tensor) -> Tensor:
    """Where a map reaches half of its maximum, the same cut for every map; nothing of a map of zeros."""
    peak = maps.amax((1, 2), keepdim=True)
    return (maps >= FIXED_CUT * peak) & (peak > 0)
