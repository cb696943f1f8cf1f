"""Up-sample, filter and down-sample in one operator, differentiable to any order at the cost of the operator itself."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_ops.build import select

Factor = int | Sequence[int]


def setup_filter(
    f: Tensor | Sequence[float] | Sequence[Sequence[float]] | float | None,
    device: torch.device | str = "cpu",
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1,
    separable: bool | None = None,
) -> Tensor:
    """Prepare a FIR filter for `upfirdn2d`: float32, [taps] where it is applied separably, else [height, width].

    f: [taps] (the two-dimensional filter is its outer product), [height, width], a number, or None for the identity.
    normalize: the taps sum to 1. gain: of the whole two-dimensional filter. separable: None applies one-dimensional
    filters separably from 8 taps up, where two passes cost less than one. Raises ValueError on another shape.
    """
    taps = torch.as_tensor(1.0 if f is None else f, dtype=torch.float32, device=device)
    if taps.ndim > 2 or taps.numel() == 0:
        raise ValueError(f"setup_filter: f has shape {list(taps.shape)}; expected [taps] or [height, width], not empty")
    if taps.ndim == 0:
        taps = taps[None]
    if separable is None:
        separable = taps.ndim == 1 and taps.numel() >= 8
    if taps.ndim == 1 and not separable:
        taps = taps.outer(taps)
    if separable and taps.ndim == 2:
        raise ValueError(f"setup_filter: f has shape {list(taps.shape)}; expected [taps] for a separable filter")
    if normalize:
        taps = taps / taps.sum()
    if flip_filter:
        taps = taps.flip(list(range(taps.ndim)))
    return taps * gain ** (taps.ndim / 2)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: Factor = 1,
    down: Factor = 1,
    padding: Factor = 0,
    flip_filter: bool = False,
    gain: float = 1,
    impl: str | None = None,
) -> Tensor:
    """Insert zeros, pad, filter and decimate a batch of images.

    Each pixel is followed by up − 1 zeros per axis; the result is padded with zeros (negative padding crops), convolved
    with `f` without further padding, scaled by `gain`, and every `down`-th pixel is kept, from the first on.

    x: [N, C, H, W], floating point. f: from `setup_filter`, a constant: no gradient flows to it; None is the identity.
    up, down: one factor or [x, y]. padding: one number, [x, y] or [left, right, top, bottom], in up-sampled pixels.
    flip_filter: False convolves, True correlates. impl: see `custom_ops.build.select`.
    Returns [N, C, ⌊(H·up + top + bottom − taps) / down⌋ + 1, …]. Raises TypeError or ValueError where the arguments do
    not fit.
    Source: Karras et al. 2020a, appendix B.
    """
    select("upfirdn2d", impl)
    _check(x, f)
    ups, downs, pads = _pair(up, "up"), _pair(down, "down"), _parse_padding(padding)
    taps = x.new_ones(1, 1) if f is None else f.to(x.dtype)
    if not flip_filter:
        taps = taps.flip(list(range(taps.ndim)))
    if taps.ndim == 1:
        along_x, along_y = taps[None, :], taps[:, None]
        x = _apply(x, along_x * gain, (ups[0], 1), (downs[0], 1), (*pads[:2], 0, 0))
        return _apply(x, along_y, (1, ups[1]), (1, downs[1]), (0, 0, *pads[2:]))
    return _apply(x, taps * gain, ups, downs, pads)


def filter2d(x: Tensor, f: Tensor | None, padding: Factor = 0, flip_filter: bool = False, gain: float = 1) -> Tensor:
    """Filter images [N, C, H, W] to their own size, plus `padding`; arguments as in `upfirdn2d`."""
    width, height = _taps(f)
    pads = _add(_parse_padding(padding), (width // 2, (width - 1) // 2, height // 2, (height - 1) // 2))
    return upfirdn2d(x, f, padding=pads, flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor, f: Tensor | None, up: Factor = 2, padding: Factor = 0, flip_filter: bool = False, gain: float = 1
) -> Tensor:
    """Enlarge images [N, C, H, W] to [N, C, H·up, W·up], keeping their brightness; arguments as in `upfirdn2d`."""
    up_x, up_y = _pair(up, "up")
    pads = pads_for_upsampling(f, (up_x, up_y), _parse_padding(padding))
    return upfirdn2d(x, f, up=(up_x, up_y), padding=pads, flip_filter=flip_filter, gain=gain * up_x * up_y)


def downsample2d(
    x: Tensor, f: Tensor | None, down: Factor = 2, padding: Factor = 0, flip_filter: bool = False, gain: float = 1
) -> Tensor:
    """Shrink images [N, C, H, W] to [N, C, H/down, W/down]; arguments as in `upfirdn2d`."""
    factors = _pair(down, "down")
    pads = pads_for_downsampling(f, factors, _parse_padding(padding))
    return upfirdn2d(x, f, down=factors, padding=pads, flip_filter=flip_filter, gain=gain)


def pads_for_upsampling(f: Tensor | None, up: tuple[int, int], pads: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The padding [left, right, top, bottom] that centres `f` on images enlarged by `up`, added to `pads`."""
    (width, height), (x, y) = _taps(f), up
    return _add(pads, ((width + x - 1) // 2, (width - x) // 2, (height + y - 1) // 2, (height - y) // 2))


def pads_for_downsampling(f: Tensor | None, down: tuple[int, int], pads: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The padding [left, right, top, bottom] that centres `f` on images to be shrunk by `down`, added to `pads`."""
    (width, height), (x, y) = _taps(f), down
    return _add(pads, ((width - x + 1) // 2, (width - x) // 2, (height - y + 1) // 2, (height - y) // 2))


class _UpFirDown(torch.autograd.Function):
    """Correlate with `f` between zero-insertion and decimation.

    The operator is linear and its adjoint is itself, with up and down exchanged and the filter turned round. Written
    so, every derivative costs one application; PyTorch's own second derivative of a depthwise convolution loops over
    the channels.
    """

    @staticmethod
    def forward(x: Tensor, f: Tensor, up: tuple[int, int], down: tuple[int, int], pads: tuple[int, ...]) -> Tensor:
        return _reference(x, f, up, down, pads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, f, ctx.up, ctx.down, ctx.pads = inputs
        ctx.save_for_backward(f)
        ctx.in_size, ctx.out_size = x.shape[2:], output.shape[2:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (f,) = ctx.saved_tensors
        before_x, after_x = _adjoint_padding(1, 0, ctx, f)
        before_y, after_y = _adjoint_padding(0, 1, ctx, f)
        turned = f.flip([0, 1])
        gx = _UpFirDown.apply(grad, turned, ctx.down, ctx.up, (before_x, after_x, before_y, after_y))
        return gx, None, None, None, None


def _adjoint_padding(image_axis: int, factor_axis: int, ctx: Any, f: Tensor) -> tuple[int, int]:
    """The padding along one axis with which the adjoint maps the output's size back onto the input's."""
    before = ctx.pads[2 * factor_axis]
    up, down = ctx.up[factor_axis], ctx.down[factor_axis]
    after = ctx.in_size[image_axis] * up - ctx.out_size[image_axis] * down + before - up + 1
    return f.shape[image_axis] - 1 - before, after


def _apply(x: Tensor, f: Tensor, up: tuple[int, int], down: tuple[int, int], pads: tuple[int, ...]) -> Tensor:
    for name, size, factor, taps, padding in (
        ("width", x.shape[3], up[0], f.shape[1], pads[:2]),
        ("height", x.shape[2], up[1], f.shape[0], pads[2:]),
    ):
        if size * factor + sum(padding) < taps:
            raise ValueError(
                f"upfirdn2d: the {name} is {size}·{factor} + {sum(padding)} after up-sampling and padding; "
                f"expected at least the filter's {taps} taps"
            )
    return _UpFirDown.apply(x, f, up, down, pads)


def _reference(x: Tensor, f: Tensor, up: tuple[int, int], down: tuple[int, int], pads: tuple[int, ...]) -> Tensor:
    """The operator by depthwise convolutions, which never touch the inserted zeros; `f` correlates."""
    if up == (1, 1):
        return _pad_and_decimate(x, f, down, pads)
    return _insert_zeros(x, f, up, pads)[:, :, :: down[1], :: down[0]]


def _pad_and_decimate(x: Tensor, f: Tensor, down: tuple[int, int], pads: tuple[int, ...]) -> Tensor:
    left, right, top, bottom = pads
    both_x, both_y = max(min(left, right), 0), max(min(top, bottom), 0)  # convolutions pad both sides for nothing
    rest = (left - both_x, right - both_x, top - both_y, bottom - both_y)
    x = F.pad(x, rest) if any(rest) else x
    weight = f.expand(x.shape[1], 1, *f.shape)
    return F.conv2d(x, weight, stride=(down[1], down[0]), padding=(both_y, both_x), groups=x.shape[1])


def _insert_zeros(x: Tensor, f: Tensor, up: tuple[int, int], pads: tuple[int, ...]) -> Tensor:
    height, width = f.shape
    left, top = width - 1 - pads[0], height - 1 - pads[2]  # what the full convolution has too much on each side
    right, bottom = width - up[0] - pads[1], height - up[1] - pads[3]
    both_x, both_y = max(min(left, right), 0), max(min(top, bottom), 0)
    weight = f.flip([0, 1]).expand(x.shape[1], 1, height, width)
    y = F.conv_transpose2d(x, weight, stride=(up[1], up[0]), padding=(both_y, both_x), groups=x.shape[1])
    rest = (both_x - left, both_x - right, both_y - top, both_y - bottom)
    return F.pad(y, rest) if any(rest) else y


def _check(x: Tensor, f: Tensor | None) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"upfirdn2d: x is {getattr(x, 'dtype', type(x).__name__)}; expected a floating-point tensor")
    if x.ndim != 4:
        raise ValueError(f"upfirdn2d: x has shape {list(x.shape)}; expected [N, C, H, W]")
    if f is None:
        return
    if not isinstance(f, Tensor) or f.device != x.device:
        raise TypeError(f"upfirdn2d: f is on {getattr(f, 'device', type(f).__name__)}; expected a tensor on {x.device}")
    if f.ndim not in (1, 2) or f.numel() == 0:
        raise ValueError(f"upfirdn2d: f has shape {list(f.shape)}; expected [taps] or [height, width], not empty")


def _add(pads: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, int, int, int]:
    left, right, top, bottom = (one + other for one, other in zip(pads, more, strict=True))
    return left, right, top, bottom


def _taps(f: Tensor | None) -> tuple[int, int]:
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])


def _pair(value: Factor, name: str) -> tuple[int, int]:
    x, y = (value, value) if isinstance(value, int) else value if len(value) == 2 else (0, 0)
    if not (isinstance(x, int) and isinstance(y, int) and min(x, y) >= 1):
        raise ValueError(f"upfirdn2d: {name} is {value!r}; expected a whole number from 1 up, or [x, y] of them")
    return x, y


def _parse_padding(value: Factor) -> tuple[int, int, int, int]:
    sides = [value] if isinstance(value, int) else list(value)
    if len(sides) not in (1, 2, 4) or not all(isinstance(side, int) for side in sides):
        raise ValueError(f"upfirdn2d: padding is {value!r}; expected n, [x, y] or [left, right, top, bottom]")
    left, right, top, bottom = {1: sides * 4, 2: [s for s in sides for _ in range(2)], 4: sides}[len(sides)]
    return left, right, top, bottom
