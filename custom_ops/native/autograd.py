"""Shapes, derivatives and batching of the native operators, registered with PyTorch.

The library must be loaded before `register` is called; `custom_ops.dispatch` does both. The derivative of each
operator is a registered operator again, hence any order runs at native speed.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch._prims_common import suggest_memory_format
from torch.autograd.function import _SingleLevelFunction

from custom_ops.activations import ACTIVATIONS
from custom_ops.padding import Pads, Pair, adjoint_padding, out_size

_make_library: Callable[..., Any] = torch.library.Library
LIBRARY = _make_library("ganaug", "IMPL")  # registrations last as long as it does
OPS = torch.ops.ganaug
BY_NUMBER = tuple(ACTIVATIONS.values())  # as the kernels number them

Args = tuple[Any, ...]
Grads = tuple[Tensor | None, ...]
Batched = tuple[Any, Any]
Rule = Callable[..., Any]


def _empty_like(x: Tensor) -> Tensor:
    """Without data, what the kernels allocate for x: dense, in the layout that x suggests."""
    return torch.empty_like(x.contiguous(memory_format=suggest_memory_format(x)))


# bias_act and its slope, whose adjoint takes the slope's gradient back to x and b. Nothing flows to the slope's y: the
# slope is constant but for its jumps.


def _bias_act_fake(x: Tensor, *_: Any) -> Tensor:
    return _empty_like(x)


def _adjoint_fake(dy: Tensor, y: Tensor, dim: int, *options: Any) -> tuple[Tensor, Tensor]:
    return _empty_like(dy), dy.new_empty(dy.shape[dim] if options[-1] else 0)


def _bias_act_setup(ctx: Any, inputs: Args, output: Tensor) -> None:
    x, b, *ctx.options = inputs
    ctx.save_for_backward(*((output,) if BY_NUMBER[ctx.options[1]].derivative is None else (x, b)))


def _bias_act_backward(ctx: Any, dy: Tensor) -> Grads:
    derivative = BY_NUMBER[ctx.options[1]].derivative
    if derivative is None:
        (y,) = ctx.saved_tensors
        dx, db = _adjoint(ctx.needs_input_grad[:2], dy, y.detach(), ctx.options)
    else:
        x, b = ctx.saved_tensors
        dx, db = _smooth_backward(ctx.needs_input_grad[:2], dy, x, b, ctx.options)
    return dx, db, *[None] * len(ctx.options)


def _adjoint(needs: tuple[bool, bool], dy: Tensor, y: Tensor, options: list[Any]) -> Grads:
    dx, db = OPS.bias_act_adjoint(dy, y, *options, needs[1])
    return dx if needs[0] else None, db if needs[1] else None


def _smooth_backward(needs: tuple[bool, bool], dy: Tensor, x: Tensor, b: Tensor | None, options: list[Any]) -> Grads:
    """The chain rule in PyTorch's operators, which differentiate further by themselves."""
    dim, act, alpha, gain, clamp = options
    spec = BY_NUMBER[act]
    assert spec.derivative is not None
    u = x.to(torch.promote_types(x.dtype, torch.float32))
    bias_shape = [size if axis == dim else 1 for axis, size in enumerate(x.shape)]
    if b is not None:
        u = u + b.reshape(bias_shape)
    dx = dy * gain * spec.derivative(u)
    if clamp >= 0:
        dx = dx * ((gain * spec.function(u, alpha)).abs() <= clamp)
    db = dx.sum_to_size(bias_shape).flatten().to(x.dtype) if needs[1] else None
    return dx.to(x.dtype) if needs[0] else None, db


def _slope_setup(ctx: Any, inputs: Args, output: Tensor) -> None:
    _, _, y, *ctx.options = inputs
    ctx.save_for_backward(y)


def _slope_backward(ctx: Any, dy: Tensor) -> Grads:
    (y,) = ctx.saved_tensors
    dx, db = _adjoint(ctx.needs_input_grad[:2], dy, y, ctx.options)
    return dx, db, *[None] * (1 + len(ctx.options))


def _adjoint_setup(ctx: Any, inputs: Args, output: tuple[Tensor, Tensor]) -> None:
    _, y, *ctx.options, ctx.with_bias = inputs
    ctx.save_for_backward(y)


def _adjoint_backward(ctx: Any, ddx: Tensor, ddb: Tensor) -> Grads:
    (y,) = ctx.saved_tensors
    ddy = OPS.bias_act_slope(ddx, ddb if ctx.with_bias else None, y, *ctx.options)
    return ddy, *[None] * (2 + len(ctx.options))


