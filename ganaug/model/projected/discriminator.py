"""The projected discriminator: heads over the frozen maps of an image and over its pixels."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ganaug.config import NetworkConfig
from ganaug.model.pixels import from_pixels
from ganaug.model.projected.class_probe import ClassProbe, summarize
from ganaug.model.projected.frozen_maps import BLOCKS, STRIDES, FrozenMaps, enlarge
from ganaug.model.projected.heads import GRID_PX, LEAK, Head, SpectralConv2d
from ganaug.model.projected.mixing import RandomMixing

WIDTH = 64  # channels of the mixed maps and of the heads over them
PIXEL_WEIGHT = 2  # how often the logits of the head over the pixels count
PIXEL_WIDTHS = (32, 48)  # channels of the head over the pixels, at a half and a quarter of their resolution
NUM_AT_ONCE = 32  # images that the class probe is shown in one batch
SMALLEST_PX = 96  # side to which smaller images are enlarged, as the frozen network begins with a stride of 2


class PixelHead(nn.Module):
    """Logits from the pixels themselves: exact colours and edges."""

    def __init__(self, num_classes: int, *, generator: torch.Generator) -> None:
        super().__init__()
        first, second = PIXEL_WIDTHS
        self.conv0 = SpectralConv2d(3, first, 4, generator=generator, stride=2)
        self.conv1 = SpectralConv2d(first, second, 4, generator=generator, stride=2)
        self.head = Head(second, GRID_PX, num_classes, second, generator=generator)

    def forward(self, img: Tensor, c: Tensor | None) -> Tensor:
        """Logits [N, places], means over the squares of a grid as coarse as that of the other heads."""
        x = F.leaky_relu(self.conv1(F.leaky_relu(self.conv0(img), LEAK)), LEAK)
        side = x.shape[2]
        logits: Tensor = self.head(x, c).unflatten(1, (1, side, side))
        return F.adaptive_avg_pool2d(logits, GRID_PX).flatten(1)


class ProjectedDiscriminator(nn.Module):
    """Logits of an image being real, given its class, by heads on maps of a frozen network; one class: unconditional.

    Small images are enlarged to SMALLEST_PX. Parameters are named heads.<i>, the finest map first, and pixels;
    `generator` draws them and the mixing, as in `Generator`. With several classes there is a `class_probe` next to
    them, which takes no part in the logits.
    Source: Sauer et al. 2021, Projected GANs converge faster. Our choice: EfficientNet-Lite0, whose weights come with a
    package; projection on the class as of Miyato and Koyama 2018; and a head over the pixels, without which colours and
    edges keep the shifts that the frozen maps hardly see. Every head judges a neighbourhood: large white areas are too
    rare. A head over a thumbnail brought images of BreakHis nearer, and those of the phantom's rarer forms farther.
    """

    def __init__(self, config: NetworkConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.enlargement = max(SMALLEST_PX / config.resolution_px, 1)
        side = round(config.resolution_px * self.enlargement)
        self.frozen = FrozenMaps()
        self.mixing = RandomMixing(list(BLOCKS.values()), WIDTH, generator=generator)
        self.heads = nn.ModuleList(
            Head(WIDTH, side // stride, config.num_classes, WIDTH, generator=generator) for stride in STRIDES
        )
        self.pixels = PixelHead(config.num_classes, generator=generator)
        self.mixing.calibrate(self.frozen(_draw_smooth(side, generator)))
        num_classes = config.num_classes
        self.class_probe = ClassProbe(2 * WIDTH * len(BLOCKS), num_classes) if num_classes > 1 else None

    def maps(self, img: Tensor) -> list[Tensor]:
        """img [N, 3, H, W] in [-1, 1], as the heads see it: its mixed maps, the finest first, and itself."""
        return [*self.mixing(self.frozen(enlarge(img, self.enlargement))), img]

    def judge(self, maps: Sequence[Tensor], c: Tensor | None) -> Tensor:
        """maps: of `maps`. c: one-hot [N, K], ignored for one class. Returns logits [N, heads · places]."""
        *mixed, img = maps
        logits = [head(seen, c) for head, seen in zip(self.heads, mixed, strict=True)]
        logits += [self.pixels(img, c)] * PIXEL_WEIGHT
        return torch.cat(logits, dim=1)

    @torch.no_grad()
    def learn_classes(self, images: NDArray[np.uint8], label: NDArray[np.int64]) -> None:
        """Teach the class probe real images u8 [N, H, W, 3] and their classes; nothing where a class has no image."""
        if self.class_probe is None or len(np.unique(label)) < self.config.num_classes:
            return
        device, parts = self.mixing.scale.device, range(0, len(images), NUM_AT_ONCE)
        batches = (from_pixels(images[start : start + NUM_AT_ONCE], device) for start in parts)
        features = [summarize(self.maps(batch)[:-1]) for batch in batches]
        self.class_probe.fit(torch.cat(features), torch.from_numpy(label).to(device))

    def class_shortfall(self, maps: Sequence[Tensor], c: Tensor) -> Tensor:
        """By how much images show their class less than real ones, a scalar; maps: of `maps`. c: one-hot [N, K]."""
        if self.class_probe is None:
            return maps[0].new_zeros(())
        return self.class_probe.shortfall(summarize(maps[:-1]), c)

    def forward(self, img: Tensor, c: Tensor | None, force_float32: bool = False) -> Tensor:
        """Logits [N, heads · places] of img [N, 3, H, W]; always computed in float32."""
        return self.judge(self.maps(img), c)

    def update_norms(self) -> None:
        """Follow the weights with the singular vectors of all layers; due once after every step."""
        for module in self.modules():
            if isinstance(module, SpectralConv2d):
                module.update_norm()


def _draw_smooth(side_px: int, generator: torch.Generator, num_images: int = 8) -> Tensor:
    """Random images in [-1, 1] with as much variance in each octave, as photographs have."""
    img = torch.zeros(num_images, 3, side_px, side_px)
    octave = 4
    while octave <= side_px:
        noise = torch.randn(num_images, 3, octave, octave, generator=generator)
        img += F.interpolate(noise, size=(side_px, side_px), mode="bilinear", align_corners=False)
        octave *= 2
    return img.mul_(0.2).clamp_(-1, 1)
