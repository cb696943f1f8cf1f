"""DINOv2, a vision transformer that learned without labels."""

from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.networks.timm_network import Tower, open_tower

NETWORK = Tower("vit_base_patch14_dinov2.lvd142m", side_px=224)


def dinov2(inputs: ExtractorInputs) -> Extractor:
    """DINOv2 ViT-B/14: the class token after the last norm, 768 features; images resized to 224 px.

    The file is timm's model.safetensors or the authors' dinov2_vitb14_pretrain.pth; other sizes go by `timm:NAME`.
    Source: Oquab et al. 2023; that generators are judged by its class token at 224 px, Stein et al. 2023 (arXiv
    2306.04675), who use ViT-L/14. Our choice: the base size, for CPUs, and bilinear resizing as everywhere here.
    """
    return open_tower(NETWORK, inputs, "dinov2_vitb14", inputs.require_file("dinov2"))
