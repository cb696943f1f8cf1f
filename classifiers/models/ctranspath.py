"""CTransPath: a Swin transformer behind a convolutional stem, whose authors trained it on histology."""

from torch import Tensor, nn

from classifiers.models import swin
from classifiers.models.entry import Classifier
from classifiers.models.swin import SwinClassifier, SwinConfig


class CTransPath(SwinClassifier):
    """Images to class logits through a convolutional stem and a Swin transformer.

    Input float [N,3,H,W] in [0,1], resized to `config.image_size_px` where it has another size; output [N,num_classes].

    From the source: Swin-T with a convolutional stem in place of its patches, trained on histology without labels. The
    authors' file `ctranspath.pth` loads into `body` (`translate` brings its names, those of timm 0.5.4, to today's).
    Our choice: a linear layer over its 768 features, as the authors judge them.

    Source: Wang et al. 2022, "Transformer-based unsupervised contrastive learning for histopathological image
    classification", Medical Image Analysis 81.
    """

    def __init__(self, num_classes: int, config: SwinConfig | None = None) -> None:
        super().__init__(num_classes, config)
        self.body.patch_embed = ConvStem(self.config.dim, self.config.patch_px)


class ConvStem(nn.Module):
    """Images [N,3,H,W] to patch embeddings [N,H/p,W/p,dim], p the side of a patch, by overlapping convolutions.

    A 3×3 convolution of stride 2 with BatchNorm and ReLU for every halving, from dim/8 channels and doubling, then a
    1×1 convolution and a LayerNorm. Source: Xiao et al. 2021, "Early convolutions help transformers see better".
    """

    def __init__(self, dim: int, patch_px: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 3
        for i in range(patch_px.bit_length() - 1):
            channels = dim // 8 * 2**i
            layers.append(nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            in_channels = channels
        self.proj = nn.Sequential(*layers, nn.Conv2d(in_channels, dim, 1))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return embedded


SOURCE = "CTransPath, Medical Image Analysis 2022"
FULL = Classifier(
    build=lambda num_classes, _: CTransPath(num_classes),
    small="ctranspath_small",
    source=SOURCE,
    cam_layer="body.norm",
    cam_layout="NHWC",
    weights={"body": "authors ctranspath.pth"},
    licence="GPL-3.0",
)
SMALL = Classifier(
    build=lambda num_classes, size_px: CTransPath(num_classes, swin.small(size_px)),
    small="ctranspath_small",
    source=SOURCE,
    cam_layer="body.norm",
    cam_layout="NHWC",
)
