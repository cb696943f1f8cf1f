"""Conversions between stored pixels and labels and the networks' inputs and outputs."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def from_pixels(images: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """u8 [n,H,W,3] to img [n,3,H,W], float32 in [-1, 1]."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(img: Tensor) -> NDArray[np.uint8]:
    """The inverse of `from_pixels`, rounded and clamped."""
    pixels = ((img + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    array: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return array


def one_hot(labels: NDArray[np.int64] | Tensor, num_classes: int, device: torch.device | str = "cpu") -> Tensor:
    """Labels i64 [n] to c, float32 [n,K]."""
    return torch.nn.functional.one_hot(torch.as_tensor(labels), num_classes).float().to(device)
