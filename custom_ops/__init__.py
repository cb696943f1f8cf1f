"""The memory-bound operators of StyleGAN2, differentiable to any order; imports PyTorch only and compiles nothing."""

from custom_ops.bias_act import bias_act
from custom_ops.dispatch import info
from custom_ops.grid_sample import grid_sample
from custom_ops.modulated_conv import modulated_conv2d
from custom_ops.native.toolchain import NativeUnavailable
from custom_ops.resample import conv2d_resample
from custom_ops.upfirdn2d import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

__all__ = [
    "NativeUnavailable",
    "bias_act",
    "conv2d_resample",
    "downsample2d",
    "filter2d",
    "grid_sample",
    "info",
    "modulated_conv2d",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]
