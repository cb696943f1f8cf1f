"""Winsor-CAM: Grad-CAM of all convolutional layers, weighted by importances whose outliers are lowered."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from classifiers.explain.method import MapMethod, MapOptions, check_request, scale_to_unit, upsample
from classifiers.models.entry import Layout

MIN_LAYERS = 2


def winsor_cam(
    model: nn.Module, images: Tensor, class_index: Tensor, cam_layer: str, layout: Layout, options: MapOptions
) -> Tensor:
    """One map from the Grad-CAM maps of all convolutional layers, scaled to [0,1] per image.

    From the source (abstract and the authors' manual; the equations were not at hand): Grad-CAM at every convolutional
    layer in one backward pass; the importance of a layer is the mean over its channels of Grad-CAM's weights, negative
    ones count as zero; importances above a percentile of the layers' importances are lowered to it, so that a low
    percentile weighs the layers more equally; the maps are upsampled, bilinear, and summed with these weights.

    Our choices: layers whose output is a single position (of squeeze-and-excitation) have no map and are skipped, and
    so are those that see the tiles of an image one by one; the percentile, 90, is taken over the image's positive
    importances, as a layer without any says nothing of outliers; each layer's map is scaled to a maximum of 1 before
    the sum, so that its importance alone decides its weight. An image of which every layer has a negative importance
    gets a map of zeros.
    `cam_layer` is not used. Raises ValueError for a model with fewer than two such layers, such as a transformer.

    Source: Wall et al., Winsor-CAM, arXiv 2507.10846.
    """
    check_request(model, images, class_index)
    shown = images.detach().clone().requires_grad_()
    with torch.enable_grad(), record_convolutions(model) as outputs:
        logits: Tensor = model(shown)
        found = [output for output in outputs if len(output) == len(images) and output.shape[2] * output.shape[3] > 1]
        if len(found) < MIN_LAYERS:
            raise ValueError(
                f"{len(found)} convolutional layer{'' if len(found) == 1 else 's'}; expected at least {MIN_LAYERS} for "
                "Winsor-CAM; choose another method"
            )
        score = logits.gather(1, class_index.clone()[:, None]).sum()  # a copy, as one of inference mode has no gradient
        gradients = torch.autograd.grad(score, found, allow_unused=True)
    size = (images.shape[2], images.shape[3])
    layers = [layer_map(a.detach(), g) for a, g in zip(found, gradients, strict=True) if g is not None]
    weights = winsorise(torch.stack([importance for _, importance in layers], dim=1), options.percentile)
    total = torch.zeros(len(images), *size, device=images.device)
    for (cam, _), weight in zip(layers, weights.unbind(1), strict=True):
        total += weight[:, None, None] * upsample(cam, size)
    return scale_to_unit(total)


def layer_map(activations: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Grad-CAM of one layer's output [n,C,h,w], with a maximum of 1, as [n,h,w]; and the layer's importance [n]."""
    weights = gradients.float().mean((2, 3))
    cam = torch.einsum("nc,nchw->nhw", weights, activations.float()).relu()
    peak = cam.amax((1, 2), keepdim=True)
    return cam / peak.where(peak > 0, 1), weights.mean(1).relu()


def winsorise(importances: Tensor, percentile: float) -> Tensor:
    """Importances [n,L] ≥ 0, those above the percentile of an image's positive ones lowered to it.

    Raises ValueError for a percentile outside of 0 to 100.

    >>> winsorise(torch.tensor([[0.0, 1.0, 2.0, 9.0]]), 50).tolist()
    [[0.0, 1.0, 2.0, 2.0]]
    """
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile {percentile:g}; expected 0 to 100")
    positive = importances.where(importances > 0, torch.nan)
    limit = positive.nanquantile(percentile / 100, dim=1, keepdim=True)
    return importances.minimum(limit.nan_to_num(0.0))


@contextmanager
def record_convolutions(model: nn.Module) -> Iterator[list[Tensor]]:
    """The outputs of all 2-d convolutions, in the order in which the model computes them.

    What follows a convolution gets a copy of its output, since an activation in place would change the record.
    """
    outputs: list[Tensor] = []

    def record(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        outputs.append(output)
        return output.clone()

    hooks = [module.register_forward_hook(record) for module in model.modules() if isinstance(module, nn.Conv2d)]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


METHOD = MapMethod(
    winsor_cam,
    "Grad-CAM of all convolutional layers, summed by importance; outlying importances are lowered to a percentile.",
    "Wall et al., Winsor-CAM, arXiv 2507.10846",
)
