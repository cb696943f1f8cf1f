"""The contract of all classifiers: what the registry says of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

Layout = Literal["NCHW", "NHWC", "NLC"]  # NLC: tokens, those of a square grid last
ON_OFF = ("on", "off")


@dataclass(frozen=True)
class Classifier:
    """One entry of CLASSIFIERS; a model's file makes its own.

    `build(num_classes, image_size_px, **switches)` gives a module with `forward(x) -> logits [N,num_classes]`,
    `features(x) -> [N,D]` and `classify`, the linear layer between the two. `image_size_px` is the side of the images
    to come; each switch is the value chosen, as text. A model of `inputs` "image+expression" is called with a
    `PatientBatch`, and `build` also takes `num_features` and `num_genes`.
    """

    build: Callable[..., nn.Module]
    small: str | None  # the same architecture in a size that a CPU trains, maybe this entry; None: none
    source: str  # the paper or library that the architecture is from
    cam_layer: str | None  # the module whose output explains a decision: the last convolutional stage; None: none does
    cam_layout: Layout = "NCHW"  # of that output; see `cam_of` where switches move it
    inputs: Literal["image", "image+expression"] = "image"
    weights: Mapping[str, str] | None = None  # by part, what fills it: "timm <model>", "authors <file>"
    licence: str = ""  # of these weights
    switches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what each can be, its default first


def cam_of(model: nn.Module, entry: Classifier) -> tuple[str | None, Layout]:
    """The layer whose output explains this model, None where none does, and its layout.

    A model whose switches move that layer has it as its attribute `cam`, which counts for more than the entry.
    """
    cam: tuple[str | None, Layout] = getattr(model, "cam", (entry.cam_layer, entry.cam_layout))
    return cam
