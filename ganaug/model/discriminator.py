"""The residual discriminator with minibatch standard deviation and projection on the class."""

import math

import torch
from torch import Tensor, nn

from ganaug.config import NetworkConfig
from ganaug.model.layers import Conv2d, FullyConnected, block_dtype, to_dtype_and_layout
from ganaug.model.mapping import StyleTrunk
from ganaug.model.synthesis import block_resolutions

CLASS_LAYERS = 8  # depth of the discriminator's own mapping of the class


def minibatch_std(x: Tensor, group: int) -> Tensor:
    """Append to x [N, C, H, W] one channel: the mean standard deviation of each image's group, a measure of variety.

    Groups have `group` images, or the largest smaller number that divides N. Source: Karras et al. 2018, section 3.
    """
    num_images, num_channels, height, width = x.shape
    size = max(size for size in range(1, group + 1) if num_images % size == 0)
    groups = x.reshape(size, -1, num_channels, height, width)
    std = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=[1, 2, 3])
    channel = std.repeat(size)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([x, channel], dim=1)


class DiscriminatorBlock(nn.Module):
    """Two 3×3 convolutions that halve the image, plus a 1×1 convolution that does the same; both times √½."""

    def __init__(self, num_in: int, num_out: int, clamp: float | None, *, generator: torch.Generator) -> None:
        super().__init__()
        self.conv0 = Conv2d(num_in, num_in, 3, generator=generator, activation="lrelu", clamp=clamp)
        self.conv1 = Conv2d(num_in, num_out, 3, generator=generator, activation="lrelu", down=2, clamp=clamp)
        self.skip = Conv2d(num_in, num_out, 1, generator=generator, bias=False, down=2)

    def forward(self, x: Tensor) -> Tensor:
        gain = math.sqrt(0.5)
        skip: Tensor = self.skip(x, gain=gain)
        main: Tensor = self.conv1(self.conv0(x), gain=gain)
        return skip + main


class DiscriminatorEpilogue(nn.Module):
    """From 4 px to `num_out` numbers, in float32."""

    def __init__(self, config: NetworkConfig, num_out: int, *, generator: torch.Generator) -> None:
        super().__init__()
        num_channels, self.std_group = config.channels(4), config.std_group
        self.conv = Conv2d(
            num_channels + 1, num_channels, 3, generator=generator, activation="lrelu", clamp=config.conv_clamp
        )
        self.fc = FullyConnected(num_channels * 16, num_channels, generator=generator, activation="lrelu")
        self.out = FullyConnected(num_channels, num_out, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        x = minibatch_std(to_dtype_and_layout(x, torch.float32), self.std_group)
        y: Tensor = self.out(self.fc(self.conv(x).flatten(1)))
        return y


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
        top, bottom, clamp = config.channels(config.resolution_px), config.channels(4), config.conv_clamp
        self.fromrgb = Conv2d(3, top, 1, generator=generator, activation="lrelu", clamp=clamp)
        for resolution in self.resolutions:
            num_in, num_out = config.channels(resolution), config.channels(resolution // 2)
            self.add_module(f"b{resolution}", DiscriminatorBlock(num_in, num_out, clamp, generator=generator))
        conditional = config.num_classes > 1
        self.b4 = DiscriminatorEpilogue(config, bottom if conditional else 1, generator=generator)
        self.mapping = (
            StyleTrunk(0, config.num_classes, bottom, CLASS_LAYERS, generator=generator) if conditional else None
        )

    def forward(self, img: Tensor, c: Tensor | None, force_float32: bool = False) -> Tensor:
        """img: [N, 3, H, W] in [-1, 1]. c: one-hot [N, K], ignored for one class. force_float32: as in `Synthesis`.

        Returns logits [N, 1], float32.
        """
        dtypes = [block_dtype(self.config, resolution, img, force_float32) for resolution in self.resolutions]
        x = self.fromrgb(to_dtype_and_layout(img, dtypes[0]))
        for resolution, dtype in zip(self.resolutions, dtypes, strict=True):
            x = getattr(self, f"b{resolution}")(to_dtype_and_layout(x, dtype))
        logits: Tensor = self.b4(x)
        if self.mapping is None:
            return logits
        class_vector: Tensor = self.mapping(None, c)
        return (logits * class_vector).sum(dim=1, keepdim=True) / math.sqrt(class_vector.shape[1])
