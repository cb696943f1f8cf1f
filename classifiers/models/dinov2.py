"""DINOv2 ViT-B/14: a vision transformer whose point is its pretraining without labels."""

from classifiers.models.backbones import VIT_BASE_14
from classifiers.models.entry import Classifier
from classifiers.models.vit import VitClassifier, VitClassifierConfig


class DinoV2(VitClassifier):
    """Images to class logits through the class token of DINOv2's ViT-B/14, at 224 px.

    Input float [N,3,H,W] in [0,1], resized to 224 px; output [N,num_classes]. The design is ViT's with LayerScale. It
    was published at 518 px; `translate` resamples the position embedding of such a file to the 16×16 patches here.
    Our choice: 224 px, the size of the other models, which leaves a fifth of the tokens. There is no small size:
    without the pretraining it is one more vision transformer, and `vit_small` is that already.

    Source: Oquab et al. 2023, "DINOv2: Learning robust visual features without supervision", arXiv 2304.07193.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, VitClassifierConfig(224, VIT_BASE_14), "vit_base_patch14_dinov2")


FULL = Classifier(
    build=lambda num_classes, _: DinoV2(num_classes),
    small=None,
    source="DINOv2 ViT-B/14, arXiv 2304.07193",
    cam_layer="body.blocks.11.norm1",
    cam_layout="NLC",
    weights={"body": "timm vit_base_patch14_dinov2"},
    licence="Apache-2.0",
)
