"""SqueezeNet, a small network of ImageNet."""

import torch
from torch import Tensor

from classifiers.models.backbones import IMAGENET_MEAN, IMAGENET_STD, resize
from classifiers.transforms import to_float
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.provenance import digest_of_file
from ganaug.weights import read_weights


def squeezenet(inputs: ExtractorInputs) -> Extractor:
    """SqueezeNet 1.0 of ImageNet: the mean over the last convolutional stage before its classifier, 512 features.

    Our choice where no paper says it: every image is resized to 224 px (anti-aliased bilinear), larger or smaller, so
    that its structures have the scale in the network's field of view that the network was trained at.
    """
    path, name = inputs.find_published("squeezenet")
    from torchvision.models import squeezenet1_0

    with torch.random.fork_rng(devices=[]):  # building draws initial weights that are then replaced
        net = squeezenet1_0(weights=None)
    net.load_state_dict(read_weights(path))
    device = inputs.compute.device
    stage = net.features.to(device, memory_format=torch.channels_last).eval()  # 1.5 times faster on a CPU
    mean = torch.tensor(IMAGENET_MEAN, device=device)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=device)[:, None, None]

    def embed(img: Tensor) -> Tensor:
        x = resize(to_float(img), 224)
        maps: Tensor = stage(x.sub_(mean).div_(std).contiguous(memory_format=torch.channels_last))
        return maps.mean((2, 3))

    preprocessing = "224 px, anti-aliased bilinear, ImageNet mean and standard deviation, mean of the last stage of 512"
    return Extractor(name, digest_of_file(path), preprocessing, embed, device, num_features=512)
