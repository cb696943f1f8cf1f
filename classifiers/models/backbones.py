"""The parts that the classifiers share: input scaling, ResNet's stages, and the plain vision transformer."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TORCHVISION_RESNET50 = {"cnn": "torchvision resnet50"}  # whose published weights fill the part `cnn`
TIMM_VIT_SMALL_16 = {"vit": "timm vit_small_patch16_224"}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def small_size(image_size_px: int) -> int:
    """The side at which a small model works: the images' own, from 32 to 128 px, in whole strides of 16 px."""
    return min(max(image_size_px // 16 * 16, 32), 128)


def resize(x: Tensor, size_px: int) -> Tensor:
    """x float [N,3,H,W] at size_px × size_px, by anti-aliased bilinear interpolation where it has another size."""
    if x.shape[-2:] == (size_px, size_px):
        return x
    return F.interpolate(x, size=(size_px, size_px), mode="bilinear", align_corners=False, antialias=True)


class Normalise(nn.Module):
    """Pixels in [0,1] to zero mean and unit standard deviation per channel, by fixed constants."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean).div_(self.std)  # in place: memory for each batch costs more than the division


@dataclass(frozen=True)
class ResidualConfig:
    """The shape of a residual network; the defaults are ResNet50."""

    block: Literal["basic", "bottleneck"] = "bottleneck"
    width: int = 64  # channels of the stem; stage i computes with width · 2^i
    depths: tuple[int, ...] = (3, 4, 6, 3)  # blocks in each stage
    stem: Literal["imagenet", "light"] = "imagenet"  # 7×7 stride 2 and a max-pool, or a single 3×3 stride 2

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of each stage's output."""
        expansion = 4 if self.block == "bottleneck" else 1
        return tuple(self.width * 2**i * expansion for i in range(len(self.depths)))

    @property
    def stride_px(self) -> int:
        """The pixels of the input between two neighbours of the last map."""
        stem_px = 4 if self.stem == "imagenet" else 2
        return stem_px << (len(self.depths) - 1)


RESNET50 = ResidualConfig()
SMALL_RESNET = ResidualConfig(block="basic", width=16, depths=(1, 1, 1, 1), stem="light")


class ResidualNet(nn.Module):
    """ResNet's stem and stages without its head, of torchvision's blocks and with its names, so that its files fit.

    Source: He et al. 2016, "Deep residual learning"; blocks, strides and initial weights as torchvision's (v1.5).
    """

    def __init__(self, config: ResidualConfig) -> None:
        from torchvision.models.resnet import BasicBlock, Bottleneck

        super().__init__()
        kernel = 7 if config.stem == "imagenet" else 3
        self.conv1 = nn.Conv2d(3, config.width, kernel, stride=2, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(config.width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if config.stem == "imagenet" else nn.Identity()

        block = Bottleneck if config.block == "bottleneck" else BasicBlock
        channels = config.width
        for i, (depth, out_channels) in enumerate(zip(config.depths, config.channels)):
            blocks = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                shortcut = _shortcut(channels, out_channels, stride) if stride > 1 or channels != out_channels else None
                blocks.append(block(channels, config.width * 2**i, stride, shortcut))
                channels = out_channels
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.num_stages = len(config.depths)
        _init_convolutions(self)

    def stem(self, x: Tensor) -> Tensor:
        """x float [N,3,H,W], normalised, to the input of the first stage."""
        y: Tensor = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        return y

    def stages(self) -> list[nn.Sequential]:
        return [self.get_submodule(f"layer{i + 1}") for i in range(self.num_stages)]  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        """x float [N,3,H,W] normalised -> the last map [N,C,H/stride,W/stride]."""
        x = self.stem(x)
        for stage in self.stages():
            x = stage(x)
        return x


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
    )


def _init_convolutions(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def squeeze_excitation(channels: int, reduction: int = 16) -> nn.Module:
    """Channel attention; at least 8 squeezed channels, as 16 channels over 16 would leave a single one.

    Source: Hu et al. 2018, "Squeeze-and-excitation networks", equations 2 to 4.
    """
    from torchvision.ops import SqueezeExcitation

    module: nn.Module = SqueezeExcitation(channels, max(channels // reduction, 8))
    return module


@dataclass(frozen=True)
class VitConfig:
    """The shape of a plain vision transformer; the defaults are ViT-S/16."""

    patch_px: int = 16
    dim: int = 384
    depth: int = 12
    num_heads: int = 6


VIT_SMALL_16 = VitConfig()
VIT_BASE_16, VIT_BASE_14 = (VitConfig(patch_px, dim=768, num_heads=12) for patch_px in (16, 14))
TINY_VIT = VitConfig(patch_px=8, dim=64, depth=4, num_heads=4)


def vision_transformer(config: VitConfig, image_size_px: int) -> nn.Module:
    """timm's VisionTransformer without its head and its last norm, which the users of its tokens bring themselves."""
    from timm.models.vision_transformer import VisionTransformer

    vit = VisionTransformer(
        img_size=image_size_px,
        patch_size=config.patch_px,
        embed_dim=config.dim,
        depth=config.depth,
        num_heads=config.num_heads,
        num_classes=0,
    )
    vit.norm = nn.Identity()
    return vit
