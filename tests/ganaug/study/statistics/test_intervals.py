"""Intervals are Wilson's: exact where his are, within the scale, and in step with the test of no difference."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ganaug.study.statistics.clustered import Contrast, Part
from ganaug.study.statistics.intervals import Gap, gap_of, interval_of
from ganaug.study.statistics.simulated import World, simulate

METRIC = "balanced_accuracy"
ANSWER = Contrast({"real+synthetic": 1.0, "real": -0.5, "real-oversampled": -0.5})
SCORES = st.floats(0.02, 0.98)
PARTS = st.builds(Part, st.floats(1e-8, 0.2), st.floats(2, 200))
FRACTIONS, NOISES = st.floats(0, 1), st.floats(0, 0.25)
GAPS = st.builds(Gap, SCORES, SCORES, PARTS, FRACTIONS, NOISES)


@pytest.mark.parametrize(("right", "tested"), [(3, 10), (17, 20), (999, 1000), (1, 40)])
def test_of_independent_images_it_is_wilsons_own(right: int, tested: int) -> None:
    score = right / tested
    found = Gap(score, 0.0, Part(score * (1 - score) / tested, np.inf)).interval(0.95)
    wilson = stats.binomtest(right, tested).proportion_ci(0.95, method="wilson")
    assert found.bounds == pytest.approx((wilson.low, wilson.high))


@given(gap=GAPS)
def test_it_excludes_zero_where_the_difference_exceeds_its_limit(gap: Gap) -> None:
    interval, limit = gap.interval(0.95), gap.limit_at_zero(0.95)
    if abs(abs(gap.estimate) - limit) > 1e-9:
        assert (interval.is_above(0) or interval.is_below(0)) == (abs(gap.estimate) > limit)


@given(gap=GAPS)
def test_it_holds_the_estimate_and_ends_where_scores_do(gap: Gap) -> None:
    low, high = gap.interval(0.95).bounds
    assert low <= gap.estimate <= high
    assert low >= -gap.baseline
    assert high <= 1 - gap.baseline


@given(gap=GAPS)
def test_its_ends_are_as_many_of_their_own_errors_away(gap: Gap) -> None:
    for end in gap.interval(0.95).bounds:
        if 0 < end + gap.baseline < 1:
            there = replace(gap, baseline=gap.baseline + end)  # the difference is none if the true score is this one
            assert abs(gap.score - there.baseline) == pytest.approx(there.limit_at_zero(0.95), rel=1e-6)


@given(gap=GAPS)
def test_a_gain_is_a_loss_where_right_and_wrong_are_exchanged(gap: Gap) -> None:
    other = replace(gap, score=1 - gap.score, baseline=1 - gap.baseline)
    assert other.interval(0.95).bounds == pytest.approx((-gap.interval(0.95).high, -gap.interval(0.95).low), abs=1e-9)


def test_a_small_error_gives_the_usual_interval() -> None:
    gap = Gap(0.8, 0.7, Part(1e-8, np.inf))
    assert gap.interval(0.95).bounds == pytest.approx((0.1 - 1.96e-4, 0.1 + 1.96e-4), abs=1e-6)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_score_at_the_end_of_the_scale_keeps_its_measured_error(score: float) -> None:
    low, high = Gap(score, 0.5, Part(0.01, np.inf)).interval(0.95).bounds
    assert high - low == pytest.approx(0.196, abs=1e-3), "on the side that scores can be on"
    assert Gap(score, 0.5, Part(0.0, np.inf)).interval(0.95).bounds == (score - 0.5, score - 0.5)
    assert Gap(score, 0.5, Part(0.01, np.inf), noise=0.25).limit_at_zero(0.95) > 0.196, "the baseline varies still"


def test_very_lucky_generators_say_gain_no_more_often_than_loss() -> None:
    """Either side of the measured error 'gain' would be said in 4 of 100 such studies, 'loss' in 1 to 2."""
    world, rng = World(num_generators=2, luck=0.5), np.random.default_rng(1)
    gaps = [gap_of(ANSWER, simulate(world, rng), METRIC) for _ in range(600)]
    intervals = [gap.interval(0.95) for gap in gaps]
    gains = np.mean([interval.is_above(0) for interval in intervals])
    losses = np.mean([interval.is_below(0) for interval in intervals])
    unbalanced = np.mean([gap.estimate > gap.variance.half_width(0.95) for gap in gaps])
    assert gains < unbalanced
    assert gains < 0.04
    assert losses < 0.04


def test_the_gap_is_the_contrast() -> None:
    tested = simulate(World(), np.random.default_rng(0))
    gap = gap_of(ANSWER, tested, METRIC)
    assert gap.estimate == pytest.approx(ANSWER.estimate(tested, METRIC))
    assert gap.score == tested.score("real+synthetic", METRIC)
    alone = interval_of(Contrast({"real": 1.0}), tested, METRIC, 0.95)
    assert 0 < alone.low < tested.score("real", METRIC) < alone.high < 1
