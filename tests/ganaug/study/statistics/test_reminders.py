"""The tests that reviewers know are computed as published, and are shown to overstate what they overstate."""

import numpy as np
import pytest
from scipy import stats

from ganaug.study.statistics.clustered import Contrast
from ganaug.study.statistics.intervals import interval_of
from ganaug.study.statistics.reminders import (
    cohens_d,
    mcnemar,
    nadeau_bengio,
    patient_differences,
    scores_of_runs,
    sign_flip_p,
)
from ganaug.study.statistics.resampling import PREDICTION_METRICS
from ganaug.study.statistics.simulated import World, simulate

METRIC = "balanced_accuracy"
ANSWER = Contrast({"real+synthetic": 1.0, "real": -0.5, "real-oversampled": -0.5})


def test_mcnemar_is_the_binomial_test_on_the_images_that_disagree() -> None:
    rng = np.random.default_rng(0)
    arm, baseline = rng.random((2, 300)) < [[0.8], [0.7]]
    found = mcnemar(arm, baseline)
    assert (found.only_arm, found.only_baseline) == (int((arm > baseline).sum()), int((baseline > arm).sum()))
    assert found.p == pytest.approx(stats.binomtest(found.only_arm, found.only_arm + found.only_baseline).pvalue)
    assert mcnemar(arm, arm).p == 1.0


def test_mcnemar_finds_effects_where_there_are_none_as_images_of_a_patient_are_alike() -> None:
    rng, world = np.random.default_rng(1), World(patient_arm=0.3, num_seeds=1)
    false = 0
    for _ in range(200):
        counts = simulate(world, rng).counts
        hits = {arm: np.diagonal(each[0], axis1=1, axis2=2).sum(axis=1) for arm, each in counts.items()}
        images = counts["real"][0].sum(axis=(1, 2))
        rank = np.concatenate([np.arange(number) for number in images])
        right = {arm: rank < np.repeat(each, images) for arm, each in hits.items()}
        false += mcnemar(right["real+synthetic"], right["real"]).p < 0.05
    assert false > 40  # of 200, where 10 are allowed


def test_scores_of_runs_are_those_of_each_fold_and_seed() -> None:
    tested = simulate(World(num_folds=3), np.random.default_rng(2))
    found = scores_of_runs(ANSWER, tested, METRIC)
    assert len(found) == 6
    first = {arm: counts[0][tested.fold[0] == 0].sum(axis=0) for arm, counts in tested.counts.items()}
    score = {arm: PREDICTION_METRICS[METRIC](counts) for arm, counts in first.items()}
    assert found[0] == pytest.approx(score["real+synthetic"] - (score["real"] + score["real-oversampled"]) / 2)


def test_nadeau_bengio_is_wider_than_need_be() -> None:
    tested = simulate(World(num_generators=2), np.random.default_rng(3))
    corrected, own = nadeau_bengio(ANSWER, tested, METRIC, 0.95, 0.25), interval_of(ANSWER, tested, METRIC, 0.95)
    differences = scores_of_runs(ANSWER, tested, METRIC)
    plain = stats.t.interval(0.95, 9, differences.mean(), differences.std(ddof=1) / 10**0.5)
    assert corrected.high - corrected.low == pytest.approx((plain[1] - plain[0]) * (1 + 10 * 0.25) ** 0.5)
    assert corrected.high - corrected.low > own.high - own.low


def test_nadeau_bengio_of_a_single_run_says_why_there_is_none() -> None:
    tested = simulate(World(num_folds=1, num_seeds=1), np.random.default_rng(4))
    found = nadeau_bengio(ANSWER, tested, METRIC, 0.95, 0.25)
    assert np.isnan(found.low)
    assert "fewer than two" in found.reason


@pytest.mark.parametrize("metric", list(PREDICTION_METRICS))
def test_differences_of_patients_sum_to_the_estimate(metric: str) -> None:
    tested = simulate(World(num_classes=3, gain=0.05), np.random.default_rng(5))
    assert patient_differences(ANSWER, tested, metric).sum() == pytest.approx(ANSWER.estimate(tested, metric), abs=1e-8)


def test_sign_flips_keep_their_level_where_patients_alone_vary_and_not_where_generators_are_lucky() -> None:
    rng = np.random.default_rng(6)
    calm, lucky = World(run=0.0, patient_run=0.0, patient_arm=0.3), World(luck=0.4)
    calm_p, lucky_p = (
        np.array([sign_flip_p(ANSWER, simulate(world, rng), METRIC) for _ in range(80)]) for world in (calm, lucky)
    )
    assert (calm_p < 0.05).mean() < 0.13
    assert (lucky_p < 0.05).mean() > 0.2


def test_cohens_d_is_the_mean_over_the_standard_deviation_of_patients() -> None:
    tested = simulate(World(gain=0.1), np.random.default_rng(7))
    own = patient_differences(ANSWER, tested, METRIC)
    assert cohens_d(ANSWER, tested, METRIC) == pytest.approx(own.mean() / own.std(ddof=1))
    assert np.isnan(cohens_d(Contrast({"real": 0.0}), tested, METRIC))
