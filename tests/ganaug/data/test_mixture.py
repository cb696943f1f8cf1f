import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganaug.data.mixture import Mixture, draw, repeat_to
from ganaug.errors import DataError


def numbered(count: int, first: int) -> NDArray[np.uint8]:
    """Images u8 [count,2,2,3] that each hold one number."""
    return np.broadcast_to(np.arange(first, first + count, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 3))


def test_a_mixture_gives_what_its_parts_hold_in_any_order() -> None:
    first, second = numbered(5, 0), numbered(4, 100)
    mixture = Mixture.of(
        [(first, np.array([4, 0]), np.array([1, 0])), (second, np.array([3, 3, 1]), np.array([1, 1, 0]))]
    )
    expected = np.array([4, 0, 103, 103, 101])
    assert len(mixture) == 5
    assert mixture.labels.tolist() == [1, 0, 1, 1, 0]
    for order in ([0, 1, 2, 3, 4], [4, 0, 3, 1, 2, 2], [3], [1, 0]):
        images = mixture[np.array(order)]
        assert images.shape == (len(order), 2, 2, 3)
        assert images[:, 0, 0, 0].tolist() == expected[order].tolist()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(0, 100), st.integers(0, 99))
def test_repeats_are_as_even_as_they_can_be(available: int, wanted: int, seed: int) -> None:
    labels = np.array([0] * 3 + [1] * available)
    indices = 1000 + np.arange(len(labels))
    chosen = repeat_to(indices, labels, np.array([3, wanted]), np.random.default_rng(seed), ("a", "b"))
    times = np.array([np.sum(chosen == index) for index in indices])
    assert times[:3].tolist() == [1, 1, 1]
    assert times[3:].sum() == wanted
    assert set(times[3:].tolist()) <= {wanted // available, -(-wanted // available)}


def test_which_images_repeat_once_more_is_up_to_the_generator() -> None:
    labels, indices = np.zeros(10, int), np.arange(10)
    first, same, other = (
        repeat_to(indices, labels, np.array([15]), np.random.default_rng(seed), ("a",)) for seed in (0, 0, 1)
    )
    assert first.tolist() == same.tolist() != other.tolist()


def test_a_class_without_images_cannot_be_repeated() -> None:
    with pytest.raises(DataError, match="class malignant has no image"):
        repeat_to(np.arange(3), np.zeros(3, int), np.array([3, 2]), np.random.default_rng(0), ("benign", "malignant"))


def test_drawing_takes_the_asked_number_of_each_class_without_repeats() -> None:
    labels = np.array([0, 1, 2] * 20)
    chosen = draw(labels, np.array([5, 0, 20]), np.random.default_rng(0), ("a", "b", "c"))
    assert np.bincount(labels[chosen], minlength=3).tolist() == [5, 0, 20]
    assert len(set(chosen.tolist())) == 25


def test_drawing_more_than_there_is_says_how_many_are_needed() -> None:
    with pytest.raises(DataError, match=r"2 synthetic images of class malignant; expected at least 7; .*--per-class 9"):
        draw(np.array([0] * 9 + [1] * 2), np.array([9, 7]), np.random.default_rng(0), ("benign", "malignant"))
