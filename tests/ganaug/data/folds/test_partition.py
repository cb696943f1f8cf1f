import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from ganaug.data.folds.partition import partition


def totals_of(counts: NDArray[np.int64], part: NDArray[np.int64], num_parts: int) -> NDArray[np.int64]:
    return np.stack([counts[part == index].sum(axis=0) for index in range(num_parts)])


@st.composite
def group_structures(draw: st.DrawFn) -> NDArray[np.int64]:
    num_groups, num_classes = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    sizes = st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 200))
    rows = st.lists(sizes, min_size=num_classes, max_size=num_classes)
    counts = np.array(draw(st.lists(rows, min_size=num_groups, max_size=num_groups)), dtype=np.int64)
    return counts[counts.any(axis=1)]


@settings(max_examples=150, deadline=None)
@given(group_structures(), st.integers(3, 6), st.integers(0, 2**32 - 1))
def test_every_group_is_in_one_part_and_every_part_holds_every_class(
    counts: NDArray[np.int64], num_parts: int, seed: int
) -> None:
    part = partition(counts, num_parts, np.random.default_rng(seed))
    if part is not None:
        assert part.shape == (len(counts),)
        assert set(part.tolist()) == set(range(num_parts))
        assert totals_of(counts, part, num_parts).min() > 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(1, 500), min_size=3, max_size=15), min_size=1, max_size=6), st.integers(0, 1000))
def test_with_groups_of_one_class_enough_groups_always_suffice(sizes: list[list[int]], seed: int) -> None:
    counts = np.concatenate([np.outer(size, np.eye(len(sizes), dtype=int)[label]) for label, size in enumerate(sizes)])
    fewest = min(map(len, sizes))
    assert partition(counts, fewest, np.random.default_rng(seed)) is not None
    assert partition(counts, fewest + 1, np.random.default_rng(seed)) is None


def test_an_impossible_structure_with_enough_groups_is_not_forced() -> None:
    # Each class has two groups, yet of two parts one has a single group, which lacks a class.
    counts = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]])
    assert partition(counts, 2, np.random.default_rng(0)) is None


def test_the_parts_are_as_even_as_the_best_of_all_assignments() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        counts = np.outer(rng.integers(1, 60, 8), [1, 0])
        counts[4:] = counts[4:, ::-1]
        target = counts.sum(axis=0) / 3

        def unevenness(
            part: NDArray[np.int64], counts: NDArray[np.int64] = counts, target: NDArray[np.float64] = target
        ) -> float:
            totals = totals_of(counts, part, 3)
            return float(np.square((totals - target) / target).sum()) if totals.min() > 0 else np.inf

        best = min(unevenness(np.array(part)) for part in itertools.product(range(3), repeat=8))
        found = partition(counts, 3, rng)
        assert found is not None
        assert unevenness(found) <= best + 1e-9


def test_many_groups_come_out_even_to_a_percent() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson([30, 20, 5, 1], (2000, 4))
    part = partition(counts, 5, rng)
    assert part is not None
    totals = totals_of(counts, part, 5)
    assert np.all(np.abs(totals / totals.mean(axis=0) - 1) < 0.01)


def test_same_seed_same_partition_and_another_seed_another() -> None:
    counts = np.random.default_rng(0).poisson([10, 4], (60, 2))
    first, again, other = (partition(counts, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_shares_are_kept_and_every_part_holds_every_class() -> None:
    rng, fractions = np.random.default_rng(0), (0.2, 0.2, 0.6)
    for _ in range(30):
        counts = rng.poisson(rng.uniform(0.5, 8, 3), (60, 3))
        part = partition(counts, 3, rng, fractions)
        assert part is not None
        totals = totals_of(counts, part, 3)
        assert totals.min() > 0
        assert np.abs(totals / counts.sum(axis=0) - np.array(fractions)[:, None]).max() < 0.05


def test_equal_shares_are_the_same_as_none_to_the_bit() -> None:
    counts = np.random.default_rng(0).poisson([10, 4, 1], (50, 3))
    given, default = (partition(counts, 4, np.random.default_rng(1), fractions) for fractions in ([0.25] * 4, ()))
    assert given is not None
    assert default is not None
    assert np.array_equal(given, default)


def test_a_small_share_still_gets_every_class() -> None:
    counts = np.eye(3, dtype=int)[[0, 0, 1, 1, 2, 2, 2]] * 100
    part = partition(counts, 2, np.random.default_rng(0), (0.01, 0.99))
    assert part is not None
    assert totals_of(counts, part, 2).tolist() == [[100, 100, 100], [100, 100, 200]]


def by_scikit_learn(counts: NDArray[np.int64], num_parts: int, seed: int) -> NDArray[np.int64]:
    group, label = (np.repeat(index, counts.ravel()) for index in np.indices(counts.shape).reshape(2, -1))
    part = np.zeros(len(counts), int)
    splitter = StratifiedGroupKFold(num_parts, shuffle=True, random_state=seed)
    for index, (_, test) in enumerate(splitter.split(label, label, group)):
        part[group[test]] = index
    return part


def unevenness(counts: NDArray[np.int64], part: NDArray[np.int64], num_parts: int) -> float:
    """Root mean square of the relative differences from equal parts."""
    return float(np.sqrt(np.square(totals_of(counts, part, num_parts) / counts.sum(axis=0) * num_parts - 1).mean()))


@pytest.mark.parametrize("mixed", [False, True], ids=["groups of one class", "groups of several classes"])
def test_parts_are_at_least_as_even_as_scikit_learns(mixed: bool) -> None:
    rng, found = np.random.default_rng(0), []
    for trial in range(80):
        num_classes, num_parts = int(rng.integers(2, 5)), int(rng.integers(3, 6))
        extra = rng.integers(num_classes, size=int(rng.integers(15, 60)))
        classes = np.concatenate([np.repeat(np.arange(num_classes), num_parts), extra])  # enough groups of every class
        counts = np.eye(num_classes, dtype=int)[classes] * rng.geometric(0.1, len(classes))[:, None]
        counts = counts + rng.poisson(0.5, counts.shape) * mixed
        ours, peer = partition(counts, num_parts, rng), by_scikit_learn(counts, num_parts, trial)
        assert ours is not None
        found.append([unevenness(counts, part, num_parts) for part in (ours, peer)])
    mine, theirs = np.array(found).T
    assert np.mean(mine <= theirs + 1e-9) >= 0.9
    assert mine.mean() < theirs.mean()
    assert np.max(mine - theirs) < 0.03


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_a_class_of_too_few_groups_is_refused_where_scikit_learn_leaves_it_out_of_some_part() -> None:
    counts = np.eye(2, dtype=int)[[0] * 20 + [1] * 4] * 30
    assert totals_of(counts, by_scikit_learn(counts, 5, 0), 5).min() == 0
    assert partition(counts, 5, np.random.default_rng(0)) is None
    part = partition(counts, 4, np.random.default_rng(0))
    assert part is not None
    assert totals_of(counts, part, 4).min() > 0
