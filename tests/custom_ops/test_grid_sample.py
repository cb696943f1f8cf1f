"""grid_sample against PyTorch's own, the definition at single points, and derivatives to second order."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from custom_ops.grid_sample import grid_sample

IMPLS = ["ref", "native"]
pytestmark = pytest.mark.parametrize("impl", IMPLS)


def sample(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def points(rng: torch.Generator, *shape: int) -> Tensor:
    """Points inside and outside of the image, none near where two pixels' ranges meet: there is no slope there."""
    grid = 1.3 * (2 * torch.rand(*shape, 2, generator=rng, dtype=torch.float64) - 1)
    sizes = torch.tensor(SIZE[::-1])
    pixel = ((grid + 1) * sizes - 1) / 2
    pixel = pixel.floor() + (pixel - pixel.floor()).clamp(0.01, 0.99)
    return (2 * pixel + 1) / sizes - 1


SIZE = (5, 4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_pytorchs_values_and_gradients(dtype: torch.dtype, impl: str, rng: torch.Generator) -> None:
    x, grid = sample(rng, 2, 3, *SIZE).to(dtype).requires_grad_(), points(rng, 2, 7, 6).to(dtype).requires_grad_()
    ours, theirs = grid_sample(x, grid, impl=impl), F.grid_sample(x, grid, align_corners=False)
    torch.testing.assert_close(ours, theirs)
    dy = sample(rng, *ours.shape).to(dtype)
    gradients = [torch.autograd.grad(y, (x, grid), dy) for y in (ours, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-4 if dtype == torch.float32 else 1e-10, rtol=1e-4)


def test_between_four_pixels_lies_their_mean_and_beyond_the_edge_zero(impl: str) -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    grid = torch.tensor([[[[0.0, 0.0], [-0.5, -0.5], [0.5, 0.0], [-1.0, -0.5], [5.0, 5.0], [-1e20, 0.0]]]])
    torch.testing.assert_close(grid_sample(x, grid, impl=impl).flatten(), torch.tensor([3.0, 1.0, 4.0, 0.5, 0.0, 0.0]))


@pytest.mark.parametrize("wanted", ["image", "points", "both"])
def test_derivatives_of_first_and_second_order(wanted: str, impl: str, rng: torch.Generator) -> None:
    x, grid = sample(rng, 2, 2, *SIZE), points(rng, 2, 2, 3)
    inputs = [x, grid] if wanted == "both" else [x if wanted == "image" else grid]
    for value in inputs:
        value.requires_grad_()

    def squared(*_: Tensor) -> Tensor:
        return grid_sample(x, grid, impl=impl).square()

    assert torch.autograd.gradcheck(squared, inputs)
    assert torch.autograd.gradgradcheck(squared, inputs)


def test_third_order_equals_the_references(impl: str, rng: torch.Generator) -> None:
    x, grid = sample(rng, 1, 2, *SIZE).requires_grad_(), points(rng, 1, 3, 3).requires_grad_()
    results = []
    for path in ("ref", impl):
        value = grid_sample(x, grid, impl=path).pow(3)
        for _ in range(2):
            dx, dgrid = torch.autograd.grad(value.square().sum(), (x, grid), create_graph=True)
            value = dx.mean() * dgrid.tanh() + dx.square().mean()
        results.append(torch.autograd.grad(value.sum(), (x, grid)))
    torch.testing.assert_close(*results)


def test_gradient_of_the_image_alone_gathers_nothing(impl: str, rng: torch.Generator) -> None:
    """The usual case, points that are drawn, runs PyTorch's kernels in every order."""
    x, grid = sample(rng, 2, 2, *SIZE).requires_grad_(), points(rng, 2, 3, 3)
    with torch.profiler.profile() as profile:
        (dx,) = torch.autograd.grad(grid_sample(x, grid, impl=impl).square().sum(), x, create_graph=True)
        torch.autograd.backward(dx.square().sum())
    assert any(event.key == "aten::index" for event in profile.key_averages()) == (impl == "ref")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_round_the_result_alone(dtype: torch.dtype, impl: str, rng: torch.Generator) -> None:
    """In bfloat16, neighbouring points of 600 px lie two pixels apart: it may hold points, not place them."""
    x, grid = sample(rng, 2, 3, 40, 600).to(dtype), points(rng, 2, 7, 6).to(dtype)
    y = grid_sample(x, grid, impl=impl)
    assert y.dtype == dtype
    exact = grid_sample(x.double(), grid.double(), impl="ref")
    torch.testing.assert_close(y.double(), exact, atol=1e-4, rtol=torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_in_half_types_round_the_result_alone(dtype: torch.dtype, impl: str, rng: torch.Generator) -> None:
    x, grid, dy = sample(rng, 2, 3, *SIZE).to(dtype), points(rng, 2, 3, 3).to(dtype), sample(rng, 2, 3, 3, 3).to(dtype)
    gradients = []
    for kind, path in ((dtype, impl), (torch.float64, "ref")):
        inputs = x.to(kind).requires_grad_(), grid.to(kind).requires_grad_()
        gradients.append(torch.autograd.grad(grid_sample(*inputs, impl=path), inputs, dy.to(kind)))
    assert [len(each) for each in gradients] == [2, 2]
    for ours, exact in zip(*gradients, strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), exact, atol=1e-4, rtol=torch.finfo(dtype).eps)


def test_autocast_takes_the_wider_dtype(impl: str, rng: torch.Generator) -> None:
    x, grid = sample(rng, 1, 2, *SIZE).bfloat16().requires_grad_(), points(rng, 1, 3, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        y = grid_sample(x, grid, impl=impl)
    assert y.dtype == torch.float32
    torch.autograd.backward(y.sum())
    assert x.grad is not None


def test_compiles_in_one_piece(impl: str, rng: torch.Generator) -> None:
    x, grid = sample(rng, 1, 2, *SIZE).requires_grad_(), points(rng, 1, 3, 3).requires_grad_()
    results = []
    for function in (grid_sample, torch.compile(grid_sample, fullgraph=True, backend="aot_eager")):
        y = function(x, grid, impl=impl)
        results.append((y, *torch.autograd.grad(y.square().sum(), (x, grid))))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (TypeError, "input is torch.int64", {"input": torch.ones(1, 1, 2, 2, dtype=torch.int64)}),
        (TypeError, "grid is list", {"grid": [[0.0, 0.0]]}),
        (TypeError, "input is torch.float32 and grid torch.float64", {"grid": torch.zeros(1, 1, 1, 2).double()}),
        (TypeError, "grid is on meta", {"grid": torch.zeros(1, 1, 1, 2, device="meta")}),
        (ValueError, r"input has shape \[2, 2\]", {"input": torch.ones(2, 2)}),
        (ValueError, r"input has shape \[1, 1, 0, 2\]", {"input": torch.ones(1, 1, 0, 2)}),
        (ValueError, r"grid has shape \[2, 1, 1, 2\]; expected \[1, h, w, 2\]", {"grid": torch.zeros(2, 1, 1, 2)}),
        (ValueError, r"grid has shape \[1, 1, 1, 3\]", {"grid": torch.zeros(1, 1, 1, 3)}),
    ],
)
def test_bad_arguments_are_named(error: type[Exception], message: str, options: dict[str, Any], impl: str) -> None:
    arguments: dict[str, Any] = {"input": torch.ones(1, 1, 2, 2), "grid": torch.zeros(1, 1, 1, 2), "impl": impl}
    arguments |= options
    with pytest.raises(error, match=f"grid_sample: {message}"):
        grid_sample(**arguments)
    with pytest.raises(ValueError, match="impl is 'cuda'"):
        grid_sample(**(arguments | {"impl": "cuda"}))
