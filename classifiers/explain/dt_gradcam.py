"""DT Grad-CAM: Grad-CAM that is zero below a threshold from the map itself."""

import math
import re
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from classifiers.explain.gradcam import grad_cam
from classifiers.explain.method import MapMethod, MapOptions
from classifiers.models.entry import Layout

Threshold = Callable[[Tensor], Tensor]  # maps [n,H,W] to masks bool [n,H,W]
_RULE = re.compile(r"otsu|mean\+(?P<k>\d+(\.\d+)?)?sd|percentile:(?P<q>\d+(\.\d+)?)")


def parse_threshold(rule: str) -> Threshold:
    """The threshold that a rule names, as a function from maps [n,H,W] to masks bool [n,H,W].

    `otsu`; `mean+sd`, or `mean+1.5sd` for another multiple of the map's standard deviation; `percentile:90`, which
    keeps what lies above that percentile of the map. A constant map gives an empty mask under each of them. Raises
    ValueError for anything else.

    >>> parse_threshold("percentile:50")(torch.tensor([[[0.0, 0.2], [0.4, 0.9]]])).tolist()
    [[[False, False], [True, True]]]
    """
    match = _RULE.fullmatch(rule)
    if match is None or float(match["q"] or 0) >= 100:
        raise ValueError(
            f"the threshold {rule!r}; expected otsu, mean+sd, mean+2sd or percentile:90; write one of these"
        )
    if rule == "otsu":
        return otsu_mask
    if match["q"] is not None:
        return partial(percentile_mask, percentile=float(match["q"]))
    return partial(mean_mask, k=float(match["k"] or 1))


def otsu_mask(maps: Tensor) -> Tensor:
    """Where a map lies in the upper of the two classes between which the variance is largest.

    Every value that occurs is tried as the lowest of the upper class, without bins (our choice: then nothing depends
    on their number). Source: Otsu 1979, equation 14.
    """
    values = maps.flatten(1).double().sort(1).values
    number = values.shape[1]
    below = torch.arange(1, number, dtype=values.dtype, device=values.device)  # pixels of the lower class
    sums = values.cumsum(1)
    low, high = sums[:, :-1] / below, (sums[:, -1:] - sums[:, :-1]) / (number - below)
    between = below * (number - below) * (high - low) ** 2
    between = between.where(values[:, 1:] > values[:, :-1], -math.inf)  # equal values stay in one class
    best = between.argmax(1, keepdim=True)
    threshold = values.gather(1, best + 1).view(-1, 1, 1)
    return (maps.double() >= threshold) & ~_is_constant(maps)


def mean_mask(maps: Tensor, k: float) -> Tensor:
    """Where a map lies above its mean by more than k of its standard deviations."""
    flat = maps.flatten(1).double()
    threshold = flat.mean(1) + k * flat.std(1, correction=0)
    return (maps.double() > threshold.view(-1, 1, 1)) & ~_is_constant(maps)


def percentile_mask(maps: Tensor, percentile: float) -> Tensor:
    """Where a map lies above this percentile of its own values."""
    threshold = maps.flatten(1).double().quantile(percentile / 100, dim=1)
    return (maps.double() > threshold.view(-1, 1, 1)) & ~_is_constant(maps)


def _is_constant(maps: Tensor) -> Tensor:
    return maps.amax((1, 2), keepdim=True) == maps.amin((1, 2), keepdim=True)


def dt_grad_cam(
    model: nn.Module, images: Tensor, class_index: Tensor, cam_layer: str, layout: Layout, options: MapOptions
) -> Tensor:
    """Grad-CAM, zero wherever it lies below the threshold of `options.threshold`.

    From the source: an adaptive threshold on Grad-CAM, for clearer and more localised maps. Our choice, as the paper
    does not give its rule: Otsu's threshold by default, of the upsampled map. Clearer is not more faithful: below the
    threshold all pixels are equal, so nothing is left of their order.
    Source: DALAResNet50, arXiv 2308.13150.
    """
    maps = grad_cam(model, images, class_index, cam_layer, layout, options)
    return maps * parse_threshold(options.threshold)(maps)


METHOD = MapMethod(
    dt_grad_cam,
    "Grad-CAM, zero below a threshold that each map sets by itself.",
    "DALAResNet50, arXiv 2308.13150; its threshold rule is not published, this one is our choice",
    is_thresholded=True,
)
