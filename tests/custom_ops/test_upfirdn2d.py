"""upfirdn2d against a literal construction and SciPy, its adjoint, its derivatives, and its refusals."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch
from numpy.typing import NDArray
from torch import Tensor

from custom_ops import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d
from custom_ops.padding import Pads, Pair

Floats = NDArray[np.float64]


def literal(x: Floats, f: Floats, up: Pair, down: Pair, pads: Pads, flip: bool, gain: float) -> Floats:
    """The definition word for word: insert zeros, pad or crop, convolve, decimate."""
    num, channels, height, width = x.shape
    wide = np.zeros((num, channels, height * up[1], width * up[0]))
    wide[:, :, :: up[1], :: up[0]] = x
    left, right, top, bottom = pads
    wide = np.pad(wide, ((0, 0), (0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))))
    wide = wide[:, :, max(-top, 0) : wide.shape[2] - max(-bottom, 0), max(-left, 0) : wide.shape[3] - max(-right, 0)]
    kernel = f[::-1, ::-1] if flip else f
    full = np.stack([[scipy.signal.convolve2d(plane, kernel, mode="valid") for plane in image] for image in wide])
    decimated: Floats = full[:, :, :: down[1], :: down[0]] * gain
    return decimated


CASES = [
    # up, down, padding, filter shape
    ((1, 1), (1, 1), (2, 1, 2, 1), (4, 4)),
    ((2, 2), (1, 1), (2, 1, 2, 1), (4, 4)),
    ((1, 1), (2, 2), (1, 1, 1, 1), (4, 4)),
    ((2, 3), (1, 2), (3, -1, 0, 4), (5, 3)),
    ((1, 2), (3, 1), (-2, 0, 1, -1), (2, 3)),
    ((3, 1), (2, 2), (0, 0, 5, 2), (1, 6)),
    ((2, 2), (1, 1), (0, 0, 0, 0), (1, 1)),
    ((4, 4), (3, 3), (7, 6, 5, 8), (7, 9)),
]


TOLERANCES = {torch.float64: 1e-12, torch.float32: 4e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def sample(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("up", "down", "pads", "taps"), CASES)
def test_equals_the_literal_definition(
    up: Pair, down: Pair, pads: Pads, taps: Pair, flip: bool, impl: str, rng: torch.Generator
) -> None:
    x, f = sample(rng, 2, 3, 7, 9), sample(rng, *taps).float()
    ours = upfirdn2d(x, f, up, down, pads, flip_filter=flip, gain=1.7, impl=impl)
    np.testing.assert_allclose(
        ours.numpy(), literal(x.numpy(), f.double().numpy(), up, down, pads, flip, 1.7), atol=1e-12
    )


def test_one_row_equals_scipys_upfirdn(impl: str, rng: torch.Generator) -> None:
    x, taps = sample(rng, 1, 1, 1, 20), sample(rng, 7).float()
    expected = scipy.signal.upfirdn(taps.double().numpy(), x.flatten().numpy(), up=3, down=2)
    ours = upfirdn2d(x, taps[None], up=[3, 1], down=[2, 1], padding=[6, 6 - 2, 0, 0], impl=impl)
    np.testing.assert_allclose(ours.flatten().numpy(), expected, atol=1e-12)


def test_separable_filter_equals_its_outer_product(impl: str, rng: torch.Generator) -> None:
    x, taps = sample(rng, 2, 3, 12, 10), torch.tensor([1.0, 2, 5, 3, 4, 1, 0.5, 2])
    options: dict[str, Any] = {"up": [2, 1], "down": [1, 3], "padding": [3, 4, 2, 5], "gain": 2.5, "impl": impl}
    torch.testing.assert_close(upfirdn2d(x, taps, **options), upfirdn2d(x, taps.outer(taps), **options))


def random_case(rng: torch.Generator) -> tuple[list[int], dict[str, Any]]:
    """A shape and options at which the padded image holds the filter."""

    def draw(low: int, high: int, num: int) -> list[int]:
        return torch.randint(low, high + 1, (num,), generator=rng).tolist()

    for _ in range(1000):
        (num, channels), (height, width) = draw(1, 4, 2), draw(1, 34, 2)
        up, down, pads, taps = draw(1, 3, 2), draw(1, 3, 2), draw(-3, 6, 4), draw(1, 13, 2)
        if width * up[0] + sum(pads[:2]) >= taps[1] and height * up[1] + sum(pads[2:]) >= taps[0]:
            f = sample(rng, taps[0]).outer(sample(rng, taps[1])) if draw(0, 1, 1) == [1] else sample(rng, *taps)
            options = {"f": f.float(), "up": up, "down": down, "padding": pads, "gain": 0.1 + draw(0, 9, 1)[0]}
            return [num, channels, height, width], options
    pytest.fail("no case was drawn that fits")


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
@pytest.mark.parametrize("dtype", list(TOLERANCES))
def test_native_equals_the_reference_in_float64(
    dtype: torch.dtype, layout: str, native: str, rng: torch.Generator
) -> None:
    for _ in range(25):
        shape, options = random_case(rng)
        check_against_reference(sample(rng, *shape).to(dtype), layout, options, rng)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("size", [(4, 4), (8, 8), (16, 16), (33, 65), (64, 64), (2, 130)])
def test_stylegans_cases_equal_the_reference(
    size: tuple[int, int], dtype: torch.dtype, layout: str, native: str, rng: torch.Generator
) -> None:
    short, long = setup_filter([1, 3, 3, 1]), setup_filter(sample(rng, 12), normalize=False)
    for f, up, down, padding in (
        (short, 2, 1, [2, 1, 2, 1]),
        (short, 1, 2, [1, 1, 1, 1]),
        (short, 1, 1, [1, 1, 1, 1]),
        (short, 1, 1, [2, 2, 2, 2]),
        (long, 2, 1, [6, 5, 6, 5]),
        (long, 1, 2, [5, 6, 5, 6]),
    ):
        options = {"f": f, "up": up, "down": down, "padding": padding, "gain": up * up}
        check_against_reference(sample(rng, 2, 17, *size).to(dtype), layout, options, rng)


def check_against_reference(x: Tensor, layout: str, options: dict[str, Any], rng: torch.Generator) -> None:
    """Values and gradients, within what rounding the result to x's dtype costs."""
    x = {"channels_last": x.contiguous(memory_format=torch.channels_last), "transposed": x.mT}.get(layout, x)
    if layout == "transposed":
        options = options | {"padding": [*options["padding"][2:], *options["padding"][:2]], "f": options["f"].mT}
        options |= {"up": options["up"][::-1], "down": options["down"][::-1]}
    x.requires_grad_()
    exact_x = x.detach().double().requires_grad_()
    y, exact = upfirdn2d(x, **options, impl="native"), upfirdn2d(exact_x, **options, impl="ref")
    assert y.dtype == x.dtype
    dy = sample(rng, *y.shape).to(x.dtype)
    (dx,), (exact_dx,) = torch.autograd.grad(y, x, dy), torch.autograd.grad(exact, exact_x, dy.double())
    for ours, expected in ((y, exact), (dx, exact_dx)):
        size = expected.abs().max().clamp(min=1e-3).item()  # sums cancel: errors go with the largest value
        torch.testing.assert_close(ours.double(), expected, atol=TOLERANCES[x.dtype] * size, rtol=0)


