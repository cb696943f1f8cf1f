"""Random mixing of maps across channels and scales, which spreads what the heads of the discriminator attend to."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RandomMixing(nn.Module):
    """Maps of several scales, the finest first, mixed at random into as many maps of `width` channels each.

    A 1×1 convolution mixes the channels of each map; then, from the coarsest to the finest, each is added to the
    enlarged one before it and passes a 3×3 convolution. The weights are drawn from `generator` and never trained; they
    are buffers, saved with the state, as the heads mean nothing without them. Each output is scaled to a mean square of
    about 1, measured once with `calibrate`.
    Source: Sauer et al. 2021, section 3.2.
    """

    scale: Tensor

    def __init__(self, num_channels: Sequence[int], width: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.num_maps = len(num_channels)
        for index, num_in in enumerate(num_channels):
            self.register_buffer(f"channels{index}", _draw(width, num_in, 1, generator))
            self.register_buffer(f"scales{index}", _draw(width, width, 3, generator))
        self.register_buffer("scale", torch.ones(self.num_maps))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [mixed * scale for mixed, scale in zip(self._mix(maps), self.scale.unbind(), strict=True)]

    @torch.no_grad()
    def calibrate(self, maps: Sequence[Tensor]) -> None:
        """Scale the outputs so that those of these maps have a mean square of 1."""
        powers = torch.stack([mixed.square().mean() for mixed in self._mix(maps)])
        self.scale.copy_(powers.rsqrt())

    def _mix(self, maps: Sequence[Tensor]) -> list[Tensor]:
        mixed: list[Tensor] = []
        for index in reversed(range(self.num_maps)):
            x = F.conv2d(maps[index], getattr(self, f"channels{index}"))
            if mixed:
                coarser = F.interpolate(mixed[0], size=x.shape[2:], mode="bilinear", align_corners=False)
                x = (x + coarser) * math.sqrt(0.5)
            mixed.insert(0, F.conv2d(x, getattr(self, f"scales{index}"), padding=1))
        return mixed


def _draw(num_out: int, num_in: int, kernel_px: int, generator: torch.Generator) -> Tensor:
    """Weights that keep the mean square of what they are applied to."""
    return torch.randn(num_out, num_in, kernel_px, kernel_px, generator=generator) / math.sqrt(num_in * kernel_px**2)
