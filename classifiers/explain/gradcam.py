"""Grad-CAM: the channels of one layer, weighted by how much each raises the logit of the class."""

from functools import partial

import torch
from torch import Tensor, nn

from classifiers.explain.maps import as_map
from classifiers.explain.method import MapMethod, MapOptions, check_request, upsample
from classifiers.models.entry import Classifier, Layout, cam_of
from classifiers.names import find_entry
from classifiers.registry import CLASSIFIERS, build

UNLISTED = Classifier(build, small=None, source="", cam_layer=None)  # of models that are not in the registry


def find_cam_layer(model: nn.Module, name: str | None = None) -> tuple[str, Layout]:
    """The layer that accounts for the decisions of a model, and how its output is laid out.

    It is what the model itself says, as `model.cam`, else what the registry says of the classifier `name`. Raises
    ValueError where neither names one: such a model cannot be asked where in the image it looks.
    """
    entry = find_entry(name, CLASSIFIERS)[0] if name is not None and ":" not in name else UNLISTED
    layer, layout = cam_of(model, entry)
    if layer is None:
        raise ValueError(
            f"the classifier {name or type(model).__name__} has no layer with a map of the image; expected a "
            "convolutional network or a vision transformer; choose another classifier"
        )
    return layer, layout


def grad_cam(
    model: nn.Module, images: Tensor, class_index: Tensor, cam_layer: str, layout: Layout, options: MapOptions
) -> Tensor:
    """Grad-CAM by torchcam: ReLU of the channels' weighted sum, scaled to [0,1] per image, then upsampled.

    A channel's weight is the mean over positions of the logit's gradient. Tokens of a transformer are laid out as the
    square grid that they come from. Our models resize inside `forward`; the map is upsampled to the image as given.
    Source: Selvaraju et al. 2017, equations 1 and 2.
    """
    from torchcam.methods import GradCAM

    check_request(model, images, class_index)
    shown = images.detach().clone().requires_grad_()  # so that a frozen network has a gradient too
    with torch.enable_grad(), GradCAM(model, cam_layer, reshape_transform=partial(as_map, layout=layout)) as extractor:
        maps = extractor(class_index.tolist(), model(shown))[0]
    return upsample(maps.float(), (images.shape[2], images.shape[3]))


METHOD = MapMethod(
    grad_cam,
    "The channels of the last stage, each weighted by how much it raises the class, summed; negative sums are zero.",
    "Selvaraju et al. 2017 (Grad-CAM)",
)
