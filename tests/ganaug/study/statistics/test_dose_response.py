"""A curve goes through the scores of its arms, and synthetic images are worth the real ones that score alike."""

import numpy as np
import pytest

from ganaug.study.statistics.dose_response import find_worth, trace
from ganaug.study.statistics.out_of_fold import OutOfFold
from ganaug.study.statistics.paired import resample

PATIENTS, IMAGES = 40, 100


def study_of(accuracies: dict[str, float], spread: float = 0.0) -> OutOfFold:
    """Patients of two classes whose images each arm gets right as often as `accuracies` says, give or take."""
    stray = np.random.default_rng(0).uniform(-spread, spread, PATIENTS)
    label, counts = np.arange(PATIENTS) % 2, {}
    for arm, accuracy in accuracies.items():
        right = np.rint(IMAGES * np.clip(accuracy + stray, 0, 1)).astype(int)
        counts[arm] = np.zeros((2, PATIENTS, 2, 2), int)
        counts[arm][:, np.arange(PATIENTS), label, label] = right
        counts[arm][:, np.arange(PATIENTS), label, 1 - label] = IMAGES - right
    return OutOfFold(counts, np.arange(PATIENTS)[None] // 2 % 4)


REAL = {0.25: "real/0.25", 0.5: "real/0.5", 1.0: "real"}
TREATED = {0.25: "real+synthetic/0.25", 1.0: "real+synthetic"}


def worth_of(treated: float, spread: float = 0.0) -> tuple[float, float, float]:
    arms = {"real/0.25": 0.6, "real/0.5": 0.7, "real": 0.8, "real+synthetic/0.25": treated, "real+synthetic": 0.8}
    tested = study_of(arms, spread)
    weights = resample(tested, 200, np.random.default_rng(0))
    (worth,) = find_worth(tested, weights, real=REAL, treated=TREATED, metric="balanced_accuracy", confidence=0.95)
    assert worth.fraction == 0.25
    return worth.equals, worth.low, worth.high


@pytest.mark.parametrize(
    ("treated", "equals"),
    [(0.5, 0.25), (0.6, 0.25), (0.65, 0.25 * 2**0.5), (0.7, 0.5), (0.75, 0.5 * 2**0.5), (0.8, 1.0), (0.9, 1.0)],
)
def test_synthetic_images_are_worth_the_real_ones_that_score_alike(treated: float, equals: float) -> None:
    assert worth_of(treated)[0] == pytest.approx(equals)


def test_the_interval_of_a_worth_holds_it_and_stays_on_the_curve() -> None:
    equals, low, high = worth_of(0.7, spread=0.2)
    assert 0.25 <= low <= equals <= high <= 1


def test_a_curve_that_falls_is_read_as_if_it_stayed() -> None:
    arms = {"real/0.25": 0.6, "real/0.5": 0.55, "real": 0.8, "real+synthetic/0.25": 0.7, "real+synthetic": 0.8}
    tested = study_of(arms)
    weights = resample(tested, 100, np.random.default_rng(0))
    (worth,) = find_worth(tested, weights, real=REAL, treated=TREATED, metric="accuracy", confidence=0.95)
    assert worth.equals == pytest.approx(0.5 * 2**0.5)


def test_points_are_the_scores_in_order_with_intervals_that_hold_them() -> None:
    tested = study_of({"real": 0.8, "real/0.5": 0.7, "real/0.25": 0.6}, spread=0.2)
    points = trace(tested, REAL, "balanced_accuracy", 0.95)
    assert [point.amount for point in points] == [0.25, 0.5, 1.0]
    assert [point.value for point in points] == pytest.approx(
        [tested.score(arm, "balanced_accuracy") for arm in REAL.values()]
    )
    assert all(0 <= point.low < point.value < point.high <= 1 for point in points)
