"""Cluster-robust intervals hold the truth as often as they say, whatever varies: patients, runs or generators."""

from dataclasses import replace

import numpy as np
import pytest

from ganaug.study.statistics.clustered import NONE, Contrast, Part, Spread, spread_of
from ganaug.study.statistics.intervals import gap_of, interval_of
from ganaug.study.statistics.out_of_fold import OutOfFold
from ganaug.study.statistics.simulated import World, simulate

METRIC = "balanced_accuracy"
ANSWER = Contrast({"real+synthetic": 1.0, "real": -0.5, "real-oversampled": -0.5})
NUM_STUDIES = 300  # the standard error of a coverage of 95 % is then 1.3 points


def coverage(world: World, *, ignore_folds: bool = False) -> tuple[float, float]:
    """How often the interval holds the truth, and how often it lies above it."""
    rng = np.random.default_rng(1)
    held = above = 0
    for _ in range(NUM_STUDIES):
        tested = simulate(world, rng)
        spread = spread_of(ANSWER, tested, METRIC)
        spread = replace(spread, folds=NONE) if ignore_folds else spread
        interval = gap_of(ANSWER, tested, METRIC, spread).interval(0.95)
        held += interval.low <= world.gain <= interval.high
        above += interval.is_above(world.gain)
    return held / NUM_STUDIES, above / NUM_STUDIES


@pytest.mark.parametrize(
    "world",
    [
        World(num_generators=2),
        World(num_generators=2, luck=0.3, gain=0.05),
        World(num_generators=3, num_seeds=3, run=0.3, num_patients=20),
        World(luck=0.3),
        World(num_generators=2, num_classes=4, rarest=5, accuracy=0.6),
    ],
    ids=["two generators", "lucky generators", "lucky runs", "one lucky generator per fold", "a rare class"],
)
def test_intervals_hold_the_truth_as_often_as_they_say(world: World) -> None:
    held, above = coverage(world)
    assert 0.92 <= held <= 0.99
    assert above <= 0.05


def test_intervals_that_overlook_a_folds_generator_hold_it_too_rarely() -> None:
    held, _ = coverage(World(luck=0.3), ignore_folds=True)
    assert held < 0.85


def test_the_simulated_gain_is_the_planted_one() -> None:
    world, rng = World(gain=0.05, num_seeds=3, num_generators=3, luck=0.2, num_patients=80), np.random.default_rng(2)
    found = [ANSWER.estimate(simulate(world, rng), METRIC) for _ in range(400)]
    assert np.mean(found) == pytest.approx(0.05, abs=3 * np.std(found) / 400**0.5)


def test_patients_alone_give_the_textbook_standard_error() -> None:
    """One class, one image per patient and run: the paired t-test's s / √G, by CR2's 1 / (1 − h)."""
    rng, num = np.random.default_rng(3), 30
    counts = {}
    for arm in ("a", "b"):
        right = rng.integers(0, 2, num)
        counts[arm] = np.zeros((1, num, 2, 2), dtype=np.int64)
        counts[arm][0, np.arange(num), 0, 1 - right] = 1
    tested = OutOfFold(counts, np.arange(num)[None] % 5)
    difference = (counts["a"] - counts["b"])[0, :, 0, 0]
    spread = spread_of(Contrast({"a": 1.0, "b": -1.0}), tested, METRIC)
    assert spread.patients.variance == pytest.approx(difference.var(ddof=1) / num)
    assert spread.patients.df == pytest.approx(num - 1)
    assert spread.runs == NONE


def test_fixed_number_of_copies_of_each_image_changes_nothing() -> None:
    tested = simulate(World(num_generators=2), np.random.default_rng(4))
    copied = OutOfFold({arm: 3 * counts for arm, counts in tested.counts.items()}, tested.fold, tested.generator)
    first, other = interval_of(ANSWER, tested, METRIC, 0.95), interval_of(ANSWER, copied, METRIC, 0.95)
    assert (first.low, first.high) == pytest.approx((other.low, other.high))


def test_repeats_that_test_the_same_patients_again_make_these_no_more() -> None:
    tested = simulate(World(num_seeds=1), np.random.default_rng(5))
    counts = {arm: np.concatenate([each, each, each]) for arm, each in tested.counts.items()}
    again = OutOfFold(counts, np.concatenate([tested.fold, tested.fold + 5, tested.fold + 10]))
    spread, repeated = spread_of(ANSWER, tested, METRIC), spread_of(ANSWER, again, METRIC)
    assert repeated.patients.variance == pytest.approx(spread.patients.variance)
    assert repeated.total.variance >= repeated.patients.variance
    assert sum(map(len, again.folds_of)) == 15


def test_an_arm_against_itself_has_no_width() -> None:
    tested = simulate(World(), np.random.default_rng(6))
    found = interval_of(Contrast({"real": 0.0}), tested, METRIC, 0.95)
    assert (found.low, found.high) == (0.0, 0.0)


def test_classes_of_too_few_patients_are_left_out_of_the_score() -> None:
    tested = simulate(World(num_classes=3, rarest=2), np.random.default_rng(7)).judge_classes(3)
    counts = tested.counts["real"].sum(axis=(0, 1))
    recalls = np.diagonal(counts)[:2] / counts.sum(axis=1)[:2]
    assert tested.score("real", METRIC) == pytest.approx(recalls.mean())
    assert np.isfinite(interval_of(ANSWER, tested, METRIC, 0.95).low)


def test_degrees_of_freedom_are_those_of_the_part_that_varies_most() -> None:
    assert (Part(1.0, 10) + Part(1e-9, 2)).df == pytest.approx(10, rel=1e-3)
    assert (Part(1.0, 10) + Part(1.0, 10)).df == pytest.approx(20)
    assert Spread(Part(1.0, 40), NONE, Part(2.0, 4)).total == Part(2.0, 4)
    assert Spread(Part(2.0, 40), NONE, Part(1.0, 4)).total == Part(2.0, 40)