@pytest.mark.parametrize(("up", "down", "pads", "taps"), CASES)
def test_derivatives_of_first_and_second_order(
    up: Pair, down: Pair, pads: Pads, taps: Pair, impl: str, rng: torch.Generator
) -> None:
    x, f = sample(rng, 1, 2, 5, 6).requires_grad_(), sample(rng, *taps).float()

    def squared(x: Tensor) -> Tensor:  # a linear operator alone has no second derivative to check
        return upfirdn2d(x, f, up, down, pads, impl=impl).square()

    assert torch.autograd.gradcheck(squared, x)
    assert torch.autograd.gradgradcheck(squared, x)


def test_separable_filters_have_derivatives_too(impl: str, rng: torch.Generator) -> None:
    x, f = sample(rng, 1, 2, 6, 5).requires_grad_(), sample(rng, 5).float()
    assert torch.autograd.gradgradcheck(lambda x: upfirdn2d(x, f, 2, 3, 4, gain=2, impl=impl).square(), x)


def test_third_order_equals_the_references(native: str, rng: torch.Generator) -> None:
    x, f = sample(rng, 2, 3, 8, 8).requires_grad_(), sample(rng, 4, 3).float()
    results = []
    for impl in ("ref", native):
        value = upfirdn2d(x.square(), f, 2, [1, 3], [2, -1, 1, 0], impl=impl)
        for _ in range(3):
            (value,) = torch.autograd.grad(value.pow(3).sum(), x, create_graph=True)
        results.append(value)
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("up", "down", "pads", "taps"), CASES)
def test_backward_is_the_adjoint(up: Pair, down: Pair, pads: Pads, taps: Pair, impl: str, rng: torch.Generator) -> None:
    x, f = sample(rng, 2, 3, 8, 7).requires_grad_(), sample(rng, *taps).float()
    image = upfirdn2d(x, f, up, down, pads, impl=impl)
    y = sample(rng, *image.shape)
    (adjoint,) = torch.autograd.grad(image, x, y)
    torch.testing.assert_close((image * y).sum(), (x * adjoint).sum())


