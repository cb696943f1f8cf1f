"""The permutation of whole patients: exact sums, sides of equal classes, false alarms and due ones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.evaluate.comparison.permutation import UnitSums, permutation_p_value, permute_units, sum_by_unit
from ganaug.evaluate.metrics.kernel import kernel_distance

SIZES = np.array([1, 12, 3, 8, 2, 6, 4, 10, 5, 9])  # images of each patient


def drawn(
    rng: np.random.Generator, *, effect: float = 1.0, shift: float = 0.0, sizes: NDArray[np.int64] = SIZES
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Real images of patients of these sizes, and as many synthetic ones of a patient each; 4 features."""
    patient = np.repeat(np.arange(len(sizes)), sizes)
    real = effect * rng.normal(size=(len(sizes), 4))[patient] + rng.normal(size=(len(patient), 4))
    made = np.hypot(effect, 1) * rng.normal(size=real.shape) + shift
    return real, made, patient


def units_of(
    real: NDArray[np.float64], made: NDArray[np.float64], patient: NDArray[np.int64], label: NDArray[np.int64]
) -> UnitSums:
    return sum_by_unit(real, made, patient, label, label)


def test_the_distance_from_sums_by_unit_is_that_of_the_images() -> None:
    rng = np.random.default_rng(0)
    real, made, patient = drawn(rng, shift=0.5)
    label = np.arange(len(patient)) % 3
    units, order = units_of(real, made, patient, label), rng.permutation(len(patient))
    sides = permute_units(units, 5, rng)
    sides = np.column_stack([np.arange(len(sides)) < len(SIZES), sides])
    images = np.concatenate([real, made])
    for side, distance in zip(sides.T, units.distance(sides), strict=True):
        is_first = np.concatenate([side[: len(SIZES)][patient], side[len(SIZES) :]])
        direct, _ = kernel_distance(images[is_first], images[~is_first], rng=rng)
        assert distance == pytest.approx(direct, rel=1e-9, abs=1e-12)
    mixed = sum_by_unit(real[order], made, patient[order], label[order], label)
    assert mixed.distance(sides) == pytest.approx(units.distance(sides), rel=1e-9, abs=1e-12)


def test_patients_keep_together_and_both_sides_hold_as_many_of_each_class() -> None:
    rng = np.random.default_rng(1)
    real, made, patient = drawn(rng)
    label = rng.integers(3, size=len(patient))  # patients with images of several classes
    units = units_of(real, made, patient, label)
    sides = permute_units(units, 50, rng)
    held = units.counts.T @ sides
    assert (held == units.counts[: len(SIZES)].sum(0)[:, None]).all()
    assert 0.3 < sides[: len(SIZES)].mean() < 0.7
    assert len({tuple(side) for side in sides.T}) == 50


def test_p_values_of_an_ideal_generator_are_uniform_under_strong_patient_effects() -> None:
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(300):
        real, made, patient = drawn(rng, effect=2.0)
        units = units_of(real, made, patient, np.zeros(len(patient), np.int64))
        p_values.append(permutation_p_value(units, rng, num_permutations=99))
    for level in (0.05, 0.1, 0.2):
        assert np.mean(np.array(p_values) <= level) == pytest.approx(level, abs=3 * np.sqrt(level / 300))


def test_a_permutation_of_single_images_would_raise_false_alarms_there() -> None:
    rng = np.random.default_rng(3)
    alarms = []
    for _ in range(40):
        real, made, patient = drawn(rng, effect=2.0)
        alone = np.arange(len(patient))
        alarms.append(permutation_p_value(units_of(real, made, alone, 0 * alone), rng, num_permutations=99) <= 0.05)
    assert np.mean(alarms) > 0.3


@pytest.mark.parametrize("fault", ["shifted", "collapsed"])
def test_a_fault_gives_a_small_p(fault: str) -> None:
    rng = np.random.default_rng(4)
    real, made, patient = drawn(rng, effect=0.5, sizes=np.tile(SIZES, 2))
    made = made + 1.0 if fault == "shifted" else np.repeat(made[:1], len(made), axis=0)
    units = units_of(real, made, patient, np.zeros(len(patient), np.int64))
    assert permutation_p_value(units, rng, num_permutations=999) <= 0.01


def test_images_that_are_all_alike_give_p_of_1() -> None:
    patient = np.repeat(np.arange(len(SIZES)), SIZES)
    same = np.ones((len(patient), 4))
    units = units_of(same, same, patient, np.zeros(len(patient), np.int64))
    assert permutation_p_value(units, np.random.default_rng(0), num_permutations=99) == 1.0
