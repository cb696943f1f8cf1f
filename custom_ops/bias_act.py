"""Bias, activation, gain and clamp in one call."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_ops.build import select


@dataclass(frozen=True)
class Activation:
    """An activation, its default alpha and gain, and whether act(g·x) = g·act(x) for every g > 0."""

    function: Callable[[Tensor, float], Tensor]
    alpha: float = 0.0
    gain: float = 1.0
    homogeneous: bool = False


ACTIVATIONS = {
    "linear": Activation(lambda x, alpha: x, homogeneous=True),
    "relu": Activation(lambda x, alpha: F.relu(x), gain=math.sqrt(2), homogeneous=True),
    "lrelu": Activation(F.leaky_relu, alpha=0.2, gain=math.sqrt(2), homogeneous=True),
    "tanh": Activation(lambda x, alpha: torch.tanh(x)),
    "sigmoid": Activation(lambda x, alpha: torch.sigmoid(x)),
    "elu": Activation(lambda x, alpha: F.elu(x)),
    "selu": Activation(lambda x, alpha: F.selu(x)),
    "softplus": Activation(lambda x, alpha: F.softplus(x)),
    "swish": Activation(lambda x, alpha: F.silu(x), gain=math.sqrt(2)),
}


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

    x: any shape, floating point. b: [x.shape[dim]], same dtype and device, or None. act: a key of ACTIVATIONS.
    alpha: slope of 'lrelu'. gain: None takes the activation's own (√2 for relu, lrelu and swish, else 1).
    clamp: the result is limited to ±clamp; None is no limit. impl: see `custom_ops.build.select`.
    Raises TypeError or ValueError where the arguments do not fit each other.
    """
    _check(x, b, dim, act, clamp)
    select("bias_act", impl)
    spec = ACTIVATIONS[act]
    alpha, gain = spec.alpha if alpha is None else alpha, spec.gain if gain is None else gain
    return _reference(x, b, dim, spec, alpha, gain, clamp)


def _reference(
    x: Tensor, b: Tensor | None, dim: int, spec: Activation, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    """The formula in PyTorch; a homogeneous activation takes its gain beforehand, in the same pass as the bias."""
    early = spec.homogeneous and gain > 0
    if b is not None:
        b = b.reshape([-1 if axis == dim % x.ndim else 1 for axis in range(x.ndim)])
        x = torch.add(b * gain, x, alpha=gain) if early else x + b
    elif early and gain != 1:
        x = x * gain
    y = spec.function(x, alpha)
    if not early and gain != 1:
        y = y * gain
    return y if clamp is None else y.clamp(-clamp, clamp)


def _check(x: Tensor, b: Tensor | None, dim: int, act: str, clamp: float | None) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"bias_act: x is {_kind(x)}; expected a floating-point tensor")
    if act not in ACTIVATIONS:
        raise ValueError(f"bias_act: act is {act!r}; expected one of {', '.join(ACTIVATIONS)}")
    if clamp is not None and clamp < 0:
        raise ValueError(f"bias_act: clamp is {clamp}; expected None or a number from 0 up")
    if b is None:
        return
    if not isinstance(b, Tensor) or b.dtype != x.dtype or b.device != x.device:
        raise TypeError(f"bias_act: b is {_kind(b)}; expected a tensor like x, {_kind(x)}")
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"bias_act: dim is {dim}; expected a dimension of x, which has {x.ndim}")
    if b.shape != (x.shape[dim],):
        raise ValueError(f"bias_act: b has shape {list(b.shape)}; expected [{x.shape[dim]}], x's size along {dim}")


def _kind(value: object) -> str:
    return f"{value.dtype} on {value.device}" if isinstance(value, Tensor) else type(value).__name__
