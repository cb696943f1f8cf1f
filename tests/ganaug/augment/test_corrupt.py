"""Bands part the frequencies and sum to nothing changed; noise and holes are as large and as frequent as specified."""

import math

import pytest
import torch
import torch.nn.functional as F

from ganaug.augment.corrupt import (
    NUM_BANDS,
    OCTAVE,
    POWER,
    apply_gains,
    apply_hole,
    draw_gains,
    draw_hole,
    draw_noise,
    octave_bands,
)
from ganaug.augment.dice import Dice
from ganaug.augment.spec import SPECS

SPEC = SPECS["bgcfnc"]


def dice(num: int, p: float) -> Dice:
    return Dice(num, p, torch.Generator().manual_seed(4))


def test_the_octave_filter_is_the_autocorrelation_of_sym2() -> None:
    root = math.sqrt(3)  # sym2 equals Daubechies' wavelet of four taps
    taps = torch.tensor([1 + root, 3 + root, 3 - root, 1 - root], dtype=torch.float64) / (4 * math.sqrt(2))
    autocorrelation = F.conv1d(taps[None, None], taps[None, None], padding=3)[0, 0] / 2
    torch.testing.assert_close(autocorrelation, torch.tensor(OCTAVE, dtype=torch.float64))


def test_bands_sum_to_the_identity_and_pass_their_own_frequencies_most() -> None:
    bands = octave_bands()
    assert torch.equal(bands.sum(0), F.one_hot(torch.tensor(21), 43).float())
    assert torch.equal(bands, bands.flip(1))  # no band moves the image
    response = torch.fft.rfft(bands, n=1024).abs()
    for band, (low, high) in enumerate([(0, 64), (64, 128), (128, 256), (256, 512)]):
        middle = (low + high) // 2
        assert response[:, middle].argmax() == band
        assert response[band, middle] > 0.6


@pytest.mark.parametrize("size", [8, 16, 64])
def test_unit_gains_change_nothing_and_equal_gains_multiply_each_axis(size: int) -> None:
    img = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(apply_gains(img, torch.ones(2, NUM_BANDS)), img)
    torch.testing.assert_close(apply_gains(img, torch.full((2, NUM_BANDS), 1.5)), img * 2.25)


def test_filtering_is_a_convolution_of_the_reflected_image() -> None:
    img = torch.rand(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gains = torch.tensor([[1.0, 0.5, 2.0, 0.1]])
    taps = (gains.double() @ octave_bands().double())[0]
    padded = F.pad(img, [21] * 4, mode="reflect").reshape(3, 1, 74, 74)
    expected = F.conv2d(padded, taps.outer(taps)[None, None]).reshape(img.shape)
    torch.testing.assert_close(apply_gains(img, gains), expected)


def test_gains_keep_the_expected_power_and_are_1_where_skipped() -> None:
    power = torch.tensor(POWER)
    assert torch.equal(draw_gains(SPEC, dice(5, 0.0)), torch.ones(5, NUM_BANDS))
    gains = draw_gains(SPEC, dice(4000, 0.1))
    changed = [(gains[:, 1:] / gains[:, :1] - 1).abs() > 1e-6]
    alone = changed[0].sum(dim=1) == 1  # one band of the upper three amplified, the others as before
    torch.testing.assert_close(gains[alone].square() @ power, torch.ones(int(alone.sum())))
    assert abs(changed[0].any(dim=1).float().mean() - (1 - 0.9**4)) < 0.03  # four times a probability of 0.1


def test_noise_is_half_normal_in_strength_and_as_frequent_as_p() -> None:
    noise = draw_noise(SPEC, dice(2000, 0.4), 16)
    std = noise.flatten(1).std(dim=1)
    happened = std > 0
    assert abs(happened.float().mean() - 0.4) < 0.045
    assert abs(std[happened].square().mean().sqrt() - 0.1) < 0.01
    assert abs(noise.mean()) < 1e-3


def test_a_hole_is_a_grey_square_around_its_centre() -> None:
    img = torch.ones(3, 3, 16, 16)
    hole = torch.tensor([[0.5, 0.25, 0.5], [0.0, 1.0, 0.5], [0.5, 0.5, 0.0]])
    cut = apply_hole(img, hole)
    expected = img.clone()
    expected[0, :, 0:8, 4:12] = 0
    expected[1, :, 12:, :4] = 0
    assert torch.equal(cut, expected)


def test_holes_are_as_frequent_as_p() -> None:
    holes = draw_hole(SPEC, dice(4000, 0.3))[:, 2]
    assert set(holes.tolist()) == {0.0, 0.5}
    assert abs((holes > 0).float().mean() - 0.3) < 0.03
