"""CLIP, whose image tower learned from captions."""

from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.networks.timm_network import Tower, open_tower

NETWORK = Tower("vit_base_patch16_clip_quickgelu_224.openai", side_px=224, has_head=True)


def clip(inputs: ExtractorInputs) -> Extractor:
    """The image tower of OpenAI's CLIP ViT-B/16: its embedding of 512 features; images resized to 224 px.

    The file is the state dict of timm's network of that name, or of OpenCLIP's. Other towers go by `timm:NAME`, which
    gives the features before the projection. Source: Radford et al. 2021. Our choice: the embedding as it is, not
    scaled to unit length, and with the activation that OpenAI trained with (QuickGELU).
    """
    return open_tower(NETWORK, inputs, "clip_vitb16", inputs.require_file("clip"))
