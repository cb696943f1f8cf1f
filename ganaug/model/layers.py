"""The layers that the generator and the discriminator share, with equalised learning rates."""

import math

import torch
from torch import Tensor, nn

from custom_ops import bias_act, conv2d_resample, setup_filter
from custom_ops.build import select

RESAMPLE_TAPS = (1.0, 3.0, 3.0, 1.0)  # the low-pass filter of every up- and down-sampling


def fastest_layout(x: Tensor) -> torch.memory_format:
    """The layout in which the networks run fastest where x lies, by measurement.

    Half types are fastest with channels last. In float32 convolutions prefer planes, and so do the native operators;
    the reference operators on the CPU run three times as fast with channels last, which outweighs that.
    """
    half = x.dtype in (torch.float16, torch.bfloat16)
    planes = not half and (x.is_cuda or select("upfirdn2d", None, x.device) == "native")
    return torch.contiguous_format if planes else torch.channels_last


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale each row of x [N, F] to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class FullyConnected(nn.Module):
    """A linear layer with bias and activation; weights are drawn from N(0, 1) / `lr_multiplier`.

    The layer scales them by lr_multiplier / √num_in at run time, so that Adam's steps have the same relative size in
    every layer. Source: Karras et al. 2018, section 4.1.
    """

    def __init__(
        self,
        num_in: int,
        num_out: int,
        *,
        generator: torch.Generator,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(num_out, num_in, generator=generator) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([num_out], bias_init))
        self.weight_gain = lr_multiplier / math.sqrt(num_in)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, num_in] -> [N, num_out]."""
        return bias_act(x @ (self.weight * self.weight_gain).t(), self.bias * self.bias_gain, act=self.activation)


class Conv2d(nn.Module):
    """A convolution with bias and activation, shrinking by `down`; equalised as `FullyConnected`."""

    resample_filter: Tensor

    def __init__(
        self,
        num_in: int,
        num_out: int,
        kernel_px: int,
        *,
        generator: torch.Generator,
        activation: str = "linear",
        bias: bool = True,
        down: int = 1,
    ) -> None:
        super().__init__()
        self.activation, self.down, self.padding = activation, down, kernel_px // 2
        self.weight = nn.Parameter(torch.randn(num_out, num_in, kernel_px, kernel_px, generator=generator))
        self.bias = nn.Parameter(torch.zeros(num_out)) if bias else None
        self.weight_gain = 1 / math.sqrt(num_in * kernel_px**2)
        self.register_buffer("resample_filter", setup_filter(RESAMPLE_TAPS), persistent=False)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """x: [N, num_in, H, W] -> [N, num_out, H/down, W/down], scaled by the activation's gain times `gain`."""
        # The gain goes with the weights and the bias, which are small: every activation used here is homogeneous.
        gain *= math.sqrt(2) if self.activation == "lrelu" else 1.0
        x = conv2d_resample(
            x, self.weight * (self.weight_gain * gain), self.resample_filter, down=self.down, padding=self.padding
        )
        return bias_act(x, None if self.bias is None else self.bias * gain, act=self.activation, gain=1.0)
