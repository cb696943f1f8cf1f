"""The contract of all methods that make a map of a decision, and what they share."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from classifiers.models.entry import Layout


@dataclass(frozen=True)
class MapOptions:
    """The options of the methods; each reads those that concern it."""

    threshold: str = "otsu"  # of DT Grad-CAM; see `classifiers.explain.dt_gradcam.parse_threshold`
    percentile: float = 90.0  # of Winsor-CAM: importances of layers above it are lowered to it
    seed: int = 0  # of the random map


MapFunction = Callable[[nn.Module, Tensor, Tensor, str, Layout, MapOptions], Tensor]


@dataclass(frozen=True)
class MapMethod:
    """One entry of METHODS; a method's file makes its own.

    `compute(model, images, class_index, cam_layer, layout, options)` takes images float [n,3,H,W] in [0,1] and the
    class to account for, i64 [n]; `cam_layer` and `layout` are those of `find_cam_layer`. It gives maps float [n,H,W]
    in [0,1], high where the method sees a reason for the class; an image without any has zeros. It raises ValueError
    for a model in training mode, and for one that the method does not suit.
    """

    compute: MapFunction
    summary: str  # what it does, in one sentence for the reader of a page
    source: str
    sees_model: bool = True  # False: a prior, the same whatever the model has learned
    is_thresholded: bool = False  # True: zero where the method sees no reason


def check_request(model: nn.Module, images: Tensor, class_index: Tensor) -> None:
    """Raise ValueError where a model is in training mode, or where images and classes do not go together."""
    if any(module.training for module in model.modules()):
        raise ValueError("a model in training mode; expected evaluation mode; call model.eval() first")
    if images.ndim != 4 or images.shape[1] != 3 or len(images) == 0:
        raise ValueError(f"images of shape {list(images.shape)}; expected at least one, as [n,3,H,W] in [0,1]")
    if class_index.shape != images.shape[:1]:
        raise ValueError(f"{list(class_index.shape)} classes for {len(images)} images; expected one per image")


def scale_to_unit(maps: Tensor) -> Tensor:
    """Maps [n,H,W], each scaled to the range from 0 to 1; a constant one becomes zero."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    span = high - low
    return ((maps - low) / span.where(span > 0, 1)).where(span > 0, 0)


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [n,h,w] at the size of the images, bilinear."""
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
