"""conv3x3 against PyTorch's convolution, which computes the plain sums."""

from functools import partial
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from custom_ops import conv2d_resample, setup_filter
from custom_ops.conv3x3 import FEWEST_CHANNELS, FEWEST_TILES, Scheme, conv2d, suits_winograd

pytestmark = pytest.mark.usefixtures("native")
SHAPES = [  # images, channels in and out, height and width of the smaller side
    (2, 5, 6, 7, 9),
    (1, 1, 1, 1, 1),
    (3, 17, 33, 16, 16),
    (2, 40, 70, 2, 3),
    (1, 257, 16, 4, 4),
    (2, 4, 8, 130, 3),
    (1, 3, 49, 5, 260),
    (16, 64, 50, 8, 8),
]
STRIDE = pytest.mark.parametrize("stride", [1, 2])
TRANSPOSED = pytest.mark.parametrize("transposed", [False, True])


def conv3x3(x: Tensor, w: Tensor, stride: int = 1, transposed: bool = False) -> Tensor:
    y: Tensor = torch.ops.ganaug.conv3x3(x, w, stride, transposed)
    return y


def conv3x3_weight(x: Tensor, dy: Tensor, stride: int = 1) -> Tensor:
    dw: Tensor = torch.ops.ganaug.conv3x3_weight(x, dy, stride)
    return dw


def plain(x: Tensor, w: Tensor, stride: int = 1, transposed: bool = False) -> Tensor:
    return (F.conv_transpose2d if transposed else F.conv2d)(x, w, stride=stride, padding=2 - stride)


