"""Up-sample, filter and down-sample in one operator, differentiable to any order at the cost of the operator itself."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_ops.checks import check_dtype, check_number, is_autocast, kind_of
from custom_ops.dispatch import select
from custom_ops.padding import Factor, Pads, Pair, add_pads, adjoint_padding, out_size, parse_padding, parse_pair

LARGEST = torch.finfo(torch.float32).max  # limit of gain: the kernels compute in float32


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
    filters separably from 8 taps up, where two passes cost less than one. Raises ValueError on another shape, and where
    taps to be normalized sum to 0.
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
        if not torch.compiler.is_compiling() and not taps.sum():
            raise ValueError("setup_filter: the taps sum to 0 and cannot be made to sum to 1; give normalize=False")
        taps = taps / taps.sum()
    if flip_filter:
        taps = taps.flip(list(range(taps.ndim)))
    scale: float = gain ** (taps.ndim / 2)
    return taps * scale


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

    x: [N, C, H, W] of float64, float32, float16 or bfloat16. f: float32 from `setup_filter`, a constant; None is the
    identity. up, down: one factor or [x, y]. padding: one number, [x, y] or [left, right, top, bottom], in up-sampled
    pixels. flip_filter: False convolves, True correlates. impl: see `custom_ops.dispatch.select`.
    Returns [N, C, ⌊(H·up + top + bottom − taps) / down⌋ + 1, …], differentiable with respect to x to any order. Raises
    TypeError or ValueError where the arguments do not fit.
    Source: Karras et al. 2020a, appendix B.

    Twice the size, each pixel repeated:

    >>> x = torch.tensor([[[[1.0, 2.0]]]])
    >>> upfirdn2d(x, setup_filter([1.0, 1.0]), up=2, padding=[1, 0, 1, 0], gain=4)
    tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]])
    """
    _check(x, f, gain)
    ups, downs, pads = parse_pair(up, "up"), parse_pair(down, "down"), parse_padding(padding)
    native = select("upfirdn2d", impl, x.device) == "native"
    taps = x.new_ones(1, 1, dtype=torch.float32) if f is None else f
    if not flip_filter:
        taps = taps.flip(list(range(taps.ndim)))
    if taps.ndim == 2:
        return _apply(x, taps, ups, downs, pads, gain, native)
    left, right, top, bottom = pads
    x = _apply(x, taps[None, :], (ups[0], 1), (downs[0], 1), (left, right, 0, 0), gain, native)
    return _apply(x, taps[:, None], (1, ups[1]), (1, downs[1]), (0, 0, top, bottom), 1.0, native)


def _apply(x: Tensor, f: Tensor, up: Pair, down: Pair, pads: Pads, gain: float, native: bool) -> Tensor:
    """Correlate with the two-dimensional filter `f`."""
    sizes = (x.shape[3] * up[0] + pads[0] + pads[1], x.shape[2] * up[1] + pads[2] + pads[3])
    for name, size, taps in zip(("width", "height"), sizes, (f.shape[1], f.shape[0]), strict=True):
        if size < taps:
            raise ValueError(
                f"upfirdn2d: the {name} is {size} after up-sampling and padding; expected at least f's {taps} taps"
            )
    if native:
        y: Tensor = torch.ops.ganaug.upfirdn2d(x, f, up, down, pads, gain)
        return y
    # Compiled, an autograd.Function inside of torch.func.grad loses its second derivative (in PyTorch 2.15).
    reference: Callable[..., Tensor] = _Reference.forward if torch.compiler.is_compiling() else _Reference.apply
    return reference(x, f.to(x.dtype) * gain, up, down, pads)


