"""VGG16Inception: the convolutions of VGG16, and on their last map one block of GoogLeNet."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classifiers.models.backbones import small_size
from classifiers.models.entry import Classifier
from classifiers.models.map_classifier import MapClassifier, MapConfig
from classifiers.models.vgg16 import SMALL_STAGES, VGG16_STAGES, Stages, init_for_relu, vgg_features


@dataclass(frozen=True)
class InceptionWidths:
    """Channels of the four branches; the defaults are GoogLeNet's block 5a."""

    single: int = 256  # 1×1
    three: tuple[int, int] = (160, 320)  # 1×1, then 3×3
    five: tuple[int, int] = (32, 128)  # 1×1, then 5×5
    pooled: int = 128  # 1×1 after a max-pool

    @property
    def num_channels(self) -> int:
        """The channels of all branches together."""
        return self.single + self.three[1] + self.five[1] + self.pooled


@dataclass(frozen=True)
class VggInceptionConfig(MapConfig):
    """The choices that the literature leaves open, all ours."""

    dropout: float = 0.4  # before the last layer, GoogLeNet's
    stages: Stages = VGG16_STAGES
    inception: InceptionWidths = InceptionWidths()


def small(image_size_px: int = 64) -> VggInceptionConfig:
    """The same architecture, narrow and shallow, for the CPU; works at the images' own size, from 32 to 128 px."""
    widths = InceptionWidths(single=64, three=(40, 80), five=(8, 32), pooled=32)
    return VggInceptionConfig(small_size(image_size_px), stages=SMALL_STAGES, inception=widths)


class VGG16Inception(MapClassifier):
    """Images to class logits through VGG16's convolutions, an Inception block, the mean of its map, and a linear layer.

    DALAResNet50 is compared with a network of this name, of which nothing else is said. Our choices: the block stands
    after the last max-pool, because the convolutions then keep their published weights and their whole depth; it has
    the widths of block 5a, because that is GoogLeNet's first one on a map of 7×7; mean, dropout of 0.4 and a single
    linear layer follow, as in GoogLeNet, in place of VGG16's two wide layers; no batch normalisation, as neither source
    has any.

    Sources: Simonyan and Zisserman 2015, arXiv 1409.1556; Szegedy et al. 2015, "Going deeper with convolutions",
    arXiv 1409.4842, figure 2b and table 1; the comparison in arXiv 2308.13150.
    """

    def __init__(self, num_classes: int, config: VggInceptionConfig | None = None) -> None:
        config = config or VggInceptionConfig()
        widths = config.inception
        super().__init__(nn.Module(), widths.num_channels, num_classes, config)
        self.body.features = vgg_features(config.stages)
        self.inception = Inception(config.stages[-1][1], widths)

    def last_map(self, x: Tensor) -> Tensor:
        last_map: Tensor = self.inception(self.body.features(x))  # type: ignore[operator]
        return last_map


class Inception(nn.Module):
    """A map [N,C,h,w] to [N,C',h,w]: four views of each position, one after the other along the channels.

    Source: Szegedy et al. 2015, figure 2b.
    """

    def __init__(self, in_channels: int, widths: InceptionWidths) -> None:
        super().__init__()
        (three_in, three), (five_in, five) = widths.three, widths.five
        self.single = nn.Conv2d(in_channels, widths.single, 1)
        self.reduce_three, self.three = nn.Conv2d(in_channels, three_in, 1), nn.Conv2d(three_in, three, 3, padding=1)
        self.reduce_five, self.five = nn.Conv2d(in_channels, five_in, 1), nn.Conv2d(five_in, five, 5, padding=2)
        self.pooled = nn.Conv2d(in_channels, widths.pooled, 1)
        init_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.single(x),
            self.three(F.relu(self.reduce_three(x))),
            self.five(F.relu(self.reduce_five(x))),
            self.pooled(F.max_pool2d(x, 3, stride=1, padding=1)),
        )
        return F.relu(torch.cat(branches, dim=1))


SOURCE = "VGG, arXiv 1409.1556; Inception, arXiv 1409.4842"
FULL = Classifier(
    build=lambda num_classes, _: VGG16Inception(num_classes),
    small="vgg16_inception_small",
    source=SOURCE,
    cam_layer="inception",
    weights={"body": "torchvision vgg16"},
    licence="BSD-3-Clause",
)
SMALL = Classifier(
    build=lambda num_classes, size_px: VGG16Inception(num_classes, small(size_px)),
    small="vgg16_inception_small",
    source=SOURCE,
    cam_layer="inception",
)
