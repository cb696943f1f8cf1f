"""The plain vision transformer: ViT-B/16, as timm has it."""

from dataclasses import dataclass
from math import isqrt
from typing import Any

from torch import Tensor

from classifiers.models.backbones import TINY_VIT, VIT_BASE_16, VitConfig, small_size
from classifiers.models.entry import Classifier
from classifiers.models.timm_model import TimmClassifier


@dataclass(frozen=True)
class VitClassifierConfig:
    """The shape of a transformer and the size of its images; the defaults are ViT-B/16 at 224 px."""

    image_size_px: int = 224
    vit: VitConfig = VIT_BASE_16

    def __post_init__(self) -> None:
        if self.image_size_px < self.vit.patch_px or self.image_size_px % self.vit.patch_px:
            raise ValueError(f"image size {self.image_size_px} px; expected a multiple of {self.vit.patch_px} px")


def small(image_size_px: int = 64) -> VitClassifierConfig:
    """The same architecture, narrow and shallow, for the CPU; works at the images' own size, from 32 to 128 px.

    Sizes in between are rounded down to a multiple of 16 px. Our choice: patches of 8 px, so that the smallest image
    still has 16 of them.
    """
    return VitClassifierConfig(small_size(image_size_px), TINY_VIT)


class VitClassifier(TimmClassifier):
    """Images to class logits through the class token of a vision transformer.

    Input float [N,3,H,W] in [0,1], resized to `config.image_size_px` where it has another size; output [N,num_classes].
    `name` is the model of timm whose design and normalisation of pixels it takes.

    Source: Dosovitskiy et al. 2021, "An image is worth 16×16 words", arXiv 2010.11929.
    """

    def __init__(
        self, num_classes: int, config: VitClassifierConfig | None = None, name: str = "vit_base_patch16_224"
    ) -> None:
        config = config or VitClassifierConfig()
        vit = config.vit
        shape = {"patch_size": vit.patch_px, "embed_dim": vit.dim, "depth": vit.depth, "num_heads": vit.num_heads}
        super().__init__(name, num_classes, img_size=config.image_size_px, **shape)
        self.config = config
        self.image_size_px = config.image_size_px

    def translate(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A published state dict with its position embedding [1,1+S²,C] resampled to the grid of this size.

        As timm does it, bicubic and anti-aliased; any other state dict comes back as it is.
        """
        from timm.layers.pos_embed import resample_abs_pos_embed

        body: Any = self.body
        published = state.get("pos_embed")
        if published is None or published.ndim != 3 or published.shape[2] != body.pos_embed.shape[2]:
            return state
        num_patches = published.shape[1] - body.num_prefix_tokens
        if num_patches < 1 or isqrt(num_patches) ** 2 != num_patches:
            return state
        resampled = resample_abs_pos_embed(published.float(), body.patch_embed.grid_size)
        return state | {"pos_embed": resampled}


# The last block's input to attention: what comes after it touches the class token alone.
FULL = Classifier(
    build=lambda num_classes, _: VitClassifier(num_classes),
    small="vit_small",
    source="ViT-B/16, arXiv 2010.11929",
    cam_layer="body.blocks.11.norm1",
    cam_layout="NLC",
    weights={"body": "timm vit_base_patch16_224"},
    licence="Apache-2.0",
)
SMALL = Classifier(
    build=lambda num_classes, size_px: VitClassifier(num_classes, small(size_px)),
    small="vit_small",
    source="ViT-B/16, arXiv 2010.11929",
    cam_layer="body.blocks.3.norm1",
    cam_layout="NLC",
)