def test_channels_last_stays_and_gives_the_same_numbers(impl: str, rng: torch.Generator) -> None:
    x, f = sample(rng, 2, 8, 16, 16).float(), setup_filter([1, 3, 3, 1])
    for operator in (upsample2d, downsample2d, filter2d):
        last = operator(x.contiguous(memory_format=torch.channels_last), f, impl=impl)
        assert last.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(last, operator(x, f, impl=impl), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4)])
def test_empty_in_empty_out(shape: tuple[int, ...], impl: str) -> None:
    x = torch.ones(shape, requires_grad=True)
    y = upsample2d(x, setup_filter([1, 3, 3, 1]), impl=impl)
    assert y.shape == (*shape[:2], 8, 8)
    assert torch.autograd.grad(y.sum(), x)[0].shape == shape


def test_nothing_is_kept_for_the_gradient_but_the_filter(native: str) -> None:
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    x = torch.randn(1, 2, 8, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        upsample2d(x, setup_filter([1, 3, 3, 1]), impl=native)
    assert [tensor.shape for tensor in kept] == [(4, 4)]


def test_autocast_leaves_the_dtype(impl: str, rng: torch.Generator) -> None:
    x, f = sample(rng, 1, 2, 8, 8).float().requires_grad_(), setup_filter([1, 3, 3, 1])
    with torch.autocast("cpu", torch.bfloat16):
        y = filter2d(x, f, impl=impl)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, filter2d(x, f, impl=impl))


def test_resampling_keeps_a_constant_image_and_its_size() -> None:
    x, f = torch.full((1, 2, 8, 8), 3.0), setup_filter([1, 3, 3, 1])
    for operator, size in ((upsample2d, 16), (downsample2d, 4), (filter2d, 8)):
        y = operator(x, f)
        assert y.shape == (1, 2, size, size)
        torch.testing.assert_close(y[:, :, 2:-2, 2:-2], torch.full_like(y, 3.0)[:, :, 2:-2, 2:-2])


def test_setup_filter_normalises_and_chooses_the_form_by_length() -> None:
    short, long = setup_filter([1, 3, 3, 1], gain=4), setup_filter(range(1, 13))
    torch.testing.assert_close(short, 4 * torch.tensor([1.0, 3, 3, 1]).outer(torch.tensor([1.0, 3, 3, 1])) / 64)
    assert long.shape == (12,)
    torch.testing.assert_close(long.sum(), torch.tensor(1.0))
    assert setup_filter(None).tolist() == [[1.0]]


