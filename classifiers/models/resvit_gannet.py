"""ResViT-GANNet: a residual network and a vision transformer whose tokens are aligned and attend to each other."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

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
from classifiers.models.entry import ON_OFF, Classifier, Layout
from classifiers.models.token_attention import Concatenation, Tama, TokenFusion

Branch = Literal["both", "cnn", "vit"]


@dataclass(frozen=True)
class ResViTConfig:
    """The choices that the paper leaves open, all ours; each of the last five takes a part away for an ablation."""

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
    branch: Branch = "both"  # one alone: the other is not built, and its mean token stands in place of TAMA

    def __post_init__(self) -> None:
        if self.branch not in get_args(Branch):
            raise ValueError(f"branch {self.branch!r}; expected one of {', '.join(get_args(Branch))}")
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
    branches, attention pooling and dropout. A branch alone goes to the last layer as its mean token, behind the same
    projection as in the whole, because there is nothing left to align or to attend to. The published figures are for
    test images that share patients with the training images, or do not say.

    Source: ResViT-GANNet, BMC Medical Imaging 2025.
    """

    backbones: tuple[str, ...]
    cam: tuple[str | None, Layout]

    def __init__(self, num_classes: int, config: ResViTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ResViTConfig()
        self.num_classes = num_classes
        self.normalise_cnn = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.normalise_vit = Normalise((0.5,) * 3, (0.5,) * 3)  # what timm's weights for ViT-S/16 were trained on

        self.backbones = ("cnn", "vit") if config.branch == "both" else (config.branch,)
        self.cam = ("squeeze.3", "NCHW") if "cnn" in self.backbones else ("fusion", "NLC")
        channels, dim = config.residual.channels, config.token_dim
        if "cnn" in self.backbones:
            self.cnn = ResidualNet(config.residual)
            self.squeeze = nn.ModuleList(
                squeeze_excitation(c) if config.squeeze_excitation else nn.Identity() for c in channels
            )
        if "vit" in self.backbones:
            self.vit = vision_transformer(config.vit, config.image_size_px)
            num_fused = 4 if config.token_fusion else 1
            self.fused_blocks = [config.vit.depth * (i + 1) // num_fused - 1 for i in range(num_fused)]
            self.fusion = TokenFusion(config.vit.dim, num_fused)
        if "cnn" in self.backbones:
            self.project_cnn = nn.Linear(channels[-1], dim)
        if "vit" in self.backbones:
            self.project_vit = nn.Linear(config.vit.dim, dim)

        merges = config.tama and config.branch == "both"
        self.merge = Tama(dim, config.num_heads, config.alignment) if merges else Concatenation()
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(dim if merges else dim * len(self.backbones), num_classes)

    def tokens(self, x: Tensor) -> tuple[Tensor, ...]:
        """The residual and the transformer tokens [N,T,token_dim], T the positions of the residual map, row by row.

        Aligned, token i of both branches stands for the same square of the image; a residual token looks beyond it, and
        its view is centred on the square's upper left corner, as ResNet's strides have it. Without alignment the
        transformer keeps its 4·T tokens. A branch alone gives its own tokens only.
        """
        x = resize(x, self.config.image_size_px)
        return tuple(self._cnn_tokens(x) if part == "cnn" else self._vit_tokens(x) for part in self.backbones)

    def _cnn_tokens(self, x: Tensor) -> Tensor:
        x = self.cnn.stem(self.normalise_cnn(x))
        for stage, squeeze in zip(self.cnn.stages(), self.squeeze):
            x = squeeze(stage(x))
        tokens: Tensor = self.project_cnn(x.flatten(2).transpose(1, 2))
        return tokens

    def _vit_tokens(self, x: Tensor) -> Tensor:
        blocks = self.vit.forward_intermediates(  # type: ignore[operator]
            self.normalise_vit(x), indices=self.fused_blocks, output_fmt="NLC", intermediates_only=True
        )
        tokens: Tensor = self.fusion(blocks)
        if self.config.alignment:
            tokens = pool_2x2(tokens, self.config.image_size_px // self.config.vit.patch_px)
        projected: Tensor = self.project_vit(tokens)
        return projected

    def features(self, x: Tensor) -> Tensor:
        """The input of the last layer, [N,D]: D is `token_dim`, or twice that where TAMA is off."""
        features: Tensor = self.merge(*self.tokens(x))
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.dropout(self.features(x)))
        return logits


def pool_2x2(tokens: Tensor, side: int) -> Tensor:
    """Tokens [N,side²,C] of a square grid, row by row, averaged over 2×2 neighbours to [N,side²/4,C]."""
    n, _, dim = tokens.shape
    return tokens.view(n, side // 2, 2, side // 2, 2, dim).mean(dim=(2, 4)).flatten(1, 2)


SOURCE = "ResViT-GANNet, BMC Medical Imaging 2025"
SWITCHES = dict.fromkeys(("squeeze_excitation", "token_fusion", "alignment", "tama"), ON_OFF) | {
    "branch": get_args(Branch)
}


def _build(num_classes: int, config: ResViTConfig, switches: dict[str, str]) -> ResViTGANNet:
    parts: dict[str, Any] = {name: value if name == "branch" else value == "on" for name, value in switches.items()}
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
