"""The residual discriminator with minibatch standard deviation and projection on the class."""

import math

import torch
from torch import Tensor, nn

from ganaug.config import NetworkConfig
from ganaug.model.layers import Conv2d, FullyConnected, fastest_layout
from ganaug.model.mapping import StyleTrunk
from ganaug.model.synthesis import block_resolutions

STD_GROUP = 4  # images that are compared with each other
CLASS_LAYERS = 8  # depth of the discriminator's own mapping of the class


def minibatch_std(x: Tensor) -> Tensor:
    """Append to x [N, C, H, W] one channel: the mean deviation of each image's group, in which variety shows.

    Groups have STD_GROUP images, or the largest smaller number that divides N. Source: Karras et al. 2018, section 3.
    """
    num_images, num_channels, height, width = x.shape
    size = max(size for size in range(1, STD_GROUP + 1) if num_images % size == 0)
    groups = x.reshape(size, -1, num_channels, height, width)
    deviation = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=[1, 2, 3])
    channel = deviation.repeat(size)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([x, channel], dim=1)


class DiscriminatorBlock(nn.Module):
    """Two 3×3 convolutions that halve the image, beside a 1×1 convolution that does the same; both times √½."""

    def __init__(self, num_in: int, num_out: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.conv0 = Conv2d(num_in, num_in, 3, generator=generator, activation="lrelu")
        self.conv1 = Conv2d(num_in, num_out, 3, generator=generator, activation="lrelu", down=2)
        self.skip = Conv2d(num_in, num_out, 1, generator=generator, bias=False, down=2)

    def forward(self, x: Tensor) -> Tensor:
        gain = math.sqrt(0.5)
        return self.skip(x, gain=gain) + self.conv1(self.conv0(x), gain=gain)


class DiscriminatorEpilogue(nn.Module):
    """From 4 px to `num_out` numbers."""

    def __init__(self, num_channels: int, num_out: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.conv = Conv2d(num_channels + 1, num_channels, 3, generator=generator, activation="lrelu")
        self.fc = FullyConnected(num_channels * 16, num_channels, generator=generator, activation="lrelu")
        self.out = FullyConnected(num_channels, num_out, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.fc(self.conv(minibatch_std(x)).flatten(1)))


class Discriminator(nn.Module):
    """StyleGAN2's discriminator: logits of an image being real, given its class; one class makes it unconditional.

    Parameters are named fromrgb, b<px>.conv0, .conv1 and .skip (down to 8 px), b4.conv, .fc and .out, and
    mapping.embed and mapping.layers.<i>; `generator` draws them, as in `Generator`. The class enters by projection,
    D(x, c) = ⟨out(x), map(c)⟩ / √dim, with a mapping of its own.
    Source: Karras et al. 2020a, section 4.1; Miyato and Koyama 2018; Karras et al. 2020b, appendix.
    """

    def __init__(self, config: NetworkConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.resolutions = block_resolutions(config.resolution_px)[:0:-1]
        top, bottom = config.channels(config.resolution_px), config.channels(4)
        self.fromrgb = Conv2d(3, top, 1, generator=generator, activation="lrelu")
        for resolution in self.resolutions:
            num_in, num_out = config.channels(resolution), config.channels(resolution // 2)
            self.add_module(f"b{resolution}", DiscriminatorBlock(num_in, num_out, generator=generator))
        conditional = config.num_classes > 1
        self.b4 = DiscriminatorEpilogue(bottom, bottom if conditional else 1, generator=generator)
        self.mapping = (
            StyleTrunk(0, config.num_classes, bottom, CLASS_LAYERS, generator=generator) if conditional else None
        )

    def forward(self, img: Tensor, c: Tensor | None) -> Tensor:
        """img: [N, 3, H, W] in [-1, 1]. c: one-hot [N, K], ignored for one class. Returns logits [N, 1]."""
        x = self.fromrgb(img.contiguous(memory_format=fastest_layout(img)))
        for resolution in self.resolutions:
            x = getattr(self, f"b{resolution}")(x)
        x = self.b4(x)
        if self.mapping is None:
            return x
        class_vector = self.mapping(None, c)
        return (x * class_vector).sum(dim=1, keepdim=True) / math.sqrt(class_vector.shape[1])