def test_no_filter_is_the_identity() -> None:
    x = torch.randn(1, 1, 3, 3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(upfirdn2d(x, None), x)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "up is 0", {"up": 0}),
        (ValueError, "up is 1.5", {"up": 1.5}),
        (ValueError, "up is True", {"up": True}),
        (ValueError, r"down is \[2, 2, 2\]", {"down": [2, 2, 2]}),
        (ValueError, "down is None", {"down": None}),
        (ValueError, r"padding is \[1, 2, 3\]", {"padding": [1, 2, 3]}),
        (ValueError, "padding is '1'", {"padding": "1"}),
        (ValueError, "the width is 2 .* at least f's 4 taps", {"padding": -3}),
        (ValueError, "the height is 3 .* at least f's 4 taps", {"padding": [0, 0, -5, 0]}),
        (ValueError, r"f has shape \[2, 2, 2\]", {"f": torch.ones(2, 2, 2)}),
        (ValueError, r"f has shape \[0, 4\]", {"f": torch.ones(0, 4)}),
        (ValueError, "f requires gradients", {"f": torch.ones(4, 4, requires_grad=True)}),
        (TypeError, "f is list", {"f": [1.0, 2.0]}),
        (TypeError, "f is torch.float64 on cpu; expected a float32", {"f": torch.ones(4, 4, dtype=torch.float64)}),
        (TypeError, "f is on meta", {"f": torch.ones(4, 4, device="meta")}),
        (TypeError, "x is torch.int64", {"x": torch.ones(1, 1, 8, 8, dtype=torch.int64)}),
        (TypeError, "x is torch.bool", {"x": torch.ones(1, 1, 8, 8, dtype=torch.bool)}),
        (TypeError, "x is torch.complex64", {"x": torch.ones(1, 1, 8, 8, dtype=torch.complex64)}),
        (TypeError, "x is ndarray", {"x": np.ones((1, 1, 8, 8))}),
        (ValueError, r"x has shape \[8, 8\]; expected \[N, C, H, W\]", {"x": torch.ones(8, 8)}),
        (ValueError, r"x has shape \[1, 1, 0, 8\]", {"x": torch.ones(1, 1, 0, 8)}),
        (ValueError, "gain is inf", {"gain": math.inf}),
        (TypeError, "gain is torch.float32", {"gain": torch.tensor(1.0)}),
        (ValueError, "impl is 'cuda'", {"impl": "cuda"}),
    ],
)
def test_bad_arguments_are_named(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    arguments = {"x": torch.ones(1, 1, 8, 8), "f": torch.ones(4, 4)} | options
    with pytest.raises(error, match=f"upfirdn2d: {message}"):
        upfirdn2d(**arguments)


@pytest.mark.parametrize("operator", [filter2d, upsample2d, downsample2d])
def test_resampling_refuses_what_is_no_filter(operator: Callable[..., Tensor]) -> None:
    with pytest.raises(TypeError, match="f is list; expected a float32 tensor"):
        operator(torch.ones(1, 1, 8, 8), [1.0, 3.0])


@pytest.mark.parametrize(("f", "separable"), [([], None), (torch.ones(2, 2, 2), None), (torch.ones(2, 2), True)])
def test_setup_filter_refuses_what_is_no_filter(f: Any, separable: bool | None) -> None:
    with pytest.raises(ValueError, match="setup_filter: f has shape"):
        setup_filter(f, separable=separable)


def test_setup_filter_refuses_to_normalise_taps_that_sum_to_zero() -> None:
    with pytest.raises(ValueError, match="setup_filter: the taps sum to 0"):
        setup_filter([1.0, -1.0])
    assert setup_filter([1.0, -1.0], normalize=False).tolist() == [[1.0, -1.0], [-1.0, 1.0]]
