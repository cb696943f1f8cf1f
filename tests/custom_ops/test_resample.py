"""conv2d_resample against the definition: enlarge, convolve, shrink, each on its own."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from custom_ops import conv2d_resample, downsample2d, setup_filter, upfirdn2d
from custom_ops.upfirdn2d import pads_for_upsampling


def sample(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("flip_weight", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("up", [2, 4])
def test_upsampling_equals_enlarging_then_convolving(up: int, kernel: int, groups: int, flip_weight: bool) -> None:
    x, w = sample(2, 4, 6, 7), sample(6, 4 // groups, kernel, kernel, seed=1)
    f = setup_filter([1, 3, 3, 1])
    pads = pads_for_upsampling(f, (up, up), (kernel // 2,) * 4)
    enlarged = upfirdn2d(x, f, up=up, padding=pads, gain=up**2)
    expected = F.conv2d(enlarged, w if flip_weight else w.flip([2, 3]), groups=groups)
    ours = conv2d_resample(x, w, f, up=up, padding=kernel // 2, groups=groups, flip_weight=flip_weight)
    assert ours.shape == (2, 6, 6 * up, 7 * up)
    torch.testing.assert_close(ours, expected)


def test_downsampling_equals_convolving_filtered_images_with_stride() -> None:
    x, w, f = sample(2, 4, 8, 8), sample(6, 4, 3, 3, seed=1), setup_filter([1, 3, 3, 1])
    filtered = upfirdn2d(x, f, padding=2)  # 3×3 asks for 1, centring the filter for 1 more
    torch.testing.assert_close(conv2d_resample(x, w, f, down=2, padding=1), F.conv2d(filtered, w)[:, :, ::2, ::2])


def test_pointwise_convolution_commutes_with_shrinking() -> None:
    x, w, f = sample(2, 4, 8, 8), sample(6, 4, 1, 1, seed=1), setup_filter([1, 3, 3, 1])
    torch.testing.assert_close(conv2d_resample(x, w, f, down=2), downsample2d(F.conv2d(x, w), f))


def test_without_resampling_it_is_a_convolution() -> None:
    x, w = sample(2, 4, 8, 8), sample(6, 4, 3, 3, seed=1)
    torch.testing.assert_close(conv2d_resample(x, w, padding=1), F.conv2d(x, w, padding=1))


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "up is 2 and down 2; expected", {"up": 2, "down": 2}),
        (ValueError, "up is 0; expected a whole number from 1 up", {"up": 0}),
        (TypeError, "down is float; expected a whole number", {"down": 2.0}),
        (TypeError, "padding is str; expected a whole number", {"padding": "same"}),
        (ValueError, r"x has shape \[2, 4, 8, 8\], w \[6, 4, 3, 3\] in 2 groups; expected", {"groups": 2}),
        (TypeError, "x is NoneType; expected a tensor", {"x": None}),
        (TypeError, "w is torch.float32 on cpu; expected a tensor like x", {"w": torch.zeros(6, 4, 3, 3)}),
        (ValueError, "in 1 groups; expected", {"x": torch.zeros(4, 8, 8, dtype=torch.float64)}),
    ],
)
def test_bad_arguments_are_named(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    with pytest.raises(error, match=f"conv2d_resample: .*{message}"):
        conv2d_resample(**{"x": sample(2, 4, 8, 8), "w": sample(6, 4, 3, 3), **options})
