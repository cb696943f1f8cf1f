"""The layers that the generator and the discriminator share, with equalised learning rates."""

import math

import torch
from torch import Tensor, nn

from custom_ops import bias_act, conv2d_resample, setup_filter
from custom_ops.dispatch import select
from ganaug.config import NetworkConfig

RESAMPLE_TAPS = (1.0, 3.0, 3.0, 1.0)  # the low-pass filter of every up- and down-sampling
_CPU = torch.cpu.get_capabilities()  # looked up once: torch.compile cannot trace it


def half_dtype(device: torch.device) -> torch.dtype | None:
    """The half type in which `device` convolves by hardware; None where there is none and half types are slower."""
    if device.type == "cuda":
        return torch.float16
    has_bfloat16 = device.type == "cpu" and (_CPU.get("amx_bf16") or _CPU.get("avx512_bf16"))
    return torch.bfloat16 if has_bfloat16 else None


def block_dtype(config: NetworkConfig, resolution_px: int, x: Tensor, force_float32: bool) -> torch.dtype:
    """The type of a resolution on the device of x: the half type in the `num_half` highest, but never at 4 px."""
    is_half = resolution_px > max(config.resolution_px >> config.num_half, 4) and not force_float32
    return (half_dtype(x.device) if is_half else None) or torch.float32


def fastest_layout(x: Tensor) -> torch.memory_format:
    """The layout in which the networks run fastest on the device of x, by measurement.

    Half types are fastest with channels last. In float32 convolutions prefer planes, and so do the native operators;
    the reference operators on the CPU run three times as fast with channels last, which outweighs that.
    """
    half = x.dtype in (torch.float16, torch.bfloat16)
    planes = not half and (x.is_cuda or select("upfirdn2d", None, x.device) == "native")
    return torch.contiguous_format if planes else torch.channels_last


def to_dtype_and_layout(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x [N, C, H, W] in `dtype` and the layout that is fastest for it; x itself where it has both already."""
    x = x.to(dtype)
    return x.contiguous(memory_format=fastest_layout(x))


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
    """A convolution with bias and activation, shrinking by `down`; equalised as `FullyConnected`.

    It computes in the type of its input. `clamp` limits the result to ±clamp, times the gain; None is no limit.
    """

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
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.activation, self.down, self.padding, self.clamp = activation, down, kernel_px // 2, clamp
        self.weight = nn.Parameter(torch.randn(num_out, num_in, kernel_px, kernel_px, generator=generator))
        self.bias = nn.Parameter(torch.zeros(num_out)) if bias else None
        self.weight_gain = 1 / math.sqrt(num_in * kernel_px**2)
        self.register_buffer("resample_filter", setup_filter(RESAMPLE_TAPS), persistent=False)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """x: [N, num_in, H, W] -> [N, num_out, H/down, W/down], scaled by the activation's gain times `gain`."""
        clamp = None if self.clamp is None else self.clamp * gain
        # The gain goes with the weights and the bias, which are small: every activation used here is homogeneous.
        gain *= math.sqrt(2) if self.activation == "lrelu" else 1.0
        weight = (self.weight * (self.weight_gain * gain)).to(x.dtype)
        x = conv2d_resample(x, weight, self.resample_filter, down=self.down, padding=self.padding)
        bias = None if self.bias is None else (self.bias * gain).to(x.dtype)
        return bias_act(x, bias, act=self.activation, gain=1.0, clamp=clamp)