class _Reference(torch.autograd.Function):
    """The operator in PyTorch.

    It is linear, and its adjoint is itself, with up and down exchanged and the filter flipped. Written so, every
    derivative costs one application; PyTorch's own second derivative of a depthwise convolution loops over the
    channels.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, f: Tensor, up: Pair, down: Pair, pads: Pads) -> Tensor:
        if x.numel() == 0:  # convolutions refuse to have no channels
            return x.new_empty(*x.shape[:2], *out_size(x.shape, f.shape, up, down, pads))
        with no_autocast(x):
            if up == (1, 1):
                return _pad_and_decimate(x, f, down, pads)
            return _insert_zeros(x, f, up, pads)[:, :, :: down[1], :: down[0]]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, f, ctx.up, ctx.down, pads = inputs
        ctx.save_for_backward(f)
        ctx.pads = adjoint_padding(x.shape, output.shape, f.shape, ctx.up, ctx.down, pads)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (f,) = ctx.saved_tensors
        return _Reference.apply(grad, f.flip([0, 1]), ctx.down, ctx.up, ctx.pads), None, None, None, None


def no_autocast(x: Tensor) -> contextlib.AbstractContextManager[None]:
    """Within it, operators keep the dtypes that they are given, as native ones do."""
    return torch.autocast(x.device.type, enabled=False) if is_autocast(x) else contextlib.nullcontext()


def _pad_and_decimate(x: Tensor, f: Tensor, down: Pair, pads: Pads) -> Tensor:
    """A depthwise convolution that computes only the pixels that are kept."""
    left, right, top, bottom = pads
    both_x, both_y = max(min(left, right), 0), max(min(top, bottom), 0)  # convolutions pad both sides for nothing
    rest = (left - both_x, right - both_x, top - both_y, bottom - both_y)
    x = _pad_then_crop(x, rest)
    weight = f.expand(x.shape[1], 1, *f.shape)
    return F.conv2d(x, weight, stride=(down[1], down[0]), padding=(both_y, both_x), groups=x.shape[1])


def _insert_zeros(x: Tensor, f: Tensor, up: Pair, pads: Pads) -> Tensor:
    """A transposed depthwise convolution, which never touches the inserted zeros."""
    height, width = f.shape
    left, top = width - 1 - pads[0], height - 1 - pads[2]  # what the full convolution has too much on each side
    right, bottom = width - up[0] - pads[1], height - up[1] - pads[3]
    both_x, both_y = max(min(left, right), 0), max(min(top, bottom), 0)
    weight = f.flip([0, 1]).expand(x.shape[1], 1, height, width)
    y = F.conv_transpose2d(x, weight, stride=(up[1], up[0]), padding=(both_y, both_x), groups=x.shape[1])
    rest = (both_x - left, both_x - right, both_y - top, both_y - bottom)
    return _pad_then_crop(y, rest)


def _pad_then_crop(x: Tensor, pads: Pads) -> Tensor:
    """In this order: what is cropped on one side may be more than there is without the padding of the other."""
    if max(pads) > 0:
        x = F.pad(x, [max(side, 0) for side in pads])
    left, right, top, bottom = (max(-side, 0) for side in pads)
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def filter2d(
    x: Tensor,
    f: Tensor | None,
    padding: Factor = 0,
    flip_filter: bool = False,
    gain: float = 1,
    impl: str | None = None,
) -> Tensor:
    """Filter images [N, C, H, W] to their own size, plus `padding`; arguments as in `upfirdn2d`."""
    width, height = _taps(f)
    pads = add_pads(parse_padding(padding), (width // 2, (width - 1) // 2, height // 2, (height - 1) // 2))
    return upfirdn2d(x, f, padding=pads, flip_filter=flip_filter, gain=gain, impl=impl)


def upsample2d(
    x: Tensor,
    f: Tensor | None,
    up: Factor = 2,
    padding: Factor = 0,
    flip_filter: bool = False,
    gain: float = 1,
    impl: str | None = None,
) -> Tensor:
    """Enlarge images [N, C, H, W] to [N, C, H·up, W·up], keeping their brightness; arguments as in `upfirdn2d`."""
    up_x, up_y = parse_pair(up, "up")
    pads = pads_for_upsampling(f, (up_x, up_y), parse_padding(padding))
    return upfirdn2d(x, f, up=(up_x, up_y), padding=pads, flip_filter=flip_filter, gain=gain * up_x * up_y, impl=impl)


def downsample2d(
    x: Tensor,
    f: Tensor | None,
    down: Factor = 2,
    padding: Factor = 0,
    flip_filter: bool = False,
    gain: float = 1,
    impl: str | None = None,
) -> Tensor:
    """Shrink images [N, C, H, W] to [N, C, H/down, W/down]; arguments as in `upfirdn2d`."""
    factors = parse_pair(down, "down")
    pads = pads_for_downsampling(f, factors, parse_padding(padding))
    return upfirdn2d(x, f, down=factors, padding=pads, flip_filter=flip_filter, gain=gain, impl=impl)


def pads_for_upsampling(f: Tensor | None, up: Pair, pads: Pads) -> Pads:
    """The padding [left, right, top, bottom] that centres `f` on images enlarged by `up`, added to `pads`."""
    (width, height), (x, y) = _taps(f), up
    return add_pads(pads, ((width + x - 1) // 2, (width - x) // 2, (height + y - 1) // 2, (height - y) // 2))


def pads_for_downsampling(f: Tensor | None, down: Pair, pads: Pads) -> Pads:
    """The padding [left, right, top, bottom] that centres `f` on images to be shrunk by `down`, added to `pads`."""
    (width, height), (x, y) = _taps(f), down
    return add_pads(pads, ((width - x + 1) // 2, (width - x) // 2, (height - y + 1) // 2, (height - y) // 2))


def _check(x: Tensor, f: Tensor | None, gain: float) -> None:
    check_dtype("upfirdn2d: x", x)
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ValueError(f"upfirdn2d: x has shape {list(x.shape)}; expected [N, C, H, W] with pixels")
    check_number("upfirdn2d: gain", gain, -LARGEST, LARGEST)
    _check_filter(f)
    if f is not None and f.device != x.device:
        raise TypeError(f"upfirdn2d: f is on {f.device}; expected a tensor on {x.device}, as x")


def _check_filter(f: Tensor | None) -> None:
    if f is None:
        return
    if not isinstance(f, Tensor) or f.dtype != torch.float32:
        raise TypeError(f"upfirdn2d: f is {kind_of(f)}; expected a float32 tensor, as setup_filter makes it")
    if f.ndim not in (1, 2) or f.numel() == 0:
        raise ValueError(f"upfirdn2d: f has shape {list(f.shape)}; expected [taps] or [height, width], not empty")
    if f.requires_grad:
        raise ValueError("upfirdn2d: f requires gradients; expected a constant, f.detach()")


def _taps(f: Tensor | None) -> Pair:
    _check_filter(f)
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])
