"""Votes count every member once, in whatever order they come."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from classifiers.votes import Rule, vote

RULES: tuple[Rule, ...] = ("mean", "majority")


def sample(num: int, seed: int) -> tuple[NDArray[np.float64], list[str]]:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(3), num).round(1) + 1e-3  # with ties
    return probs / probs.sum(1, keepdims=True), [f"p{number}" for number in rng.integers(0, 5, num)]


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=40)
@given(num=st.integers(1, 60), seed=st.integers(0, 1000))
def test_votes_do_not_depend_on_the_order_of_the_members(rule: Rule, num: int, seed: int) -> None:
    probs, members = sample(num, seed)
    order = np.random.default_rng(seed + 1).permutation(num)
    first, again = vote(probs, members, rule), vote(probs[order], np.array(members)[order], rule)
    for name in ("names", "probs", "num"):
        assert np.array_equal(getattr(again, name), getattr(first, name)), name
    assert np.array_equal(again.of, first.of[order])
    assert first.names[first.of].tolist() == members


@settings(deadline=None, max_examples=40)
@given(num=st.integers(1, 60), seed=st.integers(0, 1000))
def test_votes_are_the_means_and_the_counts_of_the_members(num: int, seed: int) -> None:
    probs, members = sample(num, seed)
    mean, majority = vote(probs, members), vote(probs, members, "majority")
    assert mean.names.tolist() == sorted(set(members)) == majority.names.tolist()
    assert mean.num.tolist() == [members.count(name) for name in mean.names] == majority.num.tolist()
    for row, name in enumerate(mean.names):
        own = probs[[member == name for member in members]]
        assert mean.probs[row] == pytest.approx(own.mean(0))
        counts = Counter(own.argmax(1).tolist())
        assert majority.probs[row] == pytest.approx([counts[k] / len(own) for k in range(3)])
    assert mean.probs.sum(1) == pytest.approx(np.ones(len(mean.names)))


def test_the_two_rules_decide_otherwise_where_a_minority_is_sure() -> None:
    probs = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    assert vote(probs, ["a"] * 3).probs.argmax(1) == [0]
    assert vote(probs, ["a"] * 3, "majority").probs.argmax(1) == [1]


@pytest.mark.parametrize("rule", RULES)
def test_a_tie_goes_to_the_first_class(rule: Rule) -> None:
    probs = np.array([[0.3, 0.7], [0.7, 0.3]], dtype=np.float32)
    assert vote(probs, ["a", "a"], rule).probs.tolist() == [[0.5, 0.5]]
    assert vote(probs, ["a", "a"], rule).probs.argmax(1) == [0]


def test_a_member_alone_keeps_its_probabilities() -> None:
    probs, _ = sample(4, 0)
    votes = vote(probs, ["d", "c", "b", "a"])
    assert np.array_equal(votes.probs, probs[::-1])
    assert votes.num.tolist() == [1] * 4


def test_tiles_vote_for_images_and_images_for_patients_with_equal_weight() -> None:
    tiles = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]])
    images = vote(tiles, ["x/1"] * 3 + ["x/2"])
    patients = vote(images.probs, [name.split("/")[0] for name in images.names.tolist()])
    assert patients.probs.tolist() == [[0.5, 0.5]]
    assert vote(tiles, ["x"] * 4).probs.tolist() == [[0.75, 0.25]]  # a vote at once gives the larger image more weight


@pytest.mark.parametrize(
    ("probs", "members", "rule", "message"),
    [
        (np.ones((2, 2)), ["a"], "mean", r"1 names for probabilities \[2, 2\]"),
        (np.ones((0, 2)), [], "mean", r"0 names for probabilities \[0, 2\]"),
        (np.ones(2), ["a", "b"], "mean", r"probabilities \[2\]"),
        (np.ones((1, 2)), ["a"], "loudest", "rule loudest; expected mean or majority"),
    ],
)
def test_what_is_no_vote_is_refused(probs: NDArray[np.float64], members: list[str], rule: Rule, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vote(probs, members, rule)
