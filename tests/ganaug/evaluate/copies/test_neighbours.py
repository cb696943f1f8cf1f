"""Figures of nearest neighbours, next to peers and closed forms."""

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from ganaug.evaluate.copies.neighbours import (
    NEEDS,
    Nearest,
    authenticity,
    cells_of,
    copying_p_value,
    copying_z,
    most_frequent,
    nearest,
)


def draw(num: int, seed: int, dim: int = 5) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(size=(num, dim))


def near(distance: object) -> Nearest:
    values = np.asarray(distance, np.float64)
    return Nearest(values, np.zeros(len(values), np.int64))


def test_nearest_neighbours_are_those_of_scikit_learn() -> None:
    images, references = draw(700, 0), draw(90, 1)
    found = nearest(images, references)
    distance, position = NearestNeighbors(n_neighbors=1).fit(references).kneighbors(images)
    assert np.allclose(found.distance, distance[:, 0])
    assert np.array_equal(found.position, position[:, 0])
    assert nearest(references[:0], references).distance.shape == (0,)


def test_the_same_image_is_at_no_distance_and_another_patients_at_some() -> None:
    references = draw(60, 0) + 1e3
    group = np.repeat([f"p{number}" for number in range(20)], 3)
    assert nearest(references, references).distance.max() == 0
    between = nearest(references, references, (group, group))
    assert np.all(group[between.position] != group)
    assert np.isinf(nearest(references[:3], references[:3], (group[:3], group[:3])).distance).all()


def test_copies_are_not_authentic_and_images_far_away_are() -> None:
    references = draw(200, 0)
    group = np.arange(200).astype(str)
    between = nearest(references, references, (group, group)).distance
    assert authenticity(nearest(references + 1e-6, references), between) == 0
    assert authenticity(nearest(references + 100, references), between) == 1
    honest = authenticity(nearest(draw(2000, 1), references), between)
    assert 0.4 < honest < 0.65  # two distances of the same law: one half, and somewhat more around loose neighbours


def test_the_fraction_of_the_most_frequent_patient() -> None:
    assert most_frequent(np.array(["a", "b", "a", "c"])) == 0.5


def test_in_one_cell_the_score_is_that_of_mann_and_whitney() -> None:
    ours, theirs = draw(80, 0)[:, 0], draw(50, 1)[:, 0] + 0.3
    z = copying_z(near(ours), near(theirs), np.zeros(1, np.int64))
    peer = stats.mannwhitneyu(ours, theirs, alternative="less", method="asymptotic", use_continuity=False)
    assert z is not None
    assert stats.norm.cdf(z) == pytest.approx(peer.pvalue)


def test_copies_are_far_below_zero_and_a_cell_with_too_few_is_skipped() -> None:
    ours, theirs = near(np.zeros(100)), near(np.ones(100))
    z = copying_z(ours, theirs, np.zeros(1, np.int64))
    assert z is not None
    assert z < -10
    assert copying_z(near(np.zeros(NEEDS - 1)), theirs, np.zeros(1, np.int64)) is None
    split = Nearest(np.r_[np.zeros(NEEDS), np.ones(3)], np.r_[np.zeros(NEEDS, np.int64), np.ones(3, np.int64)])
    of_cell = Nearest(np.ones(NEEDS + 3), split.position)
    cells = np.array([0, 1])
    assert copying_z(split, of_cell, cells) == copying_z(near(np.zeros(NEEDS)), near(np.ones(NEEDS)), cells[:1])


def test_patients_are_counted_and_not_their_images() -> None:
    """Honest images, and held-out ones whose patients differ: 5 % of p-values lie below 5 %, and not far more."""
    rng = np.random.default_rng(0)
    group = np.repeat([f"p{number}" for number in range(12)], 10)
    below, naive = 0, 0
    for _ in range(300):
        ours = rng.normal(size=100) * np.sqrt(2)
        theirs = np.repeat(rng.normal(size=12), 10) + rng.normal(size=120)
        p = copying_p_value(ours, theirs, group)
        z = copying_z(near(ours), near(theirs), np.zeros(1, np.int64))
        assert p is not None
        assert z is not None
        below += p < 0.05
        naive += z < -1.645
    assert 0.02 < below / 300 < 0.08
    assert naive / 300 > 0.1


def test_one_held_out_patient_gives_no_p_value() -> None:
    assert copying_p_value(np.zeros(10), np.ones(10), np.full(10, "a")) is None
    p = copying_p_value(np.zeros(50), np.ones(50), np.arange(50).astype(str))
    assert p is not None
    assert p < 1e-6


def test_cells_are_few_where_images_are() -> None:
    features = draw(300, 0)
    assert set(cells_of(features, 3 * NEEDS, 0).tolist()) == {0}
    cells = cells_of(features, 9 * NEEDS, 0)
    assert set(cells.tolist()) == {0, 1, 2}
    assert np.array_equal(cells, cells_of(features, 9 * NEEDS, 0))
