"""Modulation and demodulation: both forms agree, variance is kept, scales cancel."""

import pytest
import torch
import torch.nn.functional as F

from custom_ops import setup_filter
from custom_ops.modulated_conv import modulated_conv2d


def sample(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("flip_weight", [True, False])
def test_both_forms_agree(up: int, demodulate: bool, flip_weight: bool) -> None:
    x, w, s = sample(3, 6, 8, 8), sample(5, 6, 3, 3, seed=1), sample(3, 6, seed=2)
    options = {
        "up": up,
        "padding": 1,
        "resample_filter": setup_filter([1, 3, 3, 1]),
        "demodulate": demodulate,
        "flip_weight": flip_weight,
    }
    noise = sample(3, 1, 8 * up, 8 * up, seed=3)
    shared = modulated_conv2d(x, w, s, noise, form="activations", **options)
    grouped = modulated_conv2d(x, w, s, noise, form="weights", **options)
    torch.testing.assert_close(shared, grouped, atol=1e-5, rtol=1e-5)


def test_each_image_is_convolved_with_its_own_demodulated_weights() -> None:
    x, w, s = sample(2, 4, 5, 5), sample(3, 4, 3, 3, seed=1), sample(2, 4, seed=2)
    ours = modulated_conv2d(x, w, s, padding=1)
    for image in range(2):
        scaled = w * s[image][None, :, None, None]
        unit = scaled / scaled.flatten(1).norm(dim=1)[:, None, None, None]
        torch.testing.assert_close(
            ours[image], F.conv2d(x[image : image + 1], unit, padding=1)[0], atol=1e-5, rtol=1e-5
        )


def test_demodulation_keeps_unit_variance_whatever_the_styles() -> None:
    x, w = sample(64, 32, 12, 12), sample(16, 32, 3, 3, seed=1)
    for scale in (0.01, 1.0, 100.0):
        y = modulated_conv2d(x, w, scale * (1 + sample(64, 32, seed=2)), padding=0)
        assert y.std().item() == pytest.approx(1, abs=0.03)


def test_without_demodulation_styles_scale_the_result() -> None:
    x, w, s = sample(2, 4, 5, 5), sample(3, 4, 1, 1, seed=1), sample(2, 4, seed=2)
    once, twice = (modulated_conv2d(x, w, factor * s, demodulate=False) for factor in (1, 2))
    torch.testing.assert_close(twice, 2 * once)
