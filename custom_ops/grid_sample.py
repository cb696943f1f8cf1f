"""Bilinear sampling of images at given points, differentiable to any order with respect to images and points."""

from typing import Any

import torch
from torch import Tensor

from custom_ops.checks import check_dtype, is_autocast

BILINEAR, ZEROS, ALIGN_CORNERS = 0, 0, False  # as PyTorch's kernels number them


def grid_sample(input: Tensor, grid: Tensor, impl: str | None = None) -> Tensor:
    """Sample images bilinearly; outside of them all is 0.

    input: [N, C, H, W]. grid: [N, h, w, 2], points (x, y); −1 and 1 are the image's edges, not its outermost pixels'
    centres. Both float64, float32, float16 or bfloat16, the same; under autocast both are brought to the wider of their
    dtypes. impl: None and 'native' run PyTorch's kernels, 'ref' gathers pixels, as torch.compile does. All are
    differentiable to any order on every version of PyTorch, whose own `grid_sample` is not. With
    `torch.use_deterministic_algorithms`, the gradient on a GPU needs 'ref'.
    Returns [N, C, h, w]. Raises TypeError or ValueError where the arguments do not fit.
    """
    if impl not in (None, "ref", "native"):
        raise ValueError(f"grid_sample: impl is {impl!r}; expected 'ref', 'native' or None")
    _check(input, grid)
    if is_autocast(input):
        dtype = torch.promote_types(input.dtype, grid.dtype)
        input, grid = input.to(dtype), grid.to(dtype)
    if input.dtype != grid.dtype:
        raise TypeError(f"grid_sample: input is {input.dtype} and grid {grid.dtype}; expected the same")
    # Compiled, an autograd.Function inside of torch.func.grad loses its second derivative (in PyTorch 2.15).
    if impl == "ref" or torch.compiler.is_compiling():
        return _reference(input, grid)
    if input.dtype.itemsize == 2:  # PyTorch's kernels on the CPU place the points in the half type
        return _sample(input.float(), grid.float()).to(input.dtype)
    return _sample(input, grid)


def _reference(x: Tensor, grid: Tensor) -> Tensor:
    """The mean of the four pixels around each point, weighted by nearness."""
    (top_left, top_right, bottom_left, bottom_right), wx, wy = _corners(x, grid)
    top = top_left + (top_right - top_left) * wx
    bottom = bottom_left + (bottom_right - bottom_left) * wx
    return (top + (bottom - top) * wy).to(x.dtype)


def _corners(x: Tensor, grid: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """The four pixels [N, C, h, w] around each point, row by row, and how far [N, 1, h, w] it is from the first."""
    height, width = x.shape[2:]
    exact = torch.promote_types(grid.dtype, torch.float32)  # half types cannot distinguish the pixels of large images
    x, grid = x.to(exact), grid.to(exact)
    px = ((grid[..., 0] + 1) * width - 1) / 2
    py = ((grid[..., 1] + 1) * height - 1) / 2
    left, top = px.detach().floor(), py.detach().floor()
    image = torch.arange(x.shape[0], device=x.device)[:, None, None]
    pixels = []
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long()
        pixels.append((x[image, :, row, column] * inside[..., None]).permute(0, 3, 1, 2))
    return pixels, (px - left)[:, None], (py - top)[:, None]


class _Sample(torch.autograd.Function):
    """Sampling, linear in the image: its adjoint spreads what each point got over the pixels it came from."""

    @staticmethod
    def forward(x: Tensor, grid: Tensor) -> Tensor:
        return torch.grid_sampler_2d(x, grid, BILINEAR, ZEROS, ALIGN_CORNERS)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, grid = ctx.saved_tensors
        dx: Tensor | None = _Spread.apply(dy, grid, x) if ctx.needs_input_grad[0] else None
        return dx, _slope(x, dy, grid) if ctx.needs_input_grad[1] else None


def _sample(x: Tensor, grid: Tensor) -> Tensor:
    y: Tensor = _Sample.apply(x, grid)
    return y


class _Spread(torch.autograd.Function):
    """The adjoint of sampling an image like `x`, whose pixels do not matter."""

    @staticmethod
    def forward(dy: Tensor, grid: Tensor, x: Tensor) -> Tensor:
        return _backward(dy, x, grid, [True, False])[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, ddx: Tensor) -> tuple[Tensor | None, ...]:
        dy, grid = ctx.saved_tensors
        ddy = _sample(ddx, grid) if ctx.needs_input_grad[0] else None
        return ddy, _slope(ddx, dy, grid) if ctx.needs_input_grad[1] else None, None


def _slope(x: Tensor, dy: Tensor, grid: Tensor) -> Tensor:
    """The gradient [N, h, w, 2] of ⟨dy, sample(x, grid)⟩ with respect to the points."""
    if not torch.is_grad_enabled():
        return _backward(dy, x, grid, [False, True])[1]
    (top_left, top_right, bottom_left, bottom_right), wx, wy = _corners(x, grid)
    top, bottom = top_right - top_left, bottom_right - bottom_left
    left, right = bottom_left - top_left, bottom_right - top_right
    height, width = x.shape[2:]
    along_x = (dy * (top + (bottom - top) * wy)).sum(dim=1) * (width / 2)
    along_y = (dy * (left + (right - left) * wx)).sum(dim=1) * (height / 2)
    return torch.stack([along_x, along_y], dim=-1).to(grid.dtype)


def _backward(dy: Tensor, x: Tensor, grid: Tensor, wanted: list[bool]) -> tuple[Tensor, Tensor]:
    arguments = dy, x, grid, BILINEAR, ZEROS, ALIGN_CORNERS, wanted
    grads: tuple[Tensor, Tensor] = torch.ops.aten.grid_sampler_2d_backward(*arguments)
    return grads


def _check(x: Tensor, grid: Tensor) -> None:
    check_dtype("grid_sample: input", x)
    check_dtype("grid_sample: grid", grid)
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ValueError(f"grid_sample: input has shape {list(x.shape)}; expected [N, C, H, W] with pixels")
    if grid.ndim != 4 or grid.shape[0] != x.shape[0] or grid.shape[3] != 2:
        raise ValueError(f"grid_sample: grid has shape {list(grid.shape)}; expected [{x.shape[0]}, h, w, 2]")
    if grid.device != x.device:
        raise TypeError(f"grid_sample: grid is on {grid.device}; expected {x.device}, as input")
