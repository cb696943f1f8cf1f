"""The classifiers by name."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from classifiers.models import dalaresnet50, resvit_gannet
from classifiers.models.timm_model import TimmClassifier
from classifiers.weights import load_weights

# A builder takes the number of classes and the side in pixels of the images to come. The full models work at 224 px
# whatever comes, as the weights that they start from do; the small ones at the images' own size.
CLASSIFIERS: dict[str, Callable[[int, int], nn.Module]] = {
    "resvit_gannet": lambda num_classes, _: resvit_gannet.ResViTGANNet(num_classes),
    "resvit_gannet_small": lambda num_classes, px: resvit_gannet.ResViTGANNet(num_classes, resvit_gannet.small(px)),
    "dalaresnet50": lambda num_classes, _: dalaresnet50.DalaResNet50(num_classes),
    "dalaresnet50_small": lambda num_classes, px: dalaresnet50.DalaResNet50(num_classes, dalaresnet50.small(px)),
}
TIMM_PREFIX = "timm:"


def build(name: str, num_classes: int, *, image_size_px: int = 64, weights: Path | None = None) -> nn.Module:
    """A classifier: `forward(x) -> logits [N,num_classes]` and `features(x) -> [N,D]` for x float [N,3,H,W] in [0,1].

    `name` is a key of CLASSIFIERS, or `timm:<name>` for any model of timm. `image_size_px` is the side of the images
    to come; images of any other size are resized, so it only decides at which size the small models work. Initial
    weights are drawn from torch's global generator (see `seeded_build`), or read from the local file `weights` (see
    `load_weights`).

    Errors: ValueError for an unknown name, for fewer than two classes, or for weights that do not fit.
    """
    if num_classes < 2:
        raise ValueError(f"{num_classes} classes; expected at least 2 to tell apart")
    if name.startswith(TIMM_PREFIX):
        model: nn.Module = TimmClassifier(name.removeprefix(TIMM_PREFIX), num_classes)
    elif name in CLASSIFIERS:
        model = CLASSIFIERS[name](num_classes, image_size_px)
    else:
        raise ValueError(f"unknown classifier {name!r}; expected one of {', '.join(CLASSIFIERS)}, or timm:<name>")
    if weights is not None:
        load_weights(model, weights)
    return model


def seeded_build(
    name: str, num_classes: int, seed: int, *, image_size_px: int = 64, weights: Path | None = None
) -> nn.Module:
    """`build` with initial weights that depend on `seed` alone; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build(name, num_classes, image_size_px=image_size_px, weights=weights)
