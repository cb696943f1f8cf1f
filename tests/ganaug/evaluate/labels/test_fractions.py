"""Fractions of images: peers, closed forms, intervals that keep a width, and their coverage."""

import numpy as np
import pytest
from scipy.stats import binomtest

from ganaug.evaluate.labels.fractions import Fraction, gap_at_least, mean_of, of_independent, of_patients


def test_images_of_their_own_patients_have_the_exact_binomial_interval() -> None:
    hits = np.arange(40) < 31
    each = np.array([f"p{number}" for number in range(40)])
    peer = binomtest(31, 40).proportion_ci(0.95, method="exact")
    found = of_patients(hits, each)
    assert found.value == 31 / 40
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), abs=0.004)  # n / (n - 1) in its variance


def test_a_perfect_fraction_has_a_width_that_shrinks_with_patients_not_with_their_images() -> None:
    lows = []
    for patients, images in ((4, 10), (4, 100), (20, 10)):
        fraction = of_patients(np.ones(patients * images, np.bool_), np.repeat(np.arange(patients), images).astype(str))
        assert fraction.value == fraction.high == 1
        lows.append(fraction.low)
    assert lows[0] == lows[1] == pytest.approx(0.025 ** (1 / 4))  # Clopper-Pearson of 4 of 4
    assert lows[2] == pytest.approx(0.025 ** (1 / 20))
    assert of_independent(np.ones(100, np.bool_)).low < 1
    assert of_patients(np.zeros(9, np.bool_), np.full(9, "p")).high == pytest.approx(0.975)


def test_repeated_images_of_a_patient_add_nothing() -> None:
    rng = np.random.default_rng(0)
    hits, group = rng.random(30) < 0.7, np.arange(30).astype(str)
    few, many = of_patients(hits, group), of_patients(hits.repeat(9), group.repeat(9))
    assert (many.low, many.high) == pytest.approx((few.low, few.high), abs=0.01)
    assert many.high - many.low > 2 * (of_patients(hits.repeat(9), np.arange(270).astype(str)).high - many.value)


def test_the_interval_by_patients_covers_at_its_level() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        sizes = rng.integers(2, 20, size=15)
        rates = rng.beta(8 * 0.85, 8 * 0.15, size=15)
        hits = np.concatenate([rng.random(size) < rate for size, rate in zip(sizes, rates, strict=True)])
        fraction = of_patients(hits, np.arange(15).astype(str).repeat(sizes))
        covered += fraction.low <= 0.85 <= fraction.high
    assert 0.93 <= covered / 400 <= 0.995


def test_the_mean_of_equal_fractions_is_tighter_by_the_root_of_their_number() -> None:
    mean = mean_of([Fraction(0.8, 0.7, 0.86)] * 4)
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.8, 0.75, 0.83))


def test_a_gap_is_found_only_beyond_both_intervals() -> None:
    assert gap_at_least(Fraction(0.9, 0.86, 0.94), Fraction(0.5, 0.4, 0.6)) == pytest.approx(
        0.4 - (3 * 0.04**2 + 0.1**2) ** 0.5
    )
    assert gap_at_least(Fraction(0.9, 0.8, 0.95), Fraction(0.85, 0.8, 0.9)) < 0
