"""VGG16: a plain stack of 3×3 convolutions and two wide layers that see the whole map."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from classifiers.models.backbones import small_size
from classifiers.models.entry import Classifier
from classifiers.models.map_classifier import MapClassifier, MapConfig

Stages = tuple[tuple[int, int], ...]  # the number of convolutions of each stage, and their channels
VGG16_STAGES: Stages = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
SMALL_STAGES: Stages = ((1, 16), (1, 32), (2, 64), (2, 128))


@dataclass(frozen=True)
class VggConfig(MapConfig):
    """The shape of the network; the defaults are VGG16 at its published size."""

    dropout: float = 0.5  # after each of the two wide layers
    stages: Stages = VGG16_STAGES
    grid: int = 7  # positions per side of the map that the wide layers see; averaged to that from another size
    num_hidden: int = 4096  # width of these layers


def small(image_size_px: int = 64) -> VggConfig:
    """The same architecture, narrow and shallow, for the CPU; works at the images' own size, from 32 to 128 px."""
    return VggConfig(small_size(image_size_px), stages=SMALL_STAGES, grid=2, num_hidden=256)


class VGG16(MapClassifier):
    """Images to class logits through VGG16 (configuration D, without normalisation), of torchvision's names.

    Our choice: He's initial weights in all layers. The source starts the deep network from a trained shallow one, and
    the N(0, 0.01) of its wide layers, which torchvision keeps, makes the signal of a narrow network vanish.

    Source: Simonyan and Zisserman 2015, "Very deep convolutional networks", arXiv 1409.1556, table 1.
    """

    def __init__(self, num_classes: int, config: VggConfig | None = None) -> None:
        config = config or VggConfig()
        super().__init__(VggBody(config), config.num_hidden, num_classes, config)
        self.grid = config.grid

    def pool(self, last_map: Tensor) -> Tensor:
        grid = last_map
        if last_map.shape[2:] != (self.grid, self.grid):
            grid = F.adaptive_avg_pool2d(last_map, self.grid)
        hidden: Tensor = self.body.classifier(grid.flatten(1))  # type: ignore[operator]
        return hidden


class VggBody(nn.Module):
    """The convolutions and the wide layers, which `forward` leaves to the caller; with the names of torchvision's."""

    def __init__(self, config: VggConfig) -> None:
        super().__init__()
        self.features = vgg_features(config.stages)
        self.classifier = nn.Sequential(
            nn.Linear(config.stages[-1][1] * config.grid**2, config.num_hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.num_hidden, config.num_hidden),
            nn.ReLU(inplace=True),
        )
        init_for_relu(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """x float [N,3,H,W], normalised, to the map after the last max-pool."""
        last_map: Tensor = self.features(x)
        return last_map


def vgg_features(stages: Stages) -> nn.Sequential:
    """Convolutions 3×3 with ReLU, and a max-pool after each stage."""
    layers: list[nn.Module] = []
    in_channels = 3
    for depth, channels in stages:
        for _ in range(depth):
            layers += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
            in_channels = channels
        layers.append(nn.MaxPool2d(2))
    features = nn.Sequential(*layers)
    init_for_relu(features)
    return features


def init_for_relu(net: nn.Module) -> None:
    """He's initial weights, and biases of zero, in all convolutions and linear layers."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)


SOURCE = "VGG, arXiv 1409.1556"
FULL = Classifier(
    build=lambda num_classes, _: VGG16(num_classes),
    small="vgg16_small",
    source=SOURCE,
    cam_layer="body.features.29",  # after the last convolution, before its max-pool
    weights={"body": "torchvision vgg16"},
    licence="BSD-3-Clause",
)
SMALL = Classifier(
    build=lambda num_classes, size_px: VGG16(num_classes, small(size_px)),
    small="vgg16_small",
    source=SOURCE,
    cam_layer="body.features.14",
)
