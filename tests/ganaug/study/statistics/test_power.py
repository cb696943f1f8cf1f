"""The power that is said beforehand is the one that simulated studies have."""

from dataclasses import replace

import numpy as np
import pytest

from ganaug.study.statistics.clustered import NONE, Contrast, Part, Spread, spread_of
from ganaug.study.statistics.intervals import interval_of
from ganaug.study.statistics.power import Size, power, say_what_would_show, scale, simulate_prospect
from ganaug.study.statistics.simulated import Patients, World, simulate

METRIC = "balanced_accuracy"
ANSWER = Contrast({"real+synthetic": 1.0, "real": -0.5, "real-oversampled": -0.5})
SIZE = Size(num_patients=45, num_seeds=2, num_generators=2, num_folds=5)


def patients_of(world: World) -> Patients:
    rng = np.random.default_rng(9)
    label = np.arange(world.num_patients) % world.num_classes
    fold = np.arange(world.num_patients) // world.num_classes % world.num_folds
    return Patients(label, fold, rng.integers(4, 31, world.num_patients))


@pytest.mark.parametrize("world", [World(num_generators=2), World(num_generators=2, luck=0.2, num_patients=80)])
def test_power_beforehand_is_that_of_the_studies(world: World) -> None:
    patients = patients_of(world)
    prospect = simulate_prospect(world, patients, ANSWER, METRIC, 0.95)
    gain, shown, rng = prospect.smallest_gain, 0, np.random.default_rng(3)
    for _ in range(300):
        tested = simulate(replace(world, gain=gain), rng, patients)
        shown += interval_of(ANSWER, tested, METRIC, 0.95).is_above(0)
    assert prospect.power(gain) == pytest.approx(0.8, abs=0.01)
    assert shown / 300 == pytest.approx(0.8, abs=0.07)  # three standard errors


def test_power_without_a_gain_is_the_level() -> None:
    assert power(0.0, Part(1e-4, 12), 0.95) == pytest.approx(0.05)
    assert power(0.0, NONE, 0.95) == 0
    assert power(0.01, NONE, 0.95) == 1


@pytest.mark.parametrize(
    ("small", "changes"),
    [
        (World(num_generators=2, luck=0.3), {"num_patients": 180, "num_generators": 4, "num_seeds": 4}),
        (World(num_generators=1, num_seeds=4), {"num_generators": 2}),
        (World(num_generators=1, num_seeds=4, luck=0.3), {"num_generators": 2}),
    ],
)
def test_another_size_has_the_variance_and_the_width_that_studies_of_it_have(
    small: World, changes: dict[str, int]
) -> None:
    large = replace(small, **changes)
    found = {}
    for world in (small, large):
        rng = np.random.default_rng(4)
        found[world] = [spread_of(ANSWER, simulate(world, rng), METRIC) for _ in range(150)]
    now = Size(small.num_patients, small.num_seeds, small.num_generators, small.num_folds)
    predicted = [scale(spread, now, replace(now, **changes)) for spread in found[small]]
    real = [spread.total for spread in found[large]]
    assert np.mean([each.variance for each in predicted]) == pytest.approx(
        np.mean([each.variance for each in real]), rel=0.25
    )
    assert np.mean([each.half_width(0.95) for each in predicted]) == pytest.approx(
        np.mean([each.half_width(0.95) for each in real]), rel=0.2
    )


@pytest.mark.parametrize(
    ("spread", "says"),
    [
        (Spread(Part(1e-6, 40), NONE, NONE), "would have shown in four of five such studies"),
        (Spread(Part(4e-4, 40), NONE, NONE), "studies of about 360 patients."),
        (Spread(NONE, Part(4e-4, 5), NONE), "studies of about 18 generators per fold"),
        (Spread(Part(4e-4, 40), Part(4e-4, 5), NONE), "more of one alone is not enough"),
    ],
    ids=["enough", "patients", "generators", "both"],
)
def test_sentence_names_what_would_show_the_gain(spread: Spread, says: str) -> None:
    assert says in say_what_would_show(spread, SIZE, 0.02, 0.95)
