"""bias_act against the formula spelled out, its derivatives and its refusals."""

import math

import pytest
import torch

from custom_ops import bias_act
from custom_ops.bias_act import ACTIVATIONS

FORMULAS = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, 0.0),
    "lrelu": lambda x: x if x > 0 else 0.2 * x,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    "softplus": lambda x: math.log1p(math.exp(x)),
    "swish": lambda x: x / (1 + math.exp(-x)),
}


def sample(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("gain", [None, 0.5, -1.5])
@pytest.mark.parametrize("act", list(ACTIVATIONS))
def test_equals_the_formula(act: str, gain: float | None, clamp: float | None) -> None:
    x, b = sample(2, 3, 4, 5), sample(4)
    factor = gain if gain is not None else math.sqrt(2) if act in ("relu", "lrelu", "swish") else 1.0
    expected = (x + b[:, None]).apply_(lambda value: factor * FORMULAS[act](value))
    if clamp is not None:
        expected = expected.clamp(-clamp, clamp)
    torch.testing.assert_close(bias_act(x, b, dim=2, act=act, gain=gain, clamp=clamp), expected)


@pytest.mark.parametrize("act", list(ACTIVATIONS))
def test_derivatives_of_first_and_second_order(act: str) -> None:
    x, b = sample(3, 4).requires_grad_(), sample(4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, b: bias_act(x, b, act=act), (x, b))
    assert torch.autograd.gradgradcheck(lambda x, b: bias_act(x, b, act=act), (x, b))


def test_alpha_is_the_slope_of_the_leaky_side() -> None:
    assert bias_act(torch.tensor([[-2.0]]), act="lrelu", alpha=0.5, gain=1).item() == -1.0


def test_channels_last_stays() -> None:
    x = torch.randn(2, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    assert bias_act(x, torch.ones(8), act="lrelu").is_contiguous(memory_format=torch.channels_last)


def test_input_is_not_changed() -> None:
    x = sample(2, 3)
    before = x.clone()
    bias_act(x, sample(3), act="lrelu")
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "act is 'gelu'", {"act": "gelu"}),
        (ValueError, r"b has shape \[4\]; expected \[3\]", {"b": torch.ones(4)}),
        (ValueError, "dim is 2", {"dim": 2, "b": torch.ones(3)}),
        (ValueError, "clamp is -1", {"clamp": -1}),
        (TypeError, "b is torch.float64", {"b": torch.ones(3, dtype=torch.float64)}),
        (TypeError, "x is list", {"x": [1.0]}),
        (RuntimeError, "native", {"impl": "native"}),
    ],
)
def test_bad_arguments_are_named(error: type[Exception], message: str, options: dict) -> None:
    with pytest.raises(error, match=message):
        bias_act(**({"x": torch.ones(2, 3)} | options))
