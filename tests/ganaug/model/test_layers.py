"""Equalised layers keep unit variance and scale as their parameters."""

import pytest
import torch

from ganaug.model.layers import Conv2d, FullyConnected, normalize_second_moment


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
def test_fully_connected_keeps_unit_variance_for_every_multiplier(lr_multiplier: float) -> None:
    layer = FullyConnected(256, 256, generator=random(), lr_multiplier=lr_multiplier)
    y = layer(torch.randn(512, 256, generator=random(1)))
    assert y.std().item() == pytest.approx(1, abs=0.03)


def test_the_multiplier_scales_what_a_step_of_the_weights_does() -> None:
    x = torch.randn(4, 8, generator=random(1))
    change = []
    for lr_multiplier in (1.0, 0.01):
        layer = FullyConnected(8, 3, generator=random(), lr_multiplier=lr_multiplier)
        before = layer(x)
        with torch.no_grad():
            layer.weight.add_(0.1)
            layer.bias.add_(0.1)
        change.append(layer(x) - before)
    torch.testing.assert_close(change[1], change[0] * 0.01, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("num_in", [4, 64])
def test_convolution_keeps_the_scale_for_every_width(num_in: int) -> None:
    layer = Conv2d(num_in, 256, 3, generator=random())
    y = layer(torch.randn(16, num_in, 10, 10, generator=random(1)))[:, :, 1:-1, 1:-1]
    assert y.std().item() == pytest.approx(1, abs=0.06)


def test_gain_scales_an_activated_convolution() -> None:
    layer = Conv2d(4, 5, 3, generator=random(), activation="lrelu", down=2)
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias.add_(0.3)
    x = torch.randn(2, 4, 8, 8, generator=random(1))
    assert layer(x).shape == (2, 5, 4, 4)
    torch.testing.assert_close(layer(x, gain=0.5), 0.5 * layer(x))


def test_second_moment_is_one() -> None:
    x = normalize_second_moment(7 * torch.randn(5, 16, generator=random()))
    torch.testing.assert_close(x.square().mean(dim=1), torch.ones(5))