def operands(
    rng: torch.Generator, shape: tuple[int, ...], stride: int = 1, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """x, w and a gradient of the result."""
    images, num_in, num_out, height, width = shape
    x_sides = [height, width] if stride == 1 else [2 * height + 1, 2 * width + 1]
    sizes = ([images, num_in, *x_sides], [num_out, num_in, 3, 3], [images, num_out, height, width])
    x, w, dy = (torch.randn(size, generator=rng, dtype=dtype) for size in sizes)
    return x, w, dy


@STRIDE
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_result_and_gradients_are_those_of_the_plain_sum(
    shape: tuple[int, ...], stride: int, rng: torch.Generator
) -> None:
    x, w, dy = operands(rng, shape, stride)
    strides, padding = [stride, stride], [2 - stride, 2 - stride]
    dx, dw, _ = torch.ops.aten.convolution_backward(
        dy, x, w, None, strides, padding, [1, 1], False, [0, 0], 1, [True, True, False]
    )
    torch.testing.assert_close(conv3x3(x, w, stride), plain(x, w, stride), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(conv3x3(dy, w, stride, transposed=True), dx, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(conv3x3_weight(x, dy, stride), dw, rtol=1e-11, atol=1e-11)


@STRIDE
def test_float32_errs_by_less_than_a_millionth(stride: int, rng: torch.Generator) -> None:
    """Of what it computes, on average over 128 channels; with the points of Lavin and Gray it would be more."""
    x, w, dy = (value.float() for value in operands(rng, (4, 128, 128, 16, 16), stride))
    for operator, a, b in (
        (partial(conv3x3, stride=stride), x, w),
        (partial(conv3x3, stride=stride, transposed=True), dy, w),
        (partial(conv3x3_weight, stride=stride), x, dy),
    ):
        exact = operator(a.double(), b.double())
        assert (operator(a, b) - exact).abs().mean() < 1e-6 * exact.std()


@STRIDE
@TRANSPOSED
def test_derivatives_of_both_orders(stride: int, transposed: bool, rng: torch.Generator) -> None:
    x, w, dy = (value.requires_grad_() for value in operands(rng, (2, 3, 2, 3, 5), stride))
    call = partial(conv3x3, stride=stride, transposed=transposed)
    image = dy if transposed else x
    assert torch.autograd.gradcheck(call, (image, w))
    assert torch.autograd.gradgradcheck(call, (image, w))
    weight = partial(conv3x3_weight, stride=stride)
    assert torch.autograd.gradcheck(weight, (x, dy))
    assert torch.autograd.gradgradcheck(weight, (x, dy))


def test_a_factor_is_kept_only_for_the_others_gradient(rng: torch.Generator) -> None:
    x, w, _ = operands(rng, (1, 3, 2, 4, 4))
    kept: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        kept.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        conv3x3(x.requires_grad_(), w)
        assert [value.shape for value in kept] == [w.shape]
        kept.clear()
        conv3x3(x.detach(), w.requires_grad_())
    assert [value.shape for value in kept] == [x.shape]


@STRIDE
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_number_of_threads_changes_no_bit(shape: tuple[int, ...], stride: int, rng: torch.Generator) -> None:
    x, w, dy = operands(rng, shape, stride, torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            both = [conv3x3(x, w, stride), conv3x3(dy, w, stride, transposed=True)]
            results.append([*both, conv3x3_weight(x, dy, stride)])
    finally:
        torch.set_num_threads(before)
    assert [len(result) for result in results] == [3, 3]
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@STRIDE
@TRANSPOSED
def test_an_image_does_not_depend_on_those_beside_it(stride: int, transposed: bool, rng: torch.Generator) -> None:
    x, w, dy = operands(rng, (5, 20, 24, 6, 9), stride, torch.float32)
    image = dy if transposed else x
    alone = conv3x3(image[3:4], w, stride, transposed)
    assert torch.equal(conv3x3(image, w, stride, transposed)[3:4], alone)


def test_the_batch_does_not_decide_what_runs() -> None:
    w = torch.zeros(64, 64, 3, 3)
    for side in (4, 8):
        answers = {suits_winograd(torch.zeros(images, 64, side, side), w, "same", 1) for images in (1, 100)}
        assert answers == {side == 8}


def test_any_strides(rng: torch.Generator) -> None:
    x, w, dy = operands(rng, (2, 16, 24, 6, 8))
    last = x.contiguous(memory_format=torch.channels_last)
    for view in (x.transpose(2, 3), last, x[:, :, ::2], x[:1].expand(3, -1, -1, -1)):
        torch.testing.assert_close(conv3x3(view, w), plain(view, w))
    torch.testing.assert_close(conv3x3(dy, w.flip(2), 1, transposed=True), plain(dy, w.flip(2), 1, transposed=True))
    transposed = conv3x3_weight(x.transpose(2, 3), dy.transpose(2, 3))
    torch.testing.assert_close(transposed, conv3x3_weight(x, dy).transpose(2, 3))


def test_nothing_in_gives_nothing_or_zeros() -> None:
    assert conv3x3(torch.ones(0, 3, 4, 4), torch.ones(2, 3, 3, 3)).shape == (0, 2, 4, 4)
    assert torch.equal(conv3x3(torch.ones(1, 0, 4, 4), torch.ones(2, 0, 3, 3)), torch.zeros(1, 2, 4, 4))
    dw = conv3x3_weight(torch.ones(0, 3, 4, 4), torch.ones(0, 2, 4, 4))
    assert torch.equal(dw, torch.zeros(2, 3, 3, 3))


def test_infinities_stay_in_their_tiles(rng: torch.Generator) -> None:
    x, w, _ = operands(rng, (1, 4, 4, 12, 12))
    x[0, 0, 0, 0] = torch.inf
    y = conv3x3(x, w)
    assert not y[:, :, :2, :2].isfinite().any()
    torch.testing.assert_close(y[:, :, 4:, 4:], plain(x, w)[:, :, 4:, 4:])


@STRIDE
def test_vmap_equals_one_by_one(stride: int, rng: torch.Generator) -> None:
    x, w, dy = operands(rng, (2, 3, 2, 5, 6), stride)
    xs, ws, dys = (torch.stack([value, 2 * value, value - 1]) for value in (x, w, dy))
    forward, weight = partial(conv3x3, stride=stride), partial(conv3x3_weight, stride=stride)
    cases: tuple[tuple[Any, tuple[Tensor, Tensor], tuple[int | None, int | None]], ...] = (
        (forward, (xs, w), (0, None)),
        (forward, (x, ws), (None, 0)),
        (forward, (xs, ws), (0, 0)),
        (weight, (xs, dy), (0, None)),
        (weight, (xs, dys), (0, 0)),
    )
    for operator, values, dims in cases:
        rows = [[value if dim is None else value[i] for value, dim in zip(values, dims, strict=True)] for i in range(3)]
        together = torch.vmap(operator, in_dims=dims)(*values)
        torch.testing.assert_close(together, torch.stack([operator(*row) for row in rows]))


def resample(x: Tensor, w: Tensor, f: Tensor) -> Tensor:
    """Each of the three schemes."""
    x = conv2d_resample(x, w, f, up=2, padding=1)
    return conv2d_resample(conv2d_resample(x, w, padding=1), w, f, down=2, padding=1)


def penalty(x: Tensor, w: Tensor, f: Tensor) -> Tensor:
    value: Tensor = torch.func.grad(lambda x: resample(x, w, f).square().sum())(x).square().sum()
    return value


def test_a_penalty_on_the_gradient_compiles(rng: torch.Generator) -> None:
    x, w, _ = operands(rng, (2, 64, 64, 16, 16))
    f = setup_filter([1, 3, 3, 1])
    results = []
    for function in (penalty, torch.compile(penalty, fullgraph=True, backend="aot_eager")):
        value = function(x.requires_grad_(), w.requires_grad_(), f)
        results.append((value, *torch.autograd.grad(value, (x, w))))
    torch.testing.assert_close(*results)


def test_networks_call_it(rng: torch.Generator) -> None:
    x, w, _ = operands(rng, (2, 64, 64, 16, 16))
    f, operator = setup_filter([1, 3, 3, 1]), torch.ops.ganaug.conv3x3
    with mock.patch.object(torch.ops.ganaug, "conv3x3", side_effect=operator) as called:
        fast = resample(x, w, f)
    assert [call.args[2:] for call in called.call_args_list] == [(2, True), (1, False), (2, False)]
    with mock.patch("custom_ops.conv3x3.suits_winograd", return_value=False):
        torch.testing.assert_close(fast, resample(x, w, f))


@pytest.mark.parametrize(
    ("message", "x", "w", "stride"),
    [
        ("x and w have 3 and 4 dimensions; expected 4", torch.ones(3, 4, 4), torch.ones(2, 3, 3, 3), 1),
        (r"w \[2, 3, 5, 5\]; expected a 3×3 filter", torch.ones(1, 3, 4, 4), torch.ones(2, 3, 5, 5), 1),
        ("expected a 3×3 filter of x's channels", torch.ones(1, 4, 4, 4), torch.ones(2, 3, 3, 3), 1),
        ("x is Half; expected float32 or float64", torch.ones(1, 3, 4, 4).half(), torch.ones(2, 3, 3, 3), 1),
        ("w is Double; expected Float as x", torch.ones(1, 3, 4, 4), torch.ones(2, 3, 3, 3).double(), 1),
        ("stride is 3; expected 1 or 2", torch.ones(1, 3, 4, 4), torch.ones(2, 3, 3, 3), 3),
        ("a side of x is 4; expected an odd number", torch.ones(1, 3, 5, 4), torch.ones(2, 3, 3, 3), 2),
    ],
)
def test_bad_operands_are_named(message: str, x: Tensor, w: Tensor, stride: int) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        conv3x3(x, w, stride)


def test_a_gradient_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dy \[1, 2, 4, 4\]; expected what stride 2 makes of x"):
        conv3x3_weight(torch.ones(1, 3, 7, 7), torch.ones(1, 2, 4, 4), 2)


@pytest.mark.parametrize("scheme", ["same", "down", "up"])
def test_runs_where_it_is_faster_and_nowhere_else(scheme: Scheme, rng: torch.Generator) -> None:
    fewest = FEWEST_CHANNELS[scheme]
    sides = (9, 8 * FEWEST_TILES + 1) if scheme == "down" else (4, 4 * FEWEST_TILES)  # a row of tiles
    x, w = torch.randn(1, fewest, *sides, generator=rng), torch.randn(fewest, fewest, 3, 3, generator=rng)
    assert suits_winograd(x, w, scheme, 1)
    last = x.expand(2, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    refused: dict[str, tuple[Tensor, Tensor, int]] = {
        "few channels in": (x[:, 1:].contiguous(), w[:, 1:], 1),
        "few channels out": (x, w[1:], 1),
        "few tiles": (x[..., :-8].contiguous(), w, 1),
        "groups": (x.repeat(1, 2, 1, 1), w, 2),
        "5×5": (x, torch.zeros(fewest, fewest, 5, 5), 1),
        "channels last": (last, w, 1),
        "a half type": (x.bfloat16(), w.bfloat16(), 1),
    }
    for why, (image, weights, groups) in refused.items():
        assert not suits_winograd(image, weights, scheme, groups), why
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not suits_winograd(x, w, scheme, 1)
    with mock.patch("custom_ops.conv3x3.select", return_value="ref"):
        assert not suits_winograd(x, w, scheme, 1)


def test_other_paddings_and_even_sides_run_as_ever(rng: torch.Generator) -> None:
    x, w, _ = operands(rng, (1, 64, 64, 32, 32))
    for stride, padding in ((1, 0), (1, 2), (2, 0), (2, 1), (3, 1)):
        expected = F.conv2d(x, w, stride=stride, padding=padding)
        assert torch.equal(conv2d(x, w, stride=stride, padding=padding), expected)
