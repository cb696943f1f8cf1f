"""Patient-disjoint halves with equal counts of each class."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.evaluate.comparison.halves import draw_per_class, patient_halves


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=80), st.integers(0, 2**32 - 1))
def test_no_patient_is_in_both_halves_and_the_classes_match(images: list[tuple[int, int]], seed: int) -> None:
    groups = np.array([f"p{patient}" for patient, _ in images])
    labels = np.array([label for _, label in images])
    at_most = np.array([100, 5, 100])
    first, second = patient_halves(groups, labels, at_most, np.random.default_rng(seed))
    assert not set(groups[first]) & set(groups[second])
    assert len(set(first)) == len(first) == len(second) == len(set(second))
    counts = np.bincount(labels[first], minlength=3)
    assert (counts == np.bincount(labels[second], minlength=3)).all()
    assert (counts <= at_most).all()


def test_a_class_of_one_patient_is_in_neither_half() -> None:
    groups = np.array(["a"] * 5 + ["b"] * 5 + ["c"] * 5)
    labels = np.array([0] * 5 + [1] * 10)
    first, second = patient_halves(groups, labels, np.array([99, 99]), np.random.default_rng(0))
    assert set(labels[first]) == set(labels[second]) == {1}


def test_halves_of_even_patients_use_every_image_and_vary() -> None:
    groups = np.repeat([f"p{i}" for i in range(12)], 4)
    labels = np.repeat([0] * 6 + [1] * 6, 4)
    rng = np.random.default_rng(0)
    splits = [patient_halves(groups, labels, np.array([99, 99]), rng) for _ in range(5)]
    assert all(len(first) == len(second) == 24 for first, second in splits)
    assert len({frozenset(groups[first]) for first, _ in splits}) > 1


def test_draw_per_class_repeats_no_image() -> None:
    labels = np.array([0, 1, 0, 1, 0, 2])
    drawn = draw_per_class(labels, np.array([2, 2, 0]), np.random.default_rng(0))
    assert len(set(drawn)) == 4
    assert np.bincount(labels[drawn], minlength=3).tolist() == [2, 2, 0]
