"""All measures of a method's maps on one set of images, one value per image."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.explain.dt_gradcam import parse_threshold
from classifiers.explain.faithfulness import BASELINES, compute_curves, fixed_mask, localise
from classifiers.explain.method import MapMethod, MapOptions
from classifiers.models.entry import Layout

BATCH = 16
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One column of a table of faithfulness."""

    heading: str
    is_better: str  # "lower" or "higher"
    needs_mask: bool = False


MEASURES: dict[str, Measure] = {
    "deletion_blur": Measure("deletion, blur", "lower"),
    "insertion_blur": Measure("insertion, blur", "higher"),
    "deletion_tissue": Measure("deletion, tissue colour", "lower"),
    "insertion_tissue": Measure("insertion, tissue colour", "higher"),
    "iou_half": Measure("IoU, half of the maximum", "higher", needs_mask=True),
    "iou_threshold": Measure("IoU, threshold", "higher", needs_mask=True),
    "precision": Measure("precision, threshold", "higher", needs_mask=True),
    "recall": Measure("recall, threshold", "higher", needs_mask=True),
    "pointing": Measure("pointing", "higher", needs_mask=True),
}


@dataclass(frozen=True)
class CamLayer:
    """The layer that a method reads, and the methods' options."""

    name: str
    layout: Layout
    options: MapOptions = field(default_factory=MapOptions)


def make_maps(model: nn.Module, method: MapMethod, images: Tensor, class_index: Tensor, layer: CamLayer) -> Tensor:
    """Maps [n,H,W] on the CPU of images [n,3,H,W], 16 at a time on the model's device; raises as methods do."""
    device = next(model.parameters()).device
    maps = []
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        options = MapOptions(layer.options.threshold, layer.options.percentile, layer.options.seed + start)
        shown, classes = images[part].to(device), class_index[part].to(device)
        maps.append(method.compute(model, shown, classes, layer.name, layer.layout, options).cpu())
    return torch.cat(maps)


def threshold_mask(maps: Tensor, method: MapMethod, rule: str) -> Tensor:
    """What a method marks, bool [n,H,W]: where a thresholded map is not zero, else what the rule says of the map."""
    return maps > 0 if method.is_thresholded else parse_threshold(rule)(maps)


def measure(
    model: nn.Module,
    images: Tensor,
    class_index: Tensor,
    maps: Tensor,
    marked: Tensor,
    masks: NDArray[np.bool_] | None,
) -> dict[str, Floats]:
    """All MEASURES of maps [n,H,W] of images [n,3,H,W], as [n] each; those of masks only where there are `masks`.

    `marked` bool [n,H,W] is what a threshold leaves of the maps. Pointing has a tolerance of a thirty-second of the
    image's height (our choice), as a layer's grid is coarse. NaN where an image's mask is empty.
    """
    device = next(model.parameters()).device
    values: dict[str, list[Floats]] = {name: [] for name, item in MEASURES.items() if not item.needs_mask}
    for start in range(0, len(images), BATCH):
        shown, heat, classes = (x[start : start + BATCH].to(device) for x in (images, maps, class_index))
        for name, fill in BASELINES.items():
            curves = compute_curves(model, shown, heat, classes, fill(shown))
            values[f"deletion_{name}"].append(curves.deletion_auc)
            values[f"insertion_{name}"].append(curves.insertion_auc)
    found = {name: np.concatenate(parts) for name, parts in values.items()}
    if masks is None:
        return found
    tolerance_px = images.shape[2] / 32
    half = localise(maps, fixed_mask(maps), masks, tolerance_px=tolerance_px)
    own = localise(maps, marked, masks, tolerance_px=tolerance_px)
    return found | {
        "iou_half": half.iou,
        "iou_threshold": own.iou,
        "precision": own.precision,
        "recall": own.recall,
        "pointing": own.pointing,
    }
