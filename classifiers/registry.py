"""The registry of classifiers, and the functions that build them by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from classifiers.models import dalaresnet50, resvit_gannet
from classifiers.models.dalaresnet50 import DalaResNet50
from classifiers.models.efficientnet_lite import EfficientNetLite, working_size
from classifiers.models.resvit_gannet import ResViTGANNet
from classifiers.models.timm_model import TimmClassifier
from classifiers.weights import load_weights


@dataclass(frozen=True)
class Classifier:
    """One entry of CLASSIFIERS."""

    build: Callable[[int, int], nn.Module]  # from the number of classes and the side in pixels of the images to come
    small: str | None  # the same architecture in a size that a CPU trains, maybe this entry; None: none
    cam_layer: str  # the module whose output map [N,C,H,W] explains a decision: the last convolutional stage
    inputs: Literal["image"] = "image"
    weights: Mapping[str, str] | None = None  # by part, the library and the model whose published weights fill it


RESNET50 = {"cnn": "torchvision resnet50"}
VIT_SMALL_16 = {"vit": "timm vit_small_patch16_224"}

# The full models work at 224 px whatever comes, as the weights that they start from do; the small ones at the images'
# own size.
CLASSIFIERS: dict[str, Classifier] = {
    "resvit_gannet": Classifier(
        build=lambda num_classes, _: ResViTGANNet(num_classes),
        small="resvit_gannet_small",
        cam_layer="squeeze.3",
        weights=RESNET50 | VIT_SMALL_16,
    ),
    "resvit_gannet_small": Classifier(
        build=lambda num_classes, size_px: ResViTGANNet(num_classes, resvit_gannet.small(size_px)),
        small="resvit_gannet_small",
        cam_layer="squeeze.3",
    ),
    "dalaresnet50": Classifier(
        build=lambda num_classes, _: DalaResNet50(num_classes),
        small="dalaresnet50_small",
        cam_layer="gates.2",
        weights=RESNET50,
    ),
    "dalaresnet50_small": Classifier(
        build=lambda num_classes, size_px: DalaResNet50(num_classes, dalaresnet50.small(size_px)),
        small="dalaresnet50_small",
        cam_layer="gates.0",
    ),
    "efficientnet_lite0": Classifier(
        build=lambda num_classes, size_px: EfficientNetLite(
            "tf_efficientnet_lite0", num_classes, working_size(size_px, 224)
        ),
        small=None,
        cam_layer="body.bn2",
        weights={"body": "timm tf_efficientnet_lite0"},
    ),
    "efficientnet_lite1": Classifier(
        build=lambda num_classes, size_px: EfficientNetLite(
            "tf_efficientnet_lite1", num_classes, working_size(size_px, 240)
        ),
        small=None,
        cam_layer="body.bn2",
        weights={"body": "timm tf_efficientnet_lite1"},
    ),
}
TIMM_PREFIX = "timm:"


def build(name: str, num_classes: int, *, image_size_px: int = 64, weights: Path | None = None) -> nn.Module:
    """A classifier: `forward(x) -> logits [N,num_classes]` and `features(x) -> [N,D]` for x float [N,3,H,W] in [0,1].

    `name` is a key of CLASSIFIERS, or `timm:<name>` for any model of timm. `image_size_px` is the side of the images
    to come; images of any other size are resized, so it only decides at which size the small models work. Initial
    weights are drawn from torch's global generator (see `build_seeded`), or read from the local file `weights` (see
    `load_weights`).

    Raises ValueError for an unknown name, for fewer than two classes, or for weights that do not fit.

    >>> model = build("dalaresnet50_small", num_classes=3, image_size_px=32)
    >>> images = torch.rand(2, 3, 32, 32)
    >>> model(images).shape, model.features(images).shape
    (torch.Size([2, 3]), torch.Size([2, 128]))
    """
    if num_classes < 2:
        raise ValueError(f"{num_classes} classes; expected at least 2")
    if name.startswith(TIMM_PREFIX):
        model: nn.Module = TimmClassifier(name.removeprefix(TIMM_PREFIX), num_classes)
    elif name in CLASSIFIERS:
        model = CLASSIFIERS[name].build(num_classes, image_size_px)
    else:
        raise ValueError(f"unknown classifier {name!r}; expected one of {', '.join(CLASSIFIERS)}, or timm:<name>")
    if weights is not None:
        load_weights(model, weights)
    return model


def build_seeded(
    name: str, num_classes: int, seed: int, *, image_size_px: int = 64, weights: Path | None = None
) -> nn.Module:
    """`build` with initial weights that depend on `seed` alone; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build(name, num_classes, image_size_px=image_size_px, weights=weights)
