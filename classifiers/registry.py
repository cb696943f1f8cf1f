"""The registry of classifiers, and the functions that build them by name."""

from pathlib import Path

import torch
from torch import nn

from classifiers.models import (
    cross_attention,
    ctranspath,
    dalaresnet50,
    densenet121,
    dinov2,
    efficientnet_lite,
    resnet50,
    resvit_gannet,
    seresnet50,
    swin,
    swin_cnn,
    transmil,
    vgg16,
    vgg16_inception,
    vit,
)
from classifiers.models.entry import Classifier
from classifiers.models.timm_model import TimmClassifier
from classifiers.names import find_entry
from classifiers.weights import load_weights

# The full models work at 224 px whatever comes, as the weights that they start from do; the small ones at the images'
# own size.
CLASSIFIERS: dict[str, Classifier] = {
    "resvit_gannet": resvit_gannet.FULL,
    "resvit_gannet_small": resvit_gannet.SMALL,
    "dalaresnet50": dalaresnet50.FULL,
    "dalaresnet50_small": dalaresnet50.SMALL,
    "efficientnet_lite0": efficientnet_lite.LITE0,
    "efficientnet_lite1": efficientnet_lite.LITE1,
    "resnet50": resnet50.FULL,
    "resnet50_small": resnet50.SMALL,
    "seresnet50": seresnet50.FULL,
    "seresnet50_small": seresnet50.SMALL,
    "densenet121": densenet121.FULL,
    "densenet121_small": densenet121.SMALL,
    "vgg16": vgg16.FULL,
    "vgg16_small": vgg16.SMALL,
    "vgg16_inception": vgg16_inception.FULL,
    "vgg16_inception_small": vgg16_inception.SMALL,
    "vit": vit.FULL,
    "vit_small": vit.SMALL,
    "swin": swin.FULL,
    "swin_small": swin.SMALL,
    "dinov2": dinov2.FULL,
    "transmil": transmil.FULL,
    "transmil_small": transmil.SMALL,
    "ctranspath": ctranspath.FULL,
    "ctranspath_small": ctranspath.SMALL,
    "swin_cnn": swin_cnn.FULL,
    "swin_cnn_small": swin_cnn.SMALL,
    "cross_attention": cross_attention.CROSS_ATTENTION,
}
TIMM_PREFIX = "timm:"


def build(
    name: str, num_classes: int, *, image_size_px: int = 64, weights: Path | None = None, **shape: int
) -> nn.Module:
    """A classifier: `forward(x) -> logits [N,num_classes]` and `features(x) -> [N,D]` for x float [N,3,H,W] in [0,1].

    `name` is a key of CLASSIFIERS, maybe with switches, as in `resvit_gannet[alignment=off]`, or `timm:<name>` for any
    model of timm. `image_size_px` is the side of the images to come; images of any other size are resized, so it only
    decides at which size the small models work. Initial weights are drawn from torch's global generator (see
    `build_seeded`), or read from the local file `weights` (see `load_weights`). `shape` is what a model whose input is
    more than an image must know of it: `num_features` of a tile and `num_genes`.

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
    else:
        entry, switches = find_entry(name, CLASSIFIERS)
        if shape and entry.inputs == "image":
            raise ValueError(f"{', '.join(shape)} for {name}; expected none for a model of images; leave it away")
        model = entry.build(num_classes, image_size_px, **switches, **shape)
    if weights is not None:
        load_weights(model, weights)
    return model


def build_seeded(
    name: str, num_classes: int, seed: int, *, image_size_px: int = 64, weights: Path | None = None, **shape: int
) -> nn.Module:
    """`build` with initial weights that depend on `seed` alone; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build(name, num_classes, image_size_px=image_size_px, weights=weights, **shape)
