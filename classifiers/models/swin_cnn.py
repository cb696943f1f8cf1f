"""SwinCNN: a Swin transformer and a residual network side by side, their features concatenated."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from classifiers.models import swin
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
)
from classifiers.models.entry import Classifier
from classifiers.models.swin import TIMM_SWIN_TINY, SwinConfig, translate_swin


@dataclass(frozen=True)
class SwinCnnConfig:
    """The shapes of both branches; the defaults are ResNet50 and Swin-T."""

    residual: ResidualConfig = RESNET50
    swin: SwinConfig = field(default_factory=SwinConfig)

    @property
    def image_size_px(self) -> int:
        return self.swin.image_size_px


def small(image_size_px: int = 64) -> SwinCnnConfig:
    """Both branches narrow and shallow, for the CPU; works at the images' own size, from 32 to 128 px.

    Sizes in between are rounded down to a multiple of 16 px, the stride of the residual branch.
    """
    return SwinCnnConfig(SMALL_RESNET, swin.small(image_size_px))


class SwinCnn(nn.Module):
    """Images to class logits through two parallel branches whose mean features stand side by side.

    Input float [N,3,H,W] in [0,1], resized to `config.image_size_px` where it has another size; output [N,num_classes].

    ResViT-GANNet is compared with a "SwinCNN" of which nothing but the name is published. Our choice: Swin-T and
    ResNet50 in parallel, pooled, concatenated, and a linear layer, as this is the simplest hybrid of that name, and the
    plain concatenation is what ResViT-GANNet's attention between two such branches has to beat.

    Source: the baseline of that name in ResViT-GANNet, BMC Medical Imaging 2025.
    """

    backbones = ("cnn", "swin")

    def __init__(self, num_classes: int, config: SwinCnnConfig | None = None) -> None:
        import timm

        super().__init__()
        self.config = config = config or SwinCnnConfig()
        self.num_classes = num_classes
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)  # that of both branches' published weights
        self.cnn = ResidualNet(config.residual)
        self.swin = timm.create_model(TIMM_SWIN_TINY, pretrained=False, num_classes=0, **config.swin.options())
        self.classify = nn.Linear(config.residual.channels[-1] + config.swin.num_features, num_classes)

    def translate(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of Swin's authors under timm's names; see `translate_swin`."""
        return translate_swin(state)

    def features(self, x: Tensor) -> Tensor:
        """The input of the last layer [N,D]: the residual network's channels, then Swin's."""
        x = self.normalise(resize(x, self.config.image_size_px))
        return torch.cat([self.cnn(x).mean(dim=(2, 3)), self.swin(x)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.features(x))
        return logits


SOURCE = "SwinCNN, a baseline in BMC Medical Imaging 2025"
FULL = Classifier(
    build=lambda num_classes, _: SwinCnn(num_classes),
    small="swin_cnn_small",
    source=SOURCE,
    cam_layer="cnn.layer4",
    weights=TORCHVISION_RESNET50 | {"swin": f"timm {TIMM_SWIN_TINY}"},
    licence="BSD-3-Clause, MIT",
)
SMALL = Classifier(
    build=lambda num_classes, size_px: SwinCnn(num_classes, small(size_px)),
    small="swin_cnn_small",
    source=SOURCE,
    cam_layer="cnn.layer4",
)
