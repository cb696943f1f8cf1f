"""Modulation and demodulation: both forms agree, variance is kept, scales cancel."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from custom_ops import setup_filter
from custom_ops.modulated_conv import Form, modulated_conv2d


def sample(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("flip_weight", [True, False])
def test_both_forms_agree(up: int, demodulate: bool, flip_weight: bool) -> None:
    x, w, s = sample(3, 6, 8, 8), sample(5, 6, 3, 3, seed=1), sample(3, 6, seed=2)
    options: dict[str, Any] = {
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


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("form", ["activations", "weights"])
@pytest.mark.parametrize("up", [1, 2])
def test_half_images_are_convolved_in_half_with_weights_and_styles_of_any_scale(
    half: torch.dtype, form: Form, up: int
) -> None:
    x, w, s = sample(3, 6, 8, 8), 1e3 * sample(5, 6, 3, 3, seed=1), 1e4 * sample(3, 6, seed=2)
    noise, f = sample(3, 1, 8 * up, 8 * up, seed=3), setup_filter([1, 3, 3, 1])
    exact = modulated_conv2d(x.to(half).float(), w, s, noise, up=up, padding=1, resample_filter=f)
    y = modulated_conv2d(x.to(half), w, s, noise, up=up, padding=1, resample_filter=f, form=form)
    assert y.dtype == half
    assert (y.float() - exact).norm() < 4 * torch.finfo(half).eps * exact.norm()


def test_gradients_in_half_are_those_of_float32() -> None:
    gradients = []
    for dtype in (torch.bfloat16, torch.float32):
        inputs = [sample(3, 6, 8, 8), sample(5, 6, 3, 3, seed=1), 1 + sample(3, 6, seed=2)]
        x, w, s = (value.requires_grad_() for value in inputs)
        y = modulated_conv2d(x.to(dtype), w, s, padding=1).float()
        gradients.append(torch.autograd.grad((y * sample(*y.shape, seed=4)).sum(), (x, w, s)))
    assert [len(each) for each in gradients] == [3, 3]
    for half, exact in zip(*gradients, strict=True):
        assert (half - exact).norm() < 0.02 * exact.norm()


def test_dead_channels_and_styles_give_no_nan_in_half() -> None:
    x, w, s = sample(2, 4, 5, 5).bfloat16(), sample(3, 4, 3, 3, seed=1), sample(2, 4, seed=2)
    w[0], s[1] = 0, 0
    y = modulated_conv2d(x, w, s, padding=1)
    assert (y[:, 0] == 0).all()
    assert (y[1] == 0).all()


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (TypeError, "x is list; expected a tensor", {"x": [1.0]}),
        (TypeError, "styles is torch.int64 on cpu; expected a tensor", {"styles": torch.ones(2, 4, dtype=torch.long)}),
        (ValueError, r"styles \[4, 2\]; expected", {"styles": torch.ones(4, 2)}),
        (ValueError, r"weight \[3, 5, 3, 3\]", {"weight": torch.ones(3, 5, 3, 3)}),
        (ValueError, r"noise has shape \[2, 3, 5, 5\]; expected", {"noise": torch.ones(2, 3, 5, 5)}),
        (ValueError, "form is 'fast'; expected", {"form": "fast"}),
        (ValueError, "up is 0; expected", {"up": 0}),
    ],
)
def test_bad_arguments_are_named(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    arguments = {"x": sample(2, 4, 5, 5), "weight": sample(3, 4, 3, 3), "styles": sample(2, 4), **options}
    with pytest.raises(error, match=f"modulated_conv2d: .*{message}"):
        modulated_conv2d(**arguments)
