"""bias_act against the formula spelled out, the native path against the reference, derivatives and refusals."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from custom_ops import bias_act
from custom_ops.activations import ACTIVATIONS

FORMULAS: dict[str, Callable[[float], float]] = {
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
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def sample(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def random_sizes(rng: torch.Generator, num: int, most: int) -> list[int]:
    return torch.randint(1, most + 1, (num,), generator=rng).tolist()


@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("gain", [None, 0.5, -1.5])
@pytest.mark.parametrize("act", list(ACTIVATIONS))
def test_equals_the_formula(act: str, gain: float | None, clamp: float | None, impl: str, rng: torch.Generator) -> None:
    x, b = sample(rng, 2, 3, 4, 5), sample(rng, 4)
    factor = gain if gain is not None else math.sqrt(2) if act in ("relu", "lrelu", "swish") else 1.0
    values = [factor * FORMULAS[act](value) for value in (x + b[:, None]).flatten().tolist()]
    expected = torch.tensor(values, dtype=x.dtype).view_as(x)
    if clamp is not None:
        expected = expected.clamp(-clamp, clamp)
    torch.testing.assert_close(bias_act(x, b, dim=2, act=act, gain=gain, clamp=clamp, impl=impl), expected)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("gain", [None, -1.5])
@pytest.mark.parametrize("act", list(ACTIVATIONS))
def test_derivatives_of_first_and_second_order(
    act: str, gain: float | None, clamp: float | None, with_bias: bool, impl: str, rng: torch.Generator
) -> None:
    def squared(x: Tensor, b: Tensor | None = None) -> Tensor:  # a linear function has no second derivative
        return bias_act(x, b, act=act, gain=gain, clamp=clamp, impl=impl).square()

    inputs = [sample(rng, 2, 3).requires_grad_()] + [sample(rng, 3).requires_grad_()] * with_bias
    assert torch.autograd.gradcheck(squared, inputs)
    assert torch.autograd.gradgradcheck(squared, inputs)


@pytest.mark.parametrize("which", ["x", "b"])
@pytest.mark.parametrize("act", ["lrelu", "swish"])
def test_derivatives_of_one_input_alone(act: str, which: str, impl: str, rng: torch.Generator) -> None:
    x, b = sample(rng, 2, 3), sample(rng, 3)
    wanted = (x if which == "x" else b).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda _: bias_act(x, b, act=act, clamp=0.9, impl=impl).square(), wanted)


@pytest.mark.parametrize("act", ["relu", "lrelu", "softplus", "elu", "selu", "tanh"])
def test_third_order_equals_the_references(act: str, native: str, rng: torch.Generator) -> None:
    x, b = sample(rng, 4, 3).requires_grad_(), sample(rng, 3).requires_grad_()
    directions = [sample(rng, 4, 3) for _ in range(2)]
    results = []
    for impl in ("ref", native):
        value = bias_act(x.square() - 1, b, act=act, clamp=1.5, impl=impl).pow(3)
        for direction in directions:
            (value,) = torch.autograd.grad((value * direction).sum(), x, create_graph=True)
        results.append(torch.autograd.grad(value.square().sum(), (x, b)))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed", "slice"])
@pytest.mark.parametrize("act", list(ACTIVATIONS))
def test_native_equals_the_reference_in_float64(
    act: str, layout: str, dtype: torch.dtype, native: str, rng: torch.Generator
) -> None:
    x = arrange(sample(rng, *random_sizes(rng, 2, 9), *random_sizes(rng, 2, 40)).to(dtype), layout).requires_grad_()
    b = sample(rng, x.shape[1]).to(dtype).requires_grad_()
    y = bias_act(x, b, act=act, clamp=1.1, impl=native)
    assert y.dtype == dtype
    x64, b64 = (value.detach().double().requires_grad_() for value in (x, b))
    y64 = bias_act(x64, b64, act=act, clamp=1.1, impl="ref")
    # Where y rounds to the clamp or to 0, its slope may be that of the other side.
    certain = ((y64.abs() - 1.1).abs() > 0.02) & (y64.abs() > 1e-3)
    dy = (sample(rng, *y.shape) * certain).to(dtype)
    dx, db = torch.autograd.grad(y, (x, b), dy)
    dx64, db64 = torch.autograd.grad(y64, (x64, b64), dy.double())
    tolerance = TOLERANCES[dtype]
    for ours, exact in ((y, y64), (dx, dx64)):
        torch.testing.assert_close(ours.double(), exact, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(db.double(), db64, atol=tolerance * x.numel() ** 0.5, rtol=tolerance)


def arrange(x: Tensor, layout: str) -> Tensor:
    if layout == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "transposed":
        return x.transpose(2, 3)
    return x[:, :, ::2] if layout == "slice" else x


def test_any_rank_and_any_dimension_of_the_bias(native: str, rng: torch.Generator) -> None:
    for rank in range(1, 7):
        x = sample(rng, *random_sizes(rng, rank, 5)).requires_grad_()
        for dim in range(-rank, rank):
            b = sample(rng, x.shape[dim]).requires_grad_()
            results = []
            for impl in ("ref", native):
                y = bias_act(x, b, dim=dim, act="lrelu", impl=impl)
                results.append((y, *torch.autograd.grad(y.square().sum(), (x, b))))
            torch.testing.assert_close(*results)


@pytest.mark.parametrize("act", ["linear", "lrelu", "swish"])
def test_long_rows_cross_every_block_and_tail(act: str, native: str, rng: torch.Generator) -> None:
    for shape in ((1, 3, 40_001), (40_001, 3), (2, 20_011), (70_003,)):
        x = sample(rng, *shape).float().requires_grad_()
        b = sample(rng, shape[-1]).float().requires_grad_()
        results = []
        for impl in ("ref", native):
            y = bias_act(x, b, dim=-1, act=act, impl=impl)
            results.append((y, *torch.autograd.grad(y.square().sum(), (x, b))))
        torch.testing.assert_close(*results, atol=1e-3, rtol=1e-4)


def test_alpha_is_the_slope_of_the_leaky_side(impl: str) -> None:
    assert bias_act(torch.tensor([[-2.0]]), act="lrelu", alpha=0.5, gain=1, impl=impl).item() == -1.0


def test_falling_activations_have_their_own_slopes(impl: str, rng: torch.Generator) -> None:
    x = sample(rng, 5, 3).requires_grad_()
    for options in ({"alpha": -0.5}, {"gain": -2.0}, {"gain": 0.0}):
        assert torch.autograd.gradcheck(lambda x, o=options: bias_act(x, act="lrelu", impl=impl, **o), x)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (2, 3, 0, 4), (0, 3, 4, 4)])
def test_empty_in_empty_out(shape: tuple[int, ...], impl: str) -> None:
    x, b = torch.ones(shape, requires_grad=True), torch.ones(shape[1], requires_grad=True)
    y = bias_act(x, b, act="lrelu", impl=impl)
    assert y.shape == shape
    _, db = torch.autograd.grad(y.sum(), (x, b))
    assert torch.equal(db, torch.zeros(shape[1]))


def test_channels_last_stays(impl: str) -> None:
    x = torch.randn(2, 8, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = bias_act(x, torch.ones(8), act="lrelu", impl=impl)
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in (y, dx))


def test_input_is_not_changed_and_nothing_to_do_copies_nothing(impl: str, rng: torch.Generator) -> None:
    x = sample(rng, 2, 3)
    before = x.clone()
    bias_act(x, sample(rng, 3), act="lrelu", impl=impl)
    assert torch.equal(x, before)
    assert bias_act(x, impl=impl) is x


def test_only_the_output_is_kept_for_the_gradient(native: str) -> None:
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        y = bias_act(x, torch.ones(3, requires_grad=True), act="lrelu", impl=native)
    assert [tensor.data_ptr() for tensor in kept] == [y.data_ptr()]


def test_autocast_brings_the_bias_to_the_inputs_dtype(impl: str) -> None:
    x, b = torch.randn(2, 3).bfloat16(), torch.ones(3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = bias_act(x, b, act="lrelu", impl=impl)
    assert y.dtype == torch.bfloat16
    (db,) = torch.autograd.grad(y.sum(), b)
    assert db.dtype == torch.float32


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "act is 'gelu'", {"act": "gelu"}),
        (ValueError, "act is None", {"act": None}),
        (ValueError, r"b has shape \[4\]; expected \[3\]", {"b": torch.ones(4)}),
        (ValueError, r"b has shape \[1, 3\]; expected \[3\]", {"b": torch.ones(1, 3)}),
        (ValueError, "dim is 2", {"dim": 2, "b": torch.ones(3)}),
        (TypeError, "dim is float", {"dim": 1.0, "b": torch.ones(3)}),
        (ValueError, "clamp is -1", {"clamp": -1}),
        (ValueError, "clamp is nan", {"clamp": math.nan}),
        (ValueError, "gain is inf", {"gain": math.inf}),
        (ValueError, "alpha is nan", {"alpha": math.nan}),
        (TypeError, "gain is str", {"gain": "2"}),
        (TypeError, "gain is torch.float32 on cpu", {"gain": torch.tensor(2.0)}),
        (TypeError, "clamp is bool", {"clamp": True}),
        (TypeError, "b is torch.float64", {"b": torch.ones(3, dtype=torch.float64)}),
        (TypeError, "b is torch.float32 on meta", {"b": torch.ones(3, device="meta")}),
        (TypeError, "b is list", {"b": [1.0, 1.0, 1.0]}),
        (TypeError, "x is list", {"x": [1.0]}),
        (TypeError, "x is torch.int64", {"x": torch.ones(2, 3, dtype=torch.int64)}),
        (TypeError, "x is torch.bool", {"x": torch.ones(2, 3, dtype=torch.bool)}),
        (TypeError, "x is torch.complex64", {"x": torch.ones(2, 3, dtype=torch.complex64)}),
        (ValueError, "impl is 'cuda'", {"impl": "cuda"}),
    ],
)
def test_bad_arguments_are_named(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    with pytest.raises(error, match=rf"bias_act: {message}"):
        bias_act(**({"x": torch.ones(2, 3)} | options))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_nothing_flows_through_the_clamp_even_where_the_dtype_cannot_hold_it(dtype: torch.dtype, impl: str) -> None:
    x = torch.tensor([[-9.0, 2.0, 5.0, 0.1]], dtype=dtype, requires_grad=True)  # 0.8 is no number of these types
    (slope,) = torch.autograd.grad(bias_act(x, act="lrelu", clamp=0.8, impl=impl).sum(), x)
    assert slope[0, :3].tolist() == [0.0, 0.0, 0.0]
    assert slope[0, 3] > 1
