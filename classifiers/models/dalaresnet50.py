"""DALAResNet50: ResNet50 with an attention module in layer 4, in the two readings that its description allows."""

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor, nn

from classifiers.models.backbones import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    RESNET50,
    SMALL_RESNET,
    TORCHVISION_RESNET50,
    Normalise,
    ResidualConfig,
    ResidualNet,
    resize,
    small_size,
    squeeze_excitation,
)
from classifiers.models.entry import Classifier

Variant = Literal["gate", "head"]


@dataclass(frozen=True)
class DalaConfig:
    """The choices that the paper leaves open, all of them ours."""

    image_size_px: int = 224
    residual: ResidualConfig = RESNET50
    variant: Variant = "gate"  # where the two layers with LeakyReLU and ReLU stand
    reduction: int = 16  # of the channels inside the attention module
    dropout: float = 0.1  # before the last layer

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            raise ValueError(f"variant {self.variant!r}; expected 'gate' or 'head'")
        if self.image_size_px < self.residual.stride_px:
            raise ValueError(f"image size {self.image_size_px} px; expected at least {self.residual.stride_px} px")


def small(image_size_px: int = 64, variant: Variant = "gate") -> DalaConfig:
    """The same architecture, narrow and shallow, for the CPU; works at the images' own size, from 32 to 128 px.

    Sizes in between are rounded down to a multiple of 16 px, the stride of the network.
    """
    return DalaConfig(small_size(image_size_px), SMALL_RESNET, variant)


class DalaResNet50(nn.Module):
    """Images to class logits through a residual network whose last stage carries channel attention.

    Input float [N,3,H,W] in [0,1], resized to `config.image_size_px` where it has another size; output [N,num_classes].

    From the source: a pretrained ResNet50, an attention module embedded in layer 4, two fully connected layers with
    LeakyReLU and ReLU. It does not say whether those two layers make the module's gate or the classifier's head, so
    both readings are built. `variant="gate"`: the gate of `LayerFourGate` after layer 4, then a linear classifier.
    `variant="head"`: squeeze-and-excitation on the output of every block of layer 4, and a head C → C/4 → LeakyReLU
    → C/16 → ReLU → classes. The published figures come from splits by image, so they do not speak of new patients.

    Source: DALAResNet50, arXiv 2308.13150.
    """

    backbones = ("cnn",)

    def __init__(self, num_classes: int, config: DalaConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DalaConfig()
        self.num_classes = num_classes
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.cnn = ResidualNet(config.residual)
        channels = config.residual.channels[-1]
        num_blocks = config.residual.depths[-1]
        if config.variant == "gate":
            gates: list[nn.Module] = [nn.Identity()] * (num_blocks - 1) + [LayerFourGate(channels, config.reduction)]
            hidden: nn.Module = nn.Identity()
            num_features = channels
        else:
            gates = [squeeze_excitation(channels, config.reduction) for _ in range(num_blocks)]
            num_features = channels // 16
            hidden = nn.Sequential(
                nn.Linear(channels, channels // 4),
                nn.LeakyReLU(0.01),
                nn.Linear(channels // 4, num_features),
                nn.ReLU(),
            )
        self.gates = nn.ModuleList(gates)
        self.hidden = hidden
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(num_features, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """The input of the last layer, [N,D]: D is layer 4's channels, or a sixteenth of them for `variant="head"`."""
        x = self.cnn.stem(self.normalise(resize(x, self.config.image_size_px)))
        *stages, layer4 = self.cnn.stages()
        for stage in stages:
            x = stage(x)
        for block, gate in zip(layer4, self.gates):
            x = gate(block(x))
        features: Tensor = self.hidden(x.mean(dim=(2, 3)))
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.dropout(self.features(x)))
        return logits


class LayerFourGate(nn.Module):
    """A map [N,C,H,W] rescaled by channel: mean → C/r → LeakyReLU(0.01) → C → ReLU → sigmoid.

    As the ReLU stands before the sigmoid, the gate lies in [0.5, 1): it can halve a channel, not shut it.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        squeezed = max(channels // reduction, 8)
        self.layers = nn.Sequential(
            nn.Linear(channels, squeezed), nn.LeakyReLU(0.01), nn.Linear(squeezed, channels), nn.ReLU(), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.layers(x.mean(dim=(2, 3)))
        return x * gate[:, :, None, None]


SOURCE = "DALAResNet50, arXiv 2308.13150"
SWITCHES = {"variant": get_args(Variant)}
FULL = Classifier(
    build=lambda num_classes, _, variant: DalaResNet50(num_classes, DalaConfig(variant=variant)),
    small="dalaresnet50_small",
    source=SOURCE,
    cam_layer="gates.2",
    weights=TORCHVISION_RESNET50,
    licence="BSD-3-Clause",
    switches=SWITCHES,
)
SMALL = Classifier(
    build=lambda num_classes, size_px, variant: DalaResNet50(num_classes, small(size_px, variant)),
    small="dalaresnet50_small",
    source=SOURCE,
    cam_layer="gates.0",
    switches=SWITCHES,
)
