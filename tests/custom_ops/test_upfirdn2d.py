"""upfirdn2d against a literal construction and SciPy, its adjoint, its derivatives, and its refusals."""

import numpy as np
import pytest
import scipy.signal
import torch

from custom_ops import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d


def literal(x: np.ndarray, f: np.ndarray, up, down, pads, flip: bool, gain: float) -> np.ndarray:
    """The definition word for word: insert zeros, pad or crop, convolve, decimate."""
    num, channels, height, width = x.shape
    wide = np.zeros((num, channels, height * up[1], width * up[0]))
    wide[:, :, :: up[1], :: up[0]] = x
    left, right, top, bottom = pads
    wide = np.pad(wide, ((0, 0), (0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))))
    wide = wide[:, :, max(-top, 0) : wide.shape[2] - max(-bottom, 0), max(-left, 0) : wide.shape[3] - max(-right, 0)]
    kernel = f[::-1, ::-1] if flip else f
    full = np.stack([[scipy.signal.convolve2d(plane, kernel, mode="valid") for plane in image] for image in wide])
    return full[:, :, :: down[1], :: down[0]] * gain


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


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("up", "down", "pads", "taps"), CASES)
def test_equals_the_literal_definition(up, down, pads, taps, flip: bool) -> None:
    rng = np.random.default_rng([*up, *down, *taps])
    x, f = rng.normal(size=(2, 3, 7, 9)), rng.normal(size=taps)
    ours = upfirdn2d(torch.from_numpy(x), torch.from_numpy(f), up, down, pads, flip_filter=flip, gain=1.7)
    np.testing.assert_allclose(ours.numpy(), literal(x, f, up, down, pads, flip, 1.7), atol=1e-12)


def test_one_row_equals_scipys_upfirdn() -> None:
    rng = np.random.default_rng(0)
    signal, taps = rng.normal(size=20), rng.normal(size=7)
    expected = scipy.signal.upfirdn(taps, signal, up=3, down=2)
    x = torch.from_numpy(signal)[None, None, None]
    ours = upfirdn2d(x, torch.from_numpy(taps)[None], up=[3, 1], down=[2, 1], padding=[6, 6 - 2, 0, 0])
    np.testing.assert_allclose(ours[0, 0, 0].numpy(), expected, atol=1e-12)


def test_separable_filter_equals_its_outer_product() -> None:
    x = torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    taps = torch.tensor([1.0, 2, 5, 3, 4, 1, 0.5, 2], dtype=torch.float64)
    options = {"up": [2, 1], "down": [1, 3], "padding": [3, 4, 2, 5], "gain": 2.5}
    torch.testing.assert_close(upfirdn2d(x, taps, **options), upfirdn2d(x, taps.outer(taps), **options))


@pytest.mark.parametrize(("up", "down", "pads", "taps"), CASES)
def test_derivatives_of_first_and_second_order(up, down, pads, taps) -> None:
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(1, 2, 5, 6, generator=rng, dtype=torch.float64, requires_grad=True)
    f = torch.randn(taps, generator=rng, dtype=torch.float64)

    def squared(x: torch.Tensor) -> torch.Tensor:  # a linear operator alone has no second derivative to check
        return upfirdn2d(x, f, up, down, pads).square()

    assert torch.autograd.gradcheck(squared, x)
    assert torch.autograd.gradgradcheck(squared, x)


@pytest.mark.parametrize(("up", "down", "pads", "taps"), CASES)
def test_backward_is_the_adjoint(up, down, pads, taps) -> None:
    rng = torch.Generator().manual_seed(2)
    x = torch.randn(2, 3, 8, 7, generator=rng, dtype=torch.float64, requires_grad=True)
    f = torch.randn(taps, generator=rng, dtype=torch.float64)
    image = upfirdn2d(x, f, up, down, pads)
    y = torch.randn(image.shape, generator=rng, dtype=torch.float64)
    (adjoint,) = torch.autograd.grad(image, x, y)
    torch.testing.assert_close((image * y).sum(), (x * adjoint).sum())


def test_channels_last_stays_and_gives_the_same_numbers() -> None:
    x = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(3))
    f = setup_filter([1, 3, 3, 1])
    for operator in (upsample2d, downsample2d, filter2d):
        last = operator(x.contiguous(memory_format=torch.channels_last), f)
        assert last.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(last, operator(x, f), atol=1e-6, rtol=1e-5)


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
        (ValueError, r"down is \[2, 2, 2\]", {"down": [2, 2, 2]}),
        (ValueError, r"padding is \[1, 2, 3\]", {"padding": [1, 2, 3]}),
        (ValueError, "at least the filter's 4 taps", {"padding": -3}),
        (ValueError, "shape \\[2, 2, 2\\]", {"f": torch.ones(2, 2, 2)}),
        (TypeError, "f is on list", {"f": [1.0, 2.0]}),
        (TypeError, "torch.int64", {"x": torch.ones(1, 1, 8, 8, dtype=torch.int64)}),
        (ValueError, r"expected \[N, C, H, W\]", {"x": torch.ones(8, 8)}),
        (RuntimeError, "native", {"impl": "native"}),
        (ValueError, "impl is 'cuda'", {"impl": "cuda"}),
    ],
)
def test_bad_arguments_are_named(error: type[Exception], message: str, options: dict) -> None:
    arguments = {"x": torch.ones(1, 1, 8, 8), "f": torch.ones(4, 4)} | options
    with pytest.raises(error, match=message):
        upfirdn2d(**arguments)


@pytest.mark.parametrize(("f", "separable"), [([], None), (torch.ones(2, 2, 2), None), (torch.ones(2, 2), True)])
def test_setup_filter_refuses_what_is_no_filter(f, separable) -> None:
    with pytest.raises(ValueError, match="setup_filter: f has shape"):
        setup_filter(f, separable=separable)
