"""The heads of the projected discriminator: small convolutional networks of bounded slope, one for each map."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GRID_PX = 4  # side of the grid of logits that each head gives, at most
LEAK = 0.2


class SpectralConv2d(nn.Module):
    """A convolution whose weights, as a matrix, have a largest singular value of about 1: its slope is bounded.

    The singular vector `u` is a buffer that only `update_norm` moves, by one power iteration; so what is computed does
    not depend on how often, or in which parts of a batch, the layer was applied.
    Source: Miyato et al. 2018, algorithm 1.
    """

    u: Tensor

    def __init__(
        self, num_in: int, num_out: int, kernel_px: int, *, generator: torch.Generator, stride: int = 1
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, (kernel_px - 1) // 2
        scale = 1 / math.sqrt(3 * num_in * kernel_px**2)
        self.weight = nn.Parameter(torch.randn(num_out, num_in, kernel_px, kernel_px, generator=generator) * scale)
        self.bias = nn.Parameter(torch.zeros(num_out))
        self.register_buffer("u", F.normalize(torch.randn(num_out, generator=generator), dim=0))
        for _ in range(15):
            self.update_norm()

    @torch.no_grad()
    def update_norm(self) -> None:
        matrix = self.weight.flatten(1)
        v = F.normalize(matrix.t() @ self.u, dim=0)
        self.u.copy_(F.normalize(matrix @ v, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.weight.flatten(1)
        with torch.no_grad():
            v = F.normalize(matrix.t() @ self.u, dim=0)
        norm = torch.dot(self.u, matrix @ v)
        return F.conv2d(x, self.weight / norm, self.bias, stride=self.stride, padding=self.padding)


class Head(nn.Module):
    """Logits of an image being real, given its class, on a grid of up to GRID_PX × GRID_PX places.

    Halves a map [N, num_in, S, S] until its side is at most GRID_PX. The logit of a place is linear in its features,
    plus, with several classes, another linear one of each class: a projection on class vectors, of full strength from
    the first step on, which it lacks on learned vectors where slopes are bounded.
    Source: Sauer et al. 2021, section 3.1; Miyato and Koyama 2018.
    """

    def __init__(self, num_in: int, side_px: int, num_classes: int, width: int, *, generator: torch.Generator) -> None:
        super().__init__()
        layers, num_halvings = [], max(math.ceil(math.log2(side_px / GRID_PX)), 0)
        for _ in range(num_halvings):
            layers.append(SpectralConv2d(num_in, width, 4, generator=generator, stride=2))
            num_in = width
        layers.append(SpectralConv2d(num_in, width, 3, generator=generator))
        self.layers = nn.ModuleList(layers)
        self.out = SpectralConv2d(width, 1, 1, generator=generator)
        self.by_class = SpectralConv2d(width, num_classes, 1, generator=generator) if num_classes > 1 else None

    def forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        """x: [N, num_in, S, S]. c: one-hot [N, K], ignored for one class. Returns logits [N, places]."""
        for layer in self.layers:
            x = F.leaky_relu(layer(x), LEAK)
        logits: Tensor = self.out(x)[:, 0]
        if self.by_class is not None:
            assert c is not None
            logits = logits + torch.einsum("nkhw,nk->nhw", self.by_class(x), c)
        return logits.flatten(1)
