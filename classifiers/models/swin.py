"""The Swin transformer: Swin-T, as timm has it."""

import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from classifiers.models.backbones import small_size
from classifiers.models.entry import Classifier
from classifiers.models.timm_model import TimmClassifier

TIMM_SWIN_TINY = "swin_tiny_patch4_window7_224"


@dataclass(frozen=True)
class SwinConfig:
    """The shape of a Swin transformer and the size of its images; the defaults are Swin-T at 224 px."""

    image_size_px: int = 224
    patch_px: int = 4
    dim: int = 96  # channels of the first stage; they double from stage to stage
    depths: tuple[int, ...] = (2, 2, 6, 2)  # blocks in each stage, every second one with shifted windows
    num_heads: tuple[int, ...] = (3, 6, 12, 24)  # in each stage
    window: int = 7  # patches along a window's side
    drop_path: float = 0.1  # probability that the last block is skipped in training; timm's default

    def __post_init__(self) -> None:
        if self.image_size_px < self.stride_px or self.image_size_px % self.stride_px:
            raise ValueError(f"image size {self.image_size_px} px; expected a multiple of {self.stride_px} px")

    @property
    def stride_px(self) -> int:
        """The pixels of the input between two neighbours of the last map."""
        return self.patch_px << (len(self.depths) - 1)

    @property
    def num_features(self) -> int:
        """The channels of the last map."""
        return self.dim << (len(self.depths) - 1)

    def options(self) -> dict[str, Any]:
        """The options of timm's model."""
        return {
            "img_size": self.image_size_px,
            "patch_size": self.patch_px,
            "embed_dim": self.dim,
            "depths": self.depths,
            "num_heads": self.num_heads,
            "window_size": self.window,
            "drop_path_rate": self.drop_path,
        }


def small(image_size_px: int = 64) -> SwinConfig:
    """The same architecture, narrow and shallow, for the CPU; works at the images' own size, from 32 to 128 px.

    Sizes in between are rounded down to a multiple of 16 px. Our choice: three stages and windows of 4×4 patches, so
    that the smallest image still has several windows, and a last map of 2×2.
    """
    size_px = small_size(image_size_px)
    return SwinConfig(size_px, dim=32, depths=(2, 2, 2), num_heads=(2, 4, 8), window=4, drop_path=0.0)


class SwinClassifier(TimmClassifier):
    """Images to class logits through attention in shifted windows and the mean of the last map.

    Input float [N,3,H,W] in [0,1], resized to `config.image_size_px` where it has another size; output [N,num_classes].

    Source: Liu et al. 2021, "Swin transformer: hierarchical vision transformer using shifted windows",
    arXiv 2103.14030.
    """

    def __init__(self, num_classes: int, config: SwinConfig | None = None) -> None:
        config = config or SwinConfig()
        super().__init__(TIMM_SWIN_TINY, num_classes, **config.options())
        self.config = config
        self.image_size_px = config.image_size_px

    def translate(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The authors' state dict under timm's names; see `translate_swin`."""
        return translate_swin(state)


def translate_swin(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A Swin state dict of the authors, or of timm before 0.9, under the names of timm today; any other as it is.

    There, the layer that halves the map stands at the end of a stage, today at the start of the next one, and the
    windows' index and mask tables stand in the file, which today are computed.
    """
    tables = ("relative_position_index", "attn_mask")
    state = {key: value for key, value in state.items() if not key.endswith(tables)}
    if "layers.0.downsample.reduction.weight" not in state:
        return state
    return {re.sub(r"^layers\.(\d+)\.downsample\.", _of_next_stage, key): value for key, value in state.items()}


def _of_next_stage(name: re.Match[str]) -> str:
    return f"layers.{int(name[1]) + 1}.downsample."


FULL = Classifier(
    build=lambda num_classes, _: SwinClassifier(num_classes),
    small="swin_small",
    source="Swin-T, arXiv 2103.14030",
    cam_layer="body.norm",
    cam_layout="NHWC",
    weights={"body": f"timm {TIMM_SWIN_TINY}"},
    licence="MIT",
)
SMALL = Classifier(
    build=lambda num_classes, size_px: SwinClassifier(num_classes, small(size_px)),
    small="swin_small",
    source="Swin-T, arXiv 2103.14030",
    cam_layer="body.norm",
    cam_layout="NHWC",
)
