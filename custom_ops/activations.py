"""The activations by name: function, derivative, default slope and gain, for the operator and its gradients."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Activation:
    """An activation with its default alpha and gain.

    Without a `derivative` it is linear on either side of 0, rising or flat: act(g·x) = g·act(x) for every g > 0, and
    the sign of its value determines its slope. A smooth one has its derivative here.
    """

    function: Callable[[Tensor, float], Tensor]
    derivative: Callable[[Tensor], Tensor] | None = None
    alpha: float = 0.0
    gain: float = 1.0


def _elu_derivative(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1.0, x.clamp(max=0).exp())  # clamped: infinity times 0 would be NaN in what follows


def _selu_derivative(x: Tensor) -> Tensor:
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * torch.where(x > 0, 1.0, alpha * x.clamp(max=0).exp())


def _swish_derivative(x: Tensor) -> Tensor:
    gate = x.sigmoid()
    return gate * (1 + x * (1 - gate))


ACTIVATIONS = {  # the native operators number them in this order
    "linear": Activation(lambda x, alpha: x),
    "relu": Activation(lambda x, alpha: F.relu(x), gain=math.sqrt(2)),
    "lrelu": Activation(F.leaky_relu, alpha=0.2, gain=math.sqrt(2)),
    "tanh": Activation(lambda x, alpha: x.tanh(), lambda x: 1 - x.tanh().square()),
    "sigmoid": Activation(lambda x, alpha: x.sigmoid(), lambda x: x.sigmoid() * (-x).sigmoid()),
    "elu": Activation(lambda x, alpha: F.elu(x), _elu_derivative),
    "selu": Activation(lambda x, alpha: F.selu(x), _selu_derivative),
    "softplus": Activation(lambda x, alpha: F.softplus(x), torch.sigmoid),
    "swish": Activation(lambda x, alpha: F.silu(x), _swish_derivative, gain=math.sqrt(2)),
}
NUMBERS = {name: number for number, name in enumerate(ACTIVATIONS)}
