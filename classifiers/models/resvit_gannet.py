"""ResViT-GANNet: a residual network and a vision transformer whose tokens are aligned and attend to each other."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from classifiers.models.backbones import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    RESNET50,
    SMALL_RESNET,
    TIMM_VIT_SMALL_16,
    TINY_VIT,
    TORCHVISION_RESNET50,
    VIT_SMALL_16,
    Normalise,
    ResidualConfig,
    ResidualNet,
    VitConfig,
    resize,
    small_size,
    squeeze_excitation,
    vision_transformer,
)
from classifiers.models.entry import ON_OFF, Classifier


@dataclass(frozen=True)
class ResViTConfig:
    """The choices that the paper leaves open, all ours; each of the four switches takes a part away for an ablation."""

    image_size_px: int = 224
    residual: ResidualConfig = RESNET50
    vit: VitConfig = VIT_SMALL_16
    token_dim: int = 512  # width of the tokens inside TAMA
    num_heads: int = 8  # of each cross-attention
    dropout: float = 0.1  # before the last layer
    squeeze_excitation: bool = True  # off: the residual stages without channel attention
    token_fusion: bool = True  # off: the last transformer block's tokens only
    alignment: bool = True  # off: all the transformer's tokens, one gate per image instead of one per token
    tama: bool = True  # off: both branches' mean tokens side by side, where alignment no longer matters

    def __post_init__(self) -> None:
        if self.residual.stride_px != 2 * self.vit.patch_px:
            raise ValueError(
                f"residual stride {self.residual.stride_px} px with patches of {self.vit.patch_px} px; "
                "expected a stride of two patches, so that 2×2 patches lie on one position of the residual map"
            )
        if self.image_size_px < self.residual.stride_px or self.image_size_px % self.residual.stride_px:
            raise ValueError(f"image size {self.image_size_px} px; expected a multiple of {self.residual.stride_px} px")
        if self.vit.depth % 4:
            raise ValueError(f"{self.vit.depth} transformer blocks; expected a multiple of 4, to fuse every quarter")
        if self.token_dim % self.num_heads:
            raise ValueError(f"tokens of {self.token_dim} for {self.num_heads} heads; expected a multiple of the heads")


def small(image_size_px: int = 64) -> ResViTConfig:
    """The same architecture, narrow and shallow, for the CPU; works at the images' own size, from 32 to 128 px.

    Sizes in between are rounded down to a multiple of 16 px, the stride of the residual branch.
    """
    return ResViTConfig(small_size(image_size_px), SMALL_RESNET, TINY_VIT, token_dim=64, num_heads=4)


class ResViTGANNet(nn.Module):
    """Images to class logits through two parallel branches, merged by token-aligned attention (TAMA).

    Input float [N,3,H,W] in [0,1], resized to `config.image_size_px` where it has another size; output [N,num_classes].

    From the source: ResNet50 with channel attention, a transformer with multi-layer token fusion, multi-head attention
    with token-wise alignment, a fully connected layer. Our choices: squeeze-and-excitation (reduction 16) on each
    residual stage's output; fusion as a learned softmax mix of the blocks at each quarter of the depth; alignment by
    2×2 pooling of the patch tokens onto the residual map; cross-attention both ways, then a gate per token between the
    branches, attention pooling and dropout. The published figures are for test images that share patients with the
    training images, or do not say.

    Source: ResViT-GANNet, BMC Medical Imaging 2025.
    """

    backbones = ("cnn", "vit")

    def __init__(self, num_classes: int, config: ResViTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ResViTConfig()
        self.num_classes = num_classes
        self.normalise_cnn = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.normalise_vit = Normalise((0.5,) * 3, (0.5,) * 3)  # what timm's weights for ViT-S/16 were trained on

        self.cnn = ResidualNet(config.residual)
        channels = config.residual.channels
        self.squeeze = nn.ModuleList(
            squeeze_excitation(c) if config.squeeze_excitation else nn.Identity() for c in channels
        )
        self.vit = vision_transformer(config.vit, config.image_size_px)
        num_fused = 4 if config.token_fusion else 1
        self.fused_blocks = [config.vit.depth * (i + 1) // num_fused - 1 for i in range(num_fused)]
        self.fusion = TokenFusion(config.vit.dim, num_fused)

        dim = config.token_dim
        self.project_cnn = nn.Linear(channels[-1], dim)
        self.project_vit = nn.Linear(config.vit.dim, dim)
        self.merge = Tama(dim, config.num_heads, config.alignment) if config.tama else Concatenation()
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(dim if config.tama else 2 * dim, num_classes)

    def tokens(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The residual and the transformer tokens [N,T,token_dim], T the positions of the residual map, row by row.

        Aligned, token i of both branches stands for the same square of the image; a residual token looks beyond it, and
        its view is centred on the square's upper left corner, as ResNet's strides have it. Without alignment the
        transformer keeps its 4·T tokens.
        """
        x = resize(x, self.config.image_size_px)
        return self._cnn_tokens(self.normalise_cnn(x)), self._vit_tokens(self.normalise_vit(x))

    def _cnn_tokens(self, x: Tensor) -> Tensor:
        x = self.cnn.stem(x)
        for stage, squeeze in zip(self.cnn.stages(), self.squeeze):
            x = squeeze(stage(x))
        tokens: Tensor = self.project_cnn(x.flatten(2).transpose(1, 2))
        return tokens

    def _vit_tokens(self, x: Tensor) -> Tensor:
        blocks = self.vit.forward_intermediates(  # type: ignore[operator]
            x, indices=self.fused_blocks, output_fmt="NLC", intermediates_only=True
        )
        tokens: Tensor = self.fusion(blocks)
        if self.config.alignment:
            tokens = pool_2x2(tokens, self.config.image_size_px // self.config.vit.patch_px)
        projected: Tensor = self.project_vit(tokens)
        return projected

    def features(self, x: Tensor) -> Tensor:
        """The input of the last layer, [N,D]: D is `token_dim`, or twice that without TAMA."""
        features: Tensor = self.merge(*self.tokens(x))
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.dropout(self.features(x)))
        return logits


