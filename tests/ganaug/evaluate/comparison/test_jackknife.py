"""The jackknife over patients: the known variance of a mean, no trace of a bias in 1/n, blocks of whole patients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from ganaug.evaluate.comparison.jackknife import MIN_PATIENTS, NUM_BLOCKS, deal_blocks, jackknife_interval


def leave_out(values: NDArray[np.float64], block: NDArray[np.int64], bias: float = 0.0) -> NDArray[np.float64]:
    """The mean of the values without each block, with a bias of so much over their number."""
    left = [values[block != each] for each in range(block.max() + 1)]
    return np.array([each.mean() + bias / len(each) for each in left])


def test_the_interval_of_a_mean_is_that_of_the_cluster_robust_formula() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([2, 5, 3, 9, 4, 7])
    block, values = np.repeat(np.arange(6), sizes), rng.normal(size=sizes.sum())
    interval = jackknife_interval(values.mean(), leave_out(values, block), sizes, np.zeros(6, np.int64))
    means = np.bincount(block, values) / sizes
    weight = sizes / sizes.sum()
    variance = (weight**2 * (means - values.mean()) ** 2 / (1 - weight)).sum()
    reach = stats.t.ppf(0.975, 5) * np.sqrt(variance)
    assert (interval.low, interval.high) == pytest.approx((values.mean() - reach, values.mean() + reach), rel=1e-12)


def test_with_patients_of_equal_size_it_is_the_t_interval_of_their_means() -> None:
    values = np.random.default_rng(1).normal(size=40)
    block, sizes = np.repeat(np.arange(10), 4), np.full(10, 4)
    interval = jackknife_interval(values.mean(), leave_out(values, block), sizes, np.zeros(10, np.int64))
    means = values.reshape(10, 4).mean(1)
    expected = stats.t.interval(0.95, 9, means.mean(), stats.sem(means))
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-12)


def test_a_bias_over_the_number_of_images_moves_the_interval_and_does_not_widen_it() -> None:
    rng = np.random.default_rng(2)
    sizes = np.array([1, 12, 2, 20, 5])
    block, values = np.repeat(np.arange(5), sizes), rng.normal(size=sizes.sum())
    stratum = np.zeros(5, np.int64)
    plain = jackknife_interval(values.mean(), leave_out(values, block), sizes, stratum)
    value = values.mean() + 30 / sizes.sum()
    biased = jackknife_interval(value, leave_out(values, block, bias=30.0), sizes, stratum)
    assert biased.high - biased.low == pytest.approx(plain.high - plain.low, rel=1e-9)
    assert biased.low - plain.low == pytest.approx(30 / sizes.sum(), rel=1e-9)


def test_a_difference_between_strata_is_no_spread() -> None:
    sizes, stratum = np.full(12, 3), np.repeat([0, 1], 6)
    block = np.repeat(np.arange(12), 3)
    values = 100.0 * stratum[block] + np.random.default_rng(3).normal(size=36)
    by_stratum = jackknife_interval(values.mean(), leave_out(values, block), sizes, stratum)
    pooled = jackknife_interval(values.mean(), leave_out(values, block), sizes, np.zeros(12, np.int64))
    assert by_stratum.high - by_stratum.low < 0.1 * (pooled.high - pooled.low)


def test_too_few_patients_or_a_missing_figure_give_a_reason() -> None:
    few = MIN_PATIENTS - 1
    interval = jackknife_interval(1.0, np.ones(few), np.full(few, 5), np.zeros(few, np.int64))
    assert np.isnan(interval.low)
    assert f"{few} patients" in interval.reason
    assert str(MIN_PATIENTS) in interval.reason
    gap = jackknife_interval(1.0, np.array([1, 2, np.nan, 3, 4]), np.full(5, 5), np.zeros(5, np.int64))
    assert np.isnan(gap.high)
    assert "1 of 5" in gap.reason


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), min_size=2, max_size=150),
    st.lists(st.integers(0, 2), min_size=0, max_size=90),
    st.integers(0, 2**32 - 1),
)
def test_blocks_hold_whole_patients_and_as_large_a_part_of_the_synthetic_images(
    images: list[tuple[int, int]], made: list[int], seed: int
) -> None:
    patient = np.unique([number for number, _ in images], return_inverse=True)[1]
    label = np.array([label for _, label in images])
    made_label = np.array([each for each in made if each in label], np.int64)
    blocks = deal_blocks(patient, label, made_label, np.random.default_rng(seed))
    num_blocks, num_patients = len(blocks.stratum), patient.max() + 1
    assert set(blocks.real) == set(range(num_blocks)), "no block is empty"
    assert all(len(set(blocks.real[patient == each])) == 1 for each in range(num_patients))
    assert num_blocks == num_patients if num_patients <= NUM_BLOCKS else num_blocks <= NUM_BLOCKS + 3
    for each in range(3):
        real = np.bincount(blocks.real[label == each], minlength=num_blocks)
        synthetic = np.bincount(blocks.synthetic[made_label == each], minlength=num_blocks)
        if synthetic.sum():
            assert np.abs(synthetic - real * synthetic.sum() / real.sum()).max() <= 1


def test_a_class_with_one_patient_makes_a_single_stratum() -> None:
    patient, label = np.arange(6), np.array([0, 0, 0, 0, 0, 1])
    assert set(deal_blocks(patient, label, label, np.random.default_rng(0)).stratum) == {0}
    both = np.array([0, 0, 0, 1, 1, 1])
    assert deal_blocks(patient, both, both, np.random.default_rng(0)).stratum.tolist() == [0, 0, 0, 1, 1, 1]
