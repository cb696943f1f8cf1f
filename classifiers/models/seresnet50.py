"""SE-ResNet50: ResNet50 with channel attention inside every block."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from classifiers.models.backbones import RESNET50, SMALL_RESNET, ResidualConfig, small_size
from classifiers.models.entry import Classifier
from classifiers.models.map_classifier import MapClassifier, MapConfig

STEM_CHANNELS = 64  # at every width, as timm's network has it


@dataclass(frozen=True)
class SEResNetConfig(MapConfig):
    """The shape of the network; the defaults are SE-ResNet50 at its published size."""

    residual: ResidualConfig = RESNET50


def small(image_size_px: int = 64) -> SEResNetConfig:
    """The same architecture, shallow and narrow after its stem, for the CPU; works at the images' own size, from 32 to
    128 px.
    """
    return SEResNetConfig(small_size(image_size_px), residual=SMALL_RESNET)


class SEResNet50(MapClassifier):
    """Images to class logits through timm's ResNet50 with squeeze-and-excitation before each residual addition.

    Reduction 16, as in the source, and at least 8 squeezed channels, which only the small size meets. Our choice: the
    last normalisation of a block starts at one, as torchvision's, and not at zero, as timm's, so that this network and
    ResNet50 start alike but for the attention.

    Source: Hu et al. 2018, "Squeeze-and-excitation networks", arXiv 1709.01507, figure 3.
    """

    def __init__(self, num_classes: int, config: SEResNetConfig | None = None) -> None:
        config = config or SEResNetConfig()
        super().__init__(_body(config.residual), config.residual.channels[-1], num_classes, config)


def _body(config: ResidualConfig) -> nn.Module:
    from timm.models.resnet import BasicBlock, Bottleneck, ResNet

    block: Any = Bottleneck if config.block == "bottleneck" else BasicBlock
    body: nn.Module = ResNet(
        block,
        config.depths,
        num_classes=0,
        global_pool="",
        channels=tuple(config.width * 2**i for i in range(len(config.depths))),
        zero_init_last=False,
        block_args={"attn_layer": "se"},
    )
    if config.stem == "light":
        body.conv1 = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(body.conv1.weight, mode="fan_out", nonlinearity="relu")
        body.maxpool = nn.Identity()
    return body


SOURCE = "Squeeze-and-excitation networks, arXiv 1709.01507"
FULL = Classifier(
    build=lambda num_classes, _: SEResNet50(num_classes),
    small="seresnet50_small",
    source=SOURCE,
    cam_layer="body.layer4",
    weights={"body": "timm seresnet50"},
    licence="Apache-2.0",
)
SMALL = Classifier(
    build=lambda num_classes, size_px: SEResNet50(num_classes, small(size_px)),
    small="seresnet50_small",
    source=SOURCE,
    cam_layer="body.layer4",
)
