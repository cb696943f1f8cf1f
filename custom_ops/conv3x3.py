"""3×3 convolution by Winograd's algorithm, where it is faster than PyTorch's own."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_ops.checks import is_autocast
from custom_ops.dispatch import select

TILE_PX = 4  # the side of a tile, at its smaller end
FEWEST_CHANNELS = {"same": 32, "down": 64, "up": 64}  # with fewer, transforming the inputs costs more than it saves
FEWEST_TILES = 4  # per image, as no bit may depend on the batch; with fewer, transforming the weights costs more
PADDING = {1: 1, 2: 0}  # by stride: the one that the native operator has

Scheme = Literal["same", "down", "up"]


def conv2d(x: Tensor, w: Tensor, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
    """Convolve as `torch.nn.functional.conv2d` does; differentiable to any order.

    x: [N, C_in, H, W]. w: [C_out, C_in/groups, k, k]. On the CPU 3×3 filters, under stride 1 with padding 1 or under
    stride 2 with none, take a quarter or nine sixteenths of the multiplications, and so do their gradients. In float32
    the mean error under stride 1 is then 8e-7 of the result over 128 channels: twice PyTorch's, and five times in the
    images' gradient; under stride 2 it is half more at most. Source: Lavin and Gray 2016, with the points of
    csrc/cpu/winograd.h.
    """
    if PADDING.get(stride) == padding and suits_winograd(x, w, "same" if stride == 1 else "down", groups):
        y: Tensor = torch.ops.ganaug.conv3x3(x, w, stride, False)
        return y
    return F.conv2d(x, w, stride=stride, padding=padding, groups=groups)


def conv_transpose2d(x: Tensor, w: Tensor, stride: int, groups: int = 1) -> Tensor:
    """Convolve transposed, as `torch.nn.functional.conv_transpose2d` does, which is the adjoint of `conv2d`.

    x: [N, C_in, H, W]. w: [C_in, C_out/groups, k, k]. 3×3 filters under stride 2 run as in `conv2d`.
    """
    if stride == 2 and suits_winograd(x, w, "up", groups):
        y: Tensor = torch.ops.ganaug.conv3x3(x, w, stride, True)
        return y
    return F.conv_transpose2d(x, w, stride=stride, groups=groups)


def suits_winograd(x: Tensor, w: Tensor, scheme: Scheme, groups: int) -> bool:
    """Whether the native operator runs here and is the faster one, as in scripts/results/conv3x3-cpu.json."""
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or is_autocast(x):
        return False
    if w.shape[2:] != (3, 3) or groups != 1 or not x.is_contiguous() or min(w.shape[:2]) < FEWEST_CHANNELS[scheme]:
        return False
    sides = x.shape[2:]
    if scheme == "down":
        if min(side % 2 for side in sides) == 0:
            return False
        sides = torch.Size(side // 2 for side in sides)
    num_tiles = -(-sides[0] // TILE_PX) * -(-sides[1] // TILE_PX)
    return num_tiles >= FEWEST_TILES and select("conv3x3", None, x.device) == "native"
