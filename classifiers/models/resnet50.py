"""ResNet50, the baseline that the others are compared with."""

from dataclasses import dataclass

from classifiers.models.backbones import RESNET50, SMALL_RESNET, ResidualConfig, ResidualNet, small_size
from classifiers.models.entry import Classifier
from classifiers.models.map_classifier import MapClassifier, MapConfig


@dataclass(frozen=True)
class ResNetConfig(MapConfig):
    """The shape of the network; the defaults are ResNet50 at its published size."""

    residual: ResidualConfig = RESNET50


def small(image_size_px: int = 64) -> ResNetConfig:
    """The same architecture, narrow and shallow, for the CPU; works at the images' own size, from 32 to 128 px."""
    return ResNetConfig(small_size(image_size_px), residual=SMALL_RESNET)


class ResNet50(MapClassifier):
    """Images to class logits through ResNet50, of torchvision's names and values: stride in the 3×3 convolution (v1.5).

    Source: He et al. 2016, "Deep residual learning for image recognition", arXiv 1512.03385.
    """

    def __init__(self, num_classes: int, config: ResNetConfig | None = None) -> None:
        config = config or ResNetConfig()
        super().__init__(ResidualNet(config.residual), config.residual.channels[-1], num_classes, config)


SOURCE = "ResNet, arXiv 1512.03385"
FULL = Classifier(
    build=lambda num_classes, _: ResNet50(num_classes),
    small="resnet50_small",
    source=SOURCE,
    cam_layer="body.layer4",
    weights={"body": "torchvision resnet50"},
    licence="BSD-3-Clause",
)
SMALL = Classifier(
    build=lambda num_classes, size_px: ResNet50(num_classes, small(size_px)),
    small="resnet50_small",
    source=SOURCE,
    cam_layer="body.layer4",
)
