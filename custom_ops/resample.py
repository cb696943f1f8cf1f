"""Convolution with up- or down-sampling, in the cheapest order."""

import torch.nn.functional as F
from torch import Tensor

from custom_ops.checks import check_dtype, check_whole, is_autocast, kind_of
from custom_ops.conv3x3 import conv2d, conv_transpose2d
from custom_ops.upfirdn2d import pads_for_downsampling, pads_for_upsampling, upfirdn2d


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    groups: int = 1,
    flip_weight: bool = True,
) -> Tensor:
    """Convolve images that are enlarged before or shrunk after, with the FIR filter `f` against aliasing.

    x: [N, C_in, H, W]. w: [C_out, C_in/groups, k, k]. f: from `setup_filter`. padding: zeros around the enlarged image.
    up, down: whole factors, at least one of them 1. flip_weight: True correlates, as PyTorch's layers; False convolves.
    Returns [N, C_out, H·up/down, W·up/down] for padding k // 2. Raises TypeError or ValueError where the arguments do
    not fit. Source: Karras et al. 2020a, appendix B.
    """
    _check(x, w, up, down, padding, groups)
    if up > 1:
        return _convolve_upsampling(x, w, f, up, padding, groups, flip_weight)
    w = w if flip_weight else w.flip([2, 3])
    if down == 1:
        return conv2d(x, w, padding=padding, groups=groups)
    pads = pads_for_downsampling(f, (down, down), (padding,) * 4)
    if w.shape[2:] == (1, 1):  # filter fewer pixels: decimate first
        return F.conv2d(upfirdn2d(x, f, down=down, padding=pads), w, groups=groups)
    return conv2d(upfirdn2d(x, f, padding=pads), w, stride=down, groups=groups)


def _check(x: Tensor, w: Tensor, up: int, down: int, padding: int, groups: int) -> None:
    check_dtype("conv2d_resample: x", x)
    check_dtype("conv2d_resample: w", w)
    if w.device != x.device or (w.dtype != x.dtype and not is_autocast(x)):
        raise TypeError(f"conv2d_resample: w is {kind_of(w)}; expected a tensor like x, {kind_of(x)}")
    for name, value, low in (("up", up, 1), ("down", down, 1), ("groups", groups, 1), ("padding", padding, None)):
        check_whole(f"conv2d_resample: {name}", value, low)
    if x.ndim != 4 or w.ndim != 4 or x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise ValueError(
            f"conv2d_resample: x has shape {list(x.shape)}, w {list(w.shape)} in {groups} groups; "
            "expected [N, C_in, H, W] and [C_out, C_in/groups, k, k]"
        )
    if min(up, down) != 1:
        raise ValueError(
            f"conv2d_resample: up is {up} and down {down}; expected positive factors, at least one of them 1"
        )


def _convolve_upsampling(
    x: Tensor, w: Tensor, f: Tensor | None, up: int, padding: int, groups: int, flip_weight: bool
) -> Tensor:
    """Convolve before the filter, by a strided transposed convolution: the zeros between the pixels cost nothing."""
    left, right, top, bottom = pads_for_upsampling(f, (up, up), (padding,) * 4)
    height, width = w.shape[2:]
    if (height, width) == (1, 1):
        x = F.conv2d(x, w, groups=groups)
        return upfirdn2d(x, f, up=up, padding=(left, right, top, bottom), gain=up**2)
    if flip_weight:
        w = w.flip([2, 3])
    # [C_out, C_in/groups, …] -> [C_in, C_out/groups, …]
    w = w.reshape(groups, w.shape[0] // groups, *w.shape[1:]).transpose(1, 2).flatten(0, 1)
    x = conv_transpose2d(x, w, stride=up, groups=groups)
    pads = (left - width + 1, right - width + up, top - height + 1, bottom - height + up)
    return upfirdn2d(x, f, padding=pads, gain=up**2)
