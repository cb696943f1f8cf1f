"""Intervals are Wilson's: exact where his are, honest near the ends, in step with the test of no difference."""

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
SCORES = st.integers(0, 10_000).map(lambda right: right / 10_000)  # with the ends of the scale
PARTS = st.builds(Part, st.floats(1e-8, 0.2), st.floats(2, 200))
GAPS = st.builds(Gap, SCORES, SCORES, PARTS, st.floats(0.1, 1))


def error_at(gap: Gap, difference: float) -> float:
    """The standard error of the estimate if the true difference were this one."""
    way = gap.estimate - difference
    score, baseline = gap.score - way / (1 + gap.weight), gap.baseline + way * gap.weight / (1 + gap.weight)
    before, after = (p * (1 - p) + gap.weight * q * (1 - q) for p, q in ((gap.score, gap.baseline), (score, baseline)))
    return float((gap.variance.variance * (after / before if before else 1.0)) ** 0.5)


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
def test_its_ends_are_as_many_of_their_own_errors_away(gap: Gap) -> None:
    interval = gap.interval(0.95)
    assert interval.low <= gap.estimate <= interval.high
    t = float(stats.t.ppf(0.975, gap.variance.df))
    for end in interval.bounds:
        assert abs(gap.estimate - end) == pytest.approx(t * error_at(gap, end), rel=1e-6, abs=1e-9)
    assert gap.error_at_zero == pytest.approx(error_at(gap, 0.0), rel=1e-6, abs=1e-9)


@given(gap=GAPS)
def test_a_gain_is_a_loss_where_right_and_wrong_are_exchanged(gap: Gap) -> None:
    other = replace(gap, score=1 - gap.score, baseline=1 - gap.baseline)
    assert other.interval(0.95).bounds == pytest.approx((-gap.interval(0.95).high, -gap.interval(0.95).low), abs=1e-9)


@pytest.mark.parametrize("baseline", [0.97, 0.99, 0.999, 0.9999, 1.0])
def test_no_baseline_however_good_makes_a_loss_of_one_error(baseline: float) -> None:
    gap = Gap(0.95, baseline, Part(0.05**2, 8), 0.5)
    assert gap.interval(0.95).low < -0.05 < gap.interval(0.95).high
    assert gap.limit_at_zero(0.95) > 0.07


@pytest.mark.parametrize("score", [0.99, 0.999, 0.9999, 1.0])
def test_better_images_lose_no_gain_that_shows(score: float) -> None:
    assert Gap(score, 0.9, Part(0.01**2, 5), 0.25).interval(0.95).is_above(0)


def test_a_small_error_gives_the_usual_interval() -> None:
    gap = Gap(0.8, 0.7, Part(1e-8, np.inf))
    assert gap.interval(0.95).bounds == pytest.approx((0.1 - 1.96e-4, 0.1 + 1.96e-4), abs=1e-6)


def test_two_scores_without_any_error_have_the_measured_one_everywhere() -> None:
    gap = Gap(1.0, 0.0, Part(0.01, np.inf), 0.5)
    assert gap.interval(0.95).bounds == pytest.approx((1 - 0.196, 1 + 0.196), abs=1e-3)
    assert Gap(1.0, 1.0, Part(0.0, np.inf), 0.5).interval(0.95).bounds == (0, 0)


@pytest.mark.parametrize(
    ("world", "at_least"),
    [
        (World(num_generators=2, gain=0.24), 0.91),
        (World(num_generators=2, accuracy=0.9, gain=0.07), 0.91),
        (World(num_generators=2, accuracy=0.95), 0.92),
    ],
    ids=["nearly perfect images", "a good classifier", "a very good classifier"],
)
def test_near_the_end_of_the_scale_it_holds_the_truth_as_well(world: World, at_least: float) -> None:
    rng = np.random.default_rng(2)
    intervals = [interval_of(ANSWER, simulate(world, rng), METRIC, 0.95) for _ in range(300)]
    assert np.mean([interval.low <= world.gain <= interval.high for interval in intervals]) >= at_least


def test_very_lucky_generators_say_gain_no_more_often_than_loss() -> None:
    """Either side of the measured error 'gain' would be said in 4 of 100 such studies, 'loss' in 1 to 2."""
    world, rng = World(num_generators=2, luck=0.5), np.random.default_rng(1)
    gaps = [gap_of(ANSWER, simulate(world, rng), METRIC) for _ in range(600)]
    intervals = [gap.interval(0.95) for gap in gaps]
    gains = np.mean([interval.is_above(0) for interval in intervals])
    losses = np.mean([interval.is_below(0) for interval in intervals])
    unbalanced = np.mean([gap.estimate > gap.variance.half_width(0.95) for gap in gaps])
    assert gains < unbalanced
    assert gains < 0.045
    assert losses < 0.04


def test_the_gap_is_the_contrast() -> None:
    tested = simulate(World(), np.random.default_rng(0))
    gap = gap_of(ANSWER, tested, METRIC)
    assert gap.estimate == pytest.approx(ANSWER.estimate(tested, METRIC))
    assert gap.score == tested.score("real+synthetic", METRIC)
    alone = interval_of(Contrast({"real": 1.0}), tested, METRIC, 0.95)
    assert 0 < alone.low < tested.score("real", METRIC) < alone.high < 1
