"""DenseNet121: every layer sees the maps of all layers before it in its block."""

import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from classifiers.models.backbones import small_size
from classifiers.models.entry import Classifier
from classifiers.models.map_classifier import MapClassifier, MapConfig

OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")  # in the file that torchvision publishes


@dataclass(frozen=True)
class DenseNetConfig(MapConfig):
    """The shape of the network; the defaults are DenseNet121 at its published size."""

    growth_rate: int = 32  # channels that each layer adds
    depths: tuple[int, ...] = (6, 12, 24, 16)  # layers in each block
    width: int = 64  # channels of the stem
    has_light_stem: bool = False  # a single 3×3 stride 2, in place of 7×7 stride 2 and a max-pool


def small(image_size_px: int = 64) -> DenseNetConfig:
    """The same architecture, narrow and shallow, for the CPU; works at the images' own size, from 32 to 128 px."""
    return DenseNetConfig(small_size(image_size_px), growth_rate=16, depths=(2, 4, 6, 4), width=32, has_light_stem=True)


class DenseNet121(MapClassifier):
    """Images to class logits through torchvision's DenseNet121.

    Source: Huang et al. 2017, "Densely connected convolutional networks", arXiv 1608.06993, table 1.
    """

    def __init__(self, num_classes: int, config: DenseNetConfig | None = None) -> None:
        config = config or DenseNetConfig()
        body = _body(config)
        super().__init__(body, body.features.norm5.num_features, num_classes, config)

    def last_map(self, x: Tensor) -> Tensor:
        return F.relu(self.body.features(x))  # type: ignore[operator]

    def translate(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state dict under today's names: the file that torchvision publishes writes norm.1 for norm1."""
        return {OLD_NAME.sub(r"\1\2", key): value for key, value in state.items()}


def _body(config: DenseNetConfig) -> Any:
    from torchvision.models import DenseNet

    body: Any = DenseNet(config.growth_rate, config.depths, config.width, num_classes=1)
    body.classifier = nn.Identity()
    if config.has_light_stem:
        body.features.conv0 = nn.Conv2d(3, config.width, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(body.features.conv0.weight)
        body.features.pool0 = nn.Identity()
    return body


SOURCE = "DenseNet, arXiv 1608.06993"
FULL = Classifier(
    build=lambda num_classes, _: DenseNet121(num_classes),
    small="densenet121_small",
    source=SOURCE,
    cam_layer="body.features.norm5",
    weights={"body": "torchvision densenet121"},
    licence="BSD-3-Clause",
)
SMALL = Classifier(
    build=lambda num_classes, size_px: DenseNet121(num_classes, small(size_px)),
    small="densenet121_small",
    source=SOURCE,
    cam_layer="body.features.norm5",
)
