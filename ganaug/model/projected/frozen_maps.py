"""The maps of a frozen EfficientNet-Lite0 of ImageNet: what the projected discriminator sees of an image."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from classifiers.models.efficientnet_lite import EfficientNetLite
from ganaug.provenance import digest_of_file
from ganaug.weights import find_weights, read_weights

NETWORK = "efficientnet_lite0"  # its weights come with a package that ganaug depends on
BLOCKS = {1: 24, 2: 40, 4: 112, 6: 320}  # stages of the network whose maps are taken, and their channels
STRIDES = (4, 8, 16, 32)  # pixels of the input per pixel of each map


def frozen_digest() -> str:
    """SHA-256 of the frozen weights. Raises WeightsError where they are missing."""
    return digest_of_file(find_weights(None, NETWORK))


class FrozenMaps(nn.Module):
    """Maps [N, C, H/stride, W/stride] of images [N, 3, H, W] in [-1, 1], one for each of BLOCKS, the finest first.

    Nothing of it is trained or saved: its weights are buffers that no state holds. Gradients reach the images.
    Raises WeightsError where the published weights are missing.
    """

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # building draws initial weights that are then replaced
            net = EfficientNetLite(f"tf_{NETWORK}", num_classes=2, image_size_px=224)
        net.body.load_state_dict(net.translate(read_weights(find_weights(None, NETWORK))))
        body = net.body.eval()
        layers = nn.Sequential(body.conv_stem, body.bn1)
        blocks = list(body.blocks)[: max(BLOCKS) + 1]
        self.stem, self.blocks = layers, nn.ModuleList(blocks)
        for module in list(self.modules()):
            _fold_norms(module)
        for module in self.modules():
            _freeze(module)
        self.to(memory_format=torch.channels_last)

    def forward(self, img: Tensor) -> list[Tensor]:
        x, maps = self.stem(img.contiguous(memory_format=torch.channels_last)), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in BLOCKS:
                maps.append(x)
        return maps


def _fold_norms(module: nn.Module) -> None:
    """Fold the batch norms among the children of a module into the convolutions before them; activations stay.

    They change nothing any more once the network is frozen.
    """
    for (name, conv), (norm_name, norm) in pairwise(list(module.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, getattr(norm, "act", nn.Identity()))  # timm's hold the activation that follows


def _freeze(module: nn.Module) -> None:
    """Turn the parameters of a module, not those of its children, into buffers that its state does not hold."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        delattr(module, name)
        module.register_buffer(name, parameter.detach(), persistent=False)


def enlarge(img: Tensor, factor: float) -> Tensor:
    """img [N, 3, H, W] with sides `factor` times as long, bilinear."""
    if factor == 1:
        return img
    size = [round(side * factor) for side in img.shape[2:]]
    return F.interpolate(img, size=size, mode="bilinear", align_corners=False)
