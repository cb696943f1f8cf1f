"""TransMIL: the tiles of an image as a bag, whose tokens attend to each other through landmarks."""

from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor, nn

from classifiers.models.backbones import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    TORCHVISION_RESNET50,
    Normalise,
    ResidualConfig,
    ResidualNet,
    resize,
    small_size,
)
from classifiers.models.entry import Classifier
from classifiers.models.nystrom import NystromAttention

RESNET50_TO_LAYER_3 = ResidualConfig(depths=(3, 4, 6))  # 1024 features per tile, as published


@dataclass(frozen=True)
class TransMilConfig:
    """The shape of TransMIL; the sizes of images and tiles and the number of landmarks are our choices."""

    image_size_px: int = 224
    tile_px: int = 32
    residual: ResidualConfig = RESNET50_TO_LAYER_3
    token_dim: int = 512
    num_heads: int = 8
    num_landmarks: int = 16
    dropout: float = 0.1  # after each attention

    def __post_init__(self) -> None:
        if self.image_size_px < self.tile_px or self.image_size_px % self.tile_px:
            raise ValueError(f"image size {self.image_size_px} px; expected a multiple of the tiles' {self.tile_px} px")
        if self.tile_px < self.residual.stride_px:
            raise ValueError(f"tiles of {self.tile_px} px; expected at least {self.residual.stride_px} px")


def small(image_size_px: int = 64) -> TransMilConfig:
    """The same architecture, narrow and shallow, for the CPU; works at the images' own size, from 32 to 128 px.

    Sizes in between are rounded down to a multiple of 16 px, the side of a tile.
    """
    residual = ResidualConfig(block="basic", width=16, depths=(1, 1, 1), stem="light")
    return TransMilConfig(small_size(image_size_px), 16, residual, token_dim=64, num_heads=4, num_landmarks=8)


class TransMil(nn.Module):
    """Images to class logits through a grid of tiles, each a token of a bag.

    Input float [N,3,H,W] in [0,1], resized to `config.image_size_px` where it has another size; output [N,num_classes].

    From the source: every tile through ResNet50 up to its third stage, 1024 features to 512 by a linear layer and ReLU;
    tokens repeated until their number is a square; a class token; Nyström attention (8 heads, 6 iterations of the
    pseudo-inverse, a convolution of 33 tokens on the values), `Ppeg`, and Nyström attention again, each attention
    residual and behind a LayerNorm; the class token through a LayerNorm to a linear layer. Our choices, as the paper
    has whole slides of thousands of tiles, embedded beforehand, and we have one image: its tiles are cut inside (32 px
    of 224 px, 49 tiles, so that each is still some nuclei wide), the residual network is trained with the rest, and
    there are 16 landmarks, as 256 would be more than the tokens.

    Source: Shao et al. 2021, "TransMIL", arXiv 2106.00908.
    """

    backbones = ("cnn",)

    def __init__(self, num_classes: int, config: TransMilConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TransMilConfig()
        self.num_classes = num_classes
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.cnn = ResidualNet(config.residual)
        dim = config.token_dim
        self.embed = nn.Sequential(nn.Linear(config.residual.channels[-1], dim), nn.ReLU())
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.attentions = nn.ModuleList(
            NystromAttention(dim, config.num_heads, config.num_landmarks, dropout=config.dropout) for _ in range(2)
        )
        self.ppeg = Ppeg(dim)
        self.norm = nn.LayerNorm(dim)
        self.classify = nn.Linear(dim, num_classes)

    def tile_features(self, x: Tensor) -> Tensor:
        """The mean features of each tile [N,T,D], row by row; no tile sees beyond its border."""
        tiles = cut_tiles(self.normalise(resize(x, self.config.image_size_px)), self.config.tile_px)
        features: Tensor = self.cnn(tiles.flatten(0, 1)).mean(dim=(2, 3))
        return features.view(*tiles.shape[:2], -1)

    def aggregate(self, bag: Tensor) -> Tensor:
        """The features of bags of any number of tiles: [N,T,D], as `tile_features` gives them, to [N,token_dim]."""
        tokens = repeat_to_square(self.embed(bag))
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self.attentions[0](self.norms[0](tokens))
        tokens = self.encode_positions(tokens)
        tokens = tokens + self.attentions[1](self.norms[1](tokens))
        features: Tensor = self.norm(tokens[:, 0])
        return features

    def encode_positions(self, tokens: Tensor) -> Tensor:
        """`Ppeg` on the square map of all tokens but the first, the class token."""
        class_token, tokens = tokens[:, :1], tokens[:, 1:]
        side = isqrt(tokens.shape[1])
        encoded = self.ppeg(tokens.transpose(1, 2).reshape(len(tokens), -1, side, side))
        return torch.cat([class_token, encoded.flatten(2).transpose(1, 2)], dim=1)

    def features(self, x: Tensor) -> Tensor:
        """The input of the last layer, [N,token_dim]."""
        return self.aggregate(self.tile_features(x))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.features(x))
        return logits


class Ppeg(nn.Module):
    """Pyramid position encoding generator: a map [N,C,H,W] plus its depthwise 7×7, 5×5 and 3×3 convolutions.

    Source: Shao et al. 2021, section 3.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(dim, dim, k, padding=k // 2, groups=dim) for k in (7, 5, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.stack([convolution(x) for convolution in self.convolutions]).sum(0)


def cut_tiles(images: Tensor, tile_px: int) -> Tensor:
    """Images [N,C,H,W] as tiles [N,T,C,tile_px,tile_px], row by row; both sides are multiples of tile_px."""
    n, channels, height, width = images.shape
    grid = images.view(n, channels, height // tile_px, tile_px, width // tile_px, tile_px)
    return grid.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def repeat_to_square(tokens: Tensor) -> Tensor:
    """Tokens [N,T,C] with the first of them again at the end, until their number is the next square."""
    num_tokens = tokens.shape[1]
    side = isqrt(num_tokens - 1) + 1
    return torch.cat([tokens, tokens[:, : side**2 - num_tokens]], dim=1)


SOURCE = "TransMIL, arXiv 2106.00908"
FULL = Classifier(
    build=lambda num_classes, _: TransMil(num_classes),
    small="transmil_small",
    source=SOURCE,
    cam_layer="ppeg",
    weights=TORCHVISION_RESNET50,
    licence="BSD-3-Clause",
)
SMALL = Classifier(
    build=lambda num_classes, size_px: TransMil(num_classes, small(size_px)),
    small="transmil_small",
    source=SOURCE,
    cam_layer="ppeg",
)
