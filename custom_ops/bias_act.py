"""Bias, activation, gain and clamp in one call."""

import math

import torch
from torch import Tensor

from custom_ops.activations import ACTIVATIONS, NUMBERS, Activation
from custom_ops.checks import DTYPES, check_dtype, check_number, is_autocast, kind_of
from custom_ops.dispatch import select

LARGEST = torch.finfo(torch.float32).max  # limit of alpha and gain: the kernels compute in float32


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    impl: str | None = None,
) -> Tensor:
    """Compute clamp(gain · act(x + b)), with the bias along dimension `dim`.

    x: any shape, float64, float32, float16 or bfloat16. b: [x.shape[dim]], same dtype and device, or None; under
    autocast it is brought to x's dtype. act: a key of ACTIVATIONS. alpha: slope of 'lrelu' below 0.
    gain: None takes the activation's own (√2 for relu, lrelu and swish, else 1).
    clamp: the result is limited to ±clamp; None is no limit. impl: see `dispatch.select`; where gain or alpha
    reverse a piecewise linear activation, the reference runs in any case.
    Returns a new tensor, or x itself where there is nothing to do. Differentiable to any order.
    Raises TypeError or ValueError where the arguments do not fit each other.

    >>> x = torch.tensor([[-3.0, 3.0], [0.0, 9.0]])
    >>> bias_act(x, b=torch.tensor([1.0, 1.0]), act="relu", gain=2.0, clamp=10.0)
    tensor([[ 0.,  8.],
            [ 2., 10.]])
    """
    b = _check(x, b, dim, act, alpha, gain, clamp)
    spec = ACTIVATIONS[act]
    alpha, gain = spec.alpha if alpha is None else alpha, spec.gain if gain is None else gain
    path = select("bias_act", impl, x.device)
    if b is None and act == "linear" and gain == 1 and clamp is None:
        return x
    if path == "native" and (spec.derivative or (gain > 0 and alpha >= 0)):
        limit = -1.0 if clamp is None else clamp
        y: Tensor = torch.ops.ganaug.bias_act(x, b, dim % max(x.ndim, 1), NUMBERS[act], alpha, gain, limit)
        return y
    return _reference(x, b, dim, spec, alpha, gain, clamp)


def _reference(
    x: Tensor, b: Tensor | None, dim: int, spec: Activation, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    """The formula in PyTorch; a homogeneous activation takes its gain beforehand, in the same pass as the bias."""
    early = spec.derivative is None and gain > 0
    if b is not None:
        b = b.reshape([-1 if axis == dim % x.ndim else 1 for axis in range(x.ndim)])
        x = torch.add(b * gain, x, alpha=gain) if early else x + b
    elif early and gain != 1:
        x = x * gain
    y = spec.function(x, alpha)
    if not early and gain != 1:
        y = y * gain
    return y if clamp is None else y.clamp(-clamp, clamp)


def _check(
    x: Tensor,
    b: Tensor | None,
    dim: int,
    act: str,
    alpha: float | None,
    gain: float | None,
    clamp: float | None,
) -> Tensor | None:
    """Raise where the arguments do not fit; return the bias in x's dtype."""
    check_dtype("bias_act: x", x)
    if not isinstance(act, str) or act not in ACTIVATIONS:
        raise ValueError(f"bias_act: act is {act!r}; expected one of {', '.join(ACTIVATIONS)}")
    for name, value, low, high in (
        ("alpha", alpha, -LARGEST, LARGEST),
        ("gain", gain, -LARGEST, LARGEST),
        ("clamp", clamp, 0.0, math.inf),
    ):
        if value is not None:
            check_number(f"bias_act: {name}", value, low, high)
    return None if b is None else _check_bias(x, b, dim)


def _check_bias(x: Tensor, b: Tensor, dim: int) -> Tensor:
    if not isinstance(b, Tensor) or b.dtype not in DTYPES or b.device != x.device:
        raise TypeError(f"bias_act: b is {kind_of(b)}; expected a tensor like x, {kind_of(x)}")
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise TypeError(f"bias_act: dim is {kind_of(dim)}; expected a whole number")
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"bias_act: dim is {dim}; expected a dimension of x, which has {x.ndim}")
    if b.shape != (x.shape[dim],):
        raise ValueError(f"bias_act: b has shape {list(b.shape)}; expected [{x.shape[dim]}], x's size along {dim}")
    if b.dtype == x.dtype:
        return b
    if not is_autocast(x):
        raise TypeError(f"bias_act: b is {kind_of(b)}; expected a tensor like x, {kind_of(x)}")
    return b.to(x.dtype)