def _fold(value: Tensor, batch_dim: int | None, dim: int, size: int) -> Tensor:
    """Fold the batch dimension, of `size`, into `dim`, along which the bias lies: every sample gets its own."""
    if batch_dim is None:
        value = value.expand(size, *value.shape)
    value = value.movedim(batch_dim or 0, dim)
    return value.flatten(dim, dim + 1)


def _bias_act_vmap(info: Any, in_dims: Args, x: Tensor, b: Tensor | None, dim: int, *options: Any) -> Batched:
    size = info.batch_size
    bias = None if b is None else _fold(b, in_dims[1], 0, size)
    y = OPS.bias_act(_fold(x, in_dims[0], dim, size), bias, dim, *options)
    return y.unflatten(dim, (size, -1)), dim


def _slope_vmap(info: Any, in_dims: Args, x: Tensor, b: Tensor | None, y: Tensor, dim: int, *options: Any) -> Batched:
    size = info.batch_size
    bias = None if b is None else _fold(b, in_dims[1], 0, size)
    x, y = _fold(x, in_dims[0], dim, size), _fold(y, in_dims[2], dim, size)
    return OPS.bias_act_slope(x, bias, y, dim, *options).unflatten(dim, (size, -1)), dim


def _adjoint_vmap(info: Any, in_dims: Args, dy: Tensor, y: Tensor, dim: int, *options: Any) -> Batched:
    size = info.batch_size
    dx, db = OPS.bias_act_adjoint(_fold(dy, in_dims[0], dim, size), _fold(y, in_dims[1], dim, size), dim, *options)
    return (dx.unflatten(dim, (size, -1)), db.unflatten(0, (size, -1))), (dim, 0)


# upfirdn2d, which is linear and, with up and down exchanged and the filter flipped, its own adjoint.


def _upfirdn2d_fake(x: Tensor, f: Tensor, up: Pair, down: Pair, pads: Pads, gain: float) -> Tensor:
    size = x.shape[:2] + out_size(x.shape, f.shape, up, down, pads)
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=suggest_memory_format(x))


def _upfirdn2d_setup(ctx: Any, inputs: Args, output: Tensor) -> None:
    x, f, ctx.up, ctx.down, pads, ctx.gain = inputs
    ctx.save_for_backward(f)
    ctx.pads = adjoint_padding(x.shape, output.shape, f.shape, ctx.up, ctx.down, pads)


def _upfirdn2d_backward(ctx: Any, dy: Tensor) -> Grads:
    (f,) = ctx.saved_tensors
    dx = OPS.upfirdn2d(dy, f.flip([0, 1]), ctx.down, ctx.up, ctx.pads, ctx.gain)
    return dx, None, None, None, None, None


def _upfirdn2d_vmap(info: Any, in_dims: Args, x: Tensor, f: Tensor, *options: Any) -> Batched:
    if in_dims[1] is not None:
        raise ValueError("upfirdn2d: vmap over the filter f; expected one filter for all")
    y = OPS.upfirdn2d(x.movedim(in_dims[0], 0).flatten(0, 1), f, *options)
    return y.unflatten(0, (info.batch_size, -1)), 0


# conv3x3, which is bilinear: its gradients are itself transposed and conv3x3_weight, and theirs are these again.