def pool_2x2(tokens: Tensor, side: int) -> Tensor:
    """Tokens [N,side²,C] of a square grid, row by row, averaged over 2×2 neighbours to [N,side²/4,C]."""
    n, _, dim = tokens.shape
    return tokens.view(n, side // 2, 2, side // 2, 2, dim).mean(dim=(2, 4)).flatten(1, 2)


class TokenFusion(nn.Module):
    """The patch tokens of several blocks [N,T,C], each through its own LayerNorm, in a learned softmax mix."""

    def __init__(self, dim: int, num_blocks: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_blocks))
        self.logits = nn.Parameter(torch.zeros(num_blocks))  # an even mix at first

    def forward(self, blocks: list[Tensor]) -> Tensor:
        weights = self.logits.softmax(0)
        return torch.stack([weight * norm(tokens) for weight, norm, tokens in zip(weights, self.norms, blocks)]).sum(0)


class Tama(nn.Module):
    """Token-aligned multimodal attention: residual [N,T,C] and transformer tokens [N,T',C] to [N,C]."""

    def __init__(self, dim: int, num_heads: int, aligned: bool) -> None:
        super().__init__()
        self.aligned = aligned
        self.cnn_asks_vit = CrossAttention(dim, num_heads)
        self.vit_asks_cnn = CrossAttention(dim, num_heads)
        self.gate = nn.Linear(2 * dim, dim)
        self.pools = nn.ModuleList(AttentionPool(dim) for _ in range(1 if aligned else 2))

    def forward(self, cnn: Tensor, vit: Tensor) -> Tensor:
        a, b = self.cnn_asks_vit(cnn, vit), self.vit_asks_cnn(vit, cnn)
        if self.aligned:
            pooled: Tensor = self.pools[0](self.mix(a, b))
            return pooled
        return self.mix(self.pools[0](a), self.pools[1](b))

    def mix(self, a: Tensor, b: Tensor) -> Tensor:
        gate: Tensor = self.gate(torch.cat([a, b], dim=-1)).sigmoid()
        return gate * a + (1 - gate) * b


class CrossAttention(nn.Module):
    """Tokens [N,T,C] ask a context [N,T',C]: attention and a feed-forward of four times the width, both residual."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm_tokens, self.norm_context, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        context = self.norm_context(context)
        attended: Tensor = self.attention(self.norm_tokens(tokens), context, context, need_weights=False)[0]
        tokens = tokens + attended
        update: Tensor = self.feed_forward(self.norm_out(tokens))
        return tokens + update


class AttentionPool(nn.Module):
    """Tokens [N,T,C] to their mean [N,C], weighted by a learned softmax score."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, 1, bias=False)  # a bias would fall out of the softmax

    def forward(self, tokens: Tensor) -> Tensor:
        weights: Tensor = self.score(tokens).softmax(dim=1)
        return (weights * tokens).sum(dim=1)


class Concatenation(nn.Module):
    """Both branches' mean tokens side by side [N,2·C]: what TAMA has to beat."""

    def forward(self, cnn: Tensor, vit: Tensor) -> Tensor:
        return torch.cat([cnn.mean(dim=1), vit.mean(dim=1)], dim=-1)


SOURCE = "ResViT-GANNet, BMC Medical Imaging 2025"
SWITCHES = dict.fromkeys(("squeeze_excitation", "token_fusion", "alignment", "tama"), ON_OFF)


def _build(num_classes: int, config: ResViTConfig, switches: dict[str, str]) -> ResViTGANNet:
    parts: dict[str, Any] = {name: value == "on" for name, value in switches.items()}
    return ResViTGANNet(num_classes, replace(config, **parts))


FULL = Classifier(
    build=lambda num_classes, _, **switches: _build(num_classes, ResViTConfig(), switches),
    small="resvit_gannet_small",
    source=SOURCE,
    cam_layer="squeeze.3",
    weights=TORCHVISION_RESNET50 | TIMM_VIT_SMALL_16,
    licence="BSD-3-Clause, Apache-2.0",
    switches=SWITCHES,
)
SMALL = Classifier(
    build=lambda num_classes, size_px, **switches: _build(num_classes, small(size_px), switches),
    small="resvit_gannet_small",
    source=SOURCE,
    cam_layer="squeeze.3",
    switches=SWITCHES,
)
