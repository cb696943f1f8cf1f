"""Power spectra against closed forms: white noise, a wave, a constant."""

import numpy as np
import pytest

from ganaug.evaluate.appearance.power import FLOOR, decibels, hann, plane_power, radial_mean


def test_white_noise_has_its_variance_at_every_frequency() -> None:
    planes = np.random.default_rng(0).normal(128, 7, size=(400, 32, 32)).astype(np.float32)
    radial = radial_mean(plane_power(planes)).mean(0)
    assert radial.shape == (16,)
    assert radial[1:] == pytest.approx(49, rel=0.1)  # the mean that is taken off lowers the first


@pytest.mark.parametrize("radius", [3, 7, 12])
def test_a_wave_is_a_peak_at_its_radius(radius: int) -> None:
    across = np.arange(32) * np.ones((32, 1))
    for wave in (across, across.T):
        plane = 100 + 10 * np.cos(2 * np.pi * radius * wave / 32)
        radial = radial_mean(plane_power(plane.astype(np.float32)[None]))[0]
        assert int(radial.argmax()) + 1 == radius
        assert radial[radius + 3 :].max(initial=0) < 1e-3 * radial.max()


def test_the_power_of_a_wave_is_that_of_the_window() -> None:
    plane = 10 * np.cos(2 * np.pi * 8 * np.arange(64) / 64) * np.ones((64, 1))
    peak = plane_power(plane.astype(np.float32)[None])[0, 0, 8]
    window = hann(64).astype(np.float64)
    assert peak == pytest.approx((10 / 2 * window.sum()) ** 2 / (window**2).sum(), rel=1e-4)


def test_a_constant_image_has_no_power_but_a_level() -> None:
    power = plane_power(np.full((1, 16, 16), 90, np.float32))
    assert power.max() < 1e-6
    assert decibels(power) == pytest.approx(10 * np.log10(FLOOR))


def test_a_turn_of_the_image_changes_nothing_in_the_radial_mean() -> None:
    planes = np.random.default_rng(1).normal(size=(3, 32, 32)).astype(np.float32)
    np.testing.assert_allclose(
        radial_mean(plane_power(planes)), radial_mean(plane_power(planes.transpose(0, 2, 1))), rtol=1e-4
    )