def _conv3x3_fake(x: Tensor, w: Tensor, stride: int, transposed: bool) -> Tensor:
    sides = x.shape[2:] if stride == 1 else [2 * side + 1 if transposed else side // 2 for side in x.shape[2:]]
    return x.new_empty(x.shape[0], w.shape[1 if transposed else 0], *sides)


def _conv3x3_setup(ctx: Any, inputs: Args, output: Tensor) -> None:
    x, w, ctx.stride, ctx.transposed = inputs
    _save_both(ctx, x, w)


def _save_both(ctx: Any, a: Tensor, b: Tensor) -> None:
    """Keep each factor of a bilinear operator only if the other wants a gradient."""
    wants = ctx.needs_input_grad
    ctx.save_for_backward(a if wants[1] else None, b if wants[0] else None)


def _conv3x3_backward(ctx: Any, dy: Tensor) -> Grads:
    x, w = ctx.saved_tensors
    dx = None if w is None else OPS.conv3x3(dy, w, ctx.stride, not ctx.transposed)
    dw = None if x is None else OPS.conv3x3_weight(*((dy, x) if ctx.transposed else (x, dy)), ctx.stride)
    return dx, dw, None, None


def _weight_fake(x: Tensor, dy: Tensor, stride: int) -> Tensor:
    return x.new_empty(dy.shape[1], x.shape[1], 3, 3)


def _weight_setup(ctx: Any, inputs: Args, output: Tensor) -> None:
    x, dy, ctx.stride = inputs
    _save_both(ctx, x, dy)


def _weight_backward(ctx: Any, dw: Tensor) -> Grads:
    x, dy = ctx.saved_tensors
    dx = None if dy is None else OPS.conv3x3(dy, dw, ctx.stride, True)
    return dx, None if x is None else OPS.conv3x3(x, dw, ctx.stride, False), None


def _conv3x3_vmap(info: Any, in_dims: Args, x: Tensor, w: Tensor, *options: Any) -> Batched:
    if in_dims[1] is None:
        y = OPS.conv3x3(x.movedim(in_dims[0], 0).flatten(0, 1), w, *options)
        return y.unflatten(0, (info.batch_size, -1)), 0
    return _one_by_one(OPS.conv3x3, info, in_dims, x, w, *options), 0


def _weight_vmap(info: Any, in_dims: Args, x: Tensor, dy: Tensor, stride: int) -> Batched:
    return _one_by_one(OPS.conv3x3_weight, info, in_dims, x, dy, stride), 0


def _one_by_one(operator: Any, info: Any, in_dims: Args, a: Tensor, b: Tensor, *options: Any) -> Tensor:
    """Call for every sample; an operand without a batch dimension is the same for all."""

    def rows(value: Tensor, dim: int | None) -> Any:
        return [value] * info.batch_size if dim is None else value.unbind(dim)

    pairs = zip(rows(a, in_dims[0]), rows(b, in_dims[1]), strict=True)
    return torch.stack([operator(*pair, *options) for pair in pairs])


def _register(name: str, fake: Rule, setup: Rule, backward: Rule, vmap: Rule) -> None:
    operator = f"ganaug::{name}"
    torch.library.register_fake(operator, fake)
    torch.library.register_vmap(operator, vmap)
    kernel = _make_differentiable(getattr(OPS, name).default, setup, backward)
    LIBRARY.impl(name, kernel, "Autograd", with_keyset=True)


def _make_differentiable(operator: Any, setup: Rule, backward: Rule) -> Rule:
    """The operator's kernel for autograd, calling its kernel for the device.

    torch.library.register_autograd would do, but torch.func.grad refuses its operators, and torch.compile can have
    second derivatives by torch.func.grad alone.
    """

    def forward(ctx: Any, *args: Any) -> Any:
        *inputs, keys = args
        with torch.enable_grad():  # for the outer levels of torch.func.grad; here it changes nothing
            output = below(keys, *inputs)
        setup(ctx, inputs, output)
        return output

    def below(keys: Any, *inputs: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return operator.redispatch(keys & torch._C._after_autograd_keyset, *inputs)

    def kernel(keys: Any, *inputs: Any) -> Any:
        wanted = any(isinstance(value, Tensor) and value.requires_grad for value in inputs)
        if not (wanted and torch.is_grad_enabled()):
            return below(keys, *inputs)
        with enable_single_level_autograd_function():
            return function.apply(*inputs, keys)

    def grads(ctx: Any, *outputs: Tensor) -> Grads:
        return *backward(ctx, *outputs), None

    members = {"forward": staticmethod(forward), "backward": staticmethod(grads)}
    function: Any = type(f"{operator.name()}_backward", (_SingleLevelFunction,), members)
    return kernel


@functools.cache
def register() -> None:
    """Give the operators their derivatives, shapes and batching, once a process; the library must be loaded before."""
    _register("bias_act", _bias_act_fake, _bias_act_setup, _bias_act_backward, _bias_act_vmap)
    _register("bias_act_slope", _bias_act_fake, _slope_setup, _slope_backward, _slope_vmap)
    _register("bias_act_adjoint", _adjoint_fake, _adjoint_setup, _adjoint_backward, _adjoint_vmap)
    _register("upfirdn2d", _upfirdn2d_fake, _upfirdn2d_setup, _upfirdn2d_backward, _upfirdn2d_vmap)
    _register("conv3x3", _conv3x3_fake, _conv3x3_setup, _conv3x3_backward, _conv3x3_vmap)
    _register("conv3x3_weight", _weight_fake, _weight_setup, _weight_backward, _weight_vmap)
