"""What each scheme promises, over thousands of random group structures."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug import config as options
from ganaug.config import FoldsConfig
from ganaug.data.folds.schemes import FEWEST, SCHEMES, TEST, TRAIN, VAL, gather, k_fold
from ganaug.errors import FoldsError

ALL_PARTS = (TRAIN, VAL, TEST)


def random_counts(rng: np.random.Generator, single: bool) -> NDArray[np.int64]:
    """Images per unit and class, of units of one class or of several."""
    num_units, num_classes = int(rng.integers(3, 26)), int(rng.integers(1, 5))
    sizes = rng.geometric(rng.uniform(0.02, 0.9), num_units)
    classes = rng.integers(num_classes, size=num_units)
    single_class = np.eye(num_classes, dtype=np.int64)[classes] * sizes[:, None]
    counts = single_class if single else rng.poisson(1.5, (num_units, num_classes))
    return counts[counts.any(axis=1)]


def config_of(scheme: str, rng: np.random.Generator) -> FoldsConfig:
    return FoldsConfig(int(rng.integers(3, 6)), int(rng.integers(100)), scheme, num_repeats=2)


def times_tested(scheme: str, config: FoldsConfig) -> int:
    return config.num_repeats if scheme == "repeated" else 1


def test_every_scheme_of_the_options_is_there_but_the_fixed_list() -> None:
    assert {*SCHEMES, "fixed"} == set(options.SCHEME_NAMES)


def test_thousands_of_random_structures_get_what_their_scheme_promises() -> None:
    rng, num_found = np.random.default_rng(0), dict.fromkeys(SCHEMES, 0)
    for trial in range(3000):
        scheme, single = list(SCHEMES)[trial % 4], trial % 8 < 4
        counts, config = random_counts(rng, single), config_of(scheme, rng)
        needed = config.num_folds if scheme in ("k-fold", "repeated") else FEWEST
        roles = SCHEMES[scheme](counts, config)
        enough = np.all((counts > 0).sum(axis=0) >= needed)
        if single or not enough:  # with units of one class it is known when a cut exists
            assert (roles is not None) == enough
        if roles is None:
            continue
        num_found[scheme] += 1
        assert np.isin(roles, ALL_PARTS).all()  # one part a unit and fold, by the very shape of the array
        assert roles.shape[1] == len(counts)
        tested = (roles == TEST).sum(axis=0)
        if scheme == "hold-out":
            assert len(roles) == 1
        else:
            assert (tested == times_tested(scheme, config)).all()
        promised = (TRAIN, VAL) if scheme == "leave-one-out" else ALL_PARTS
        for part in promised:
            assert ((roles == part) @ counts).min() > 0  # images of every class in this part of every fold
        if scheme == "leave-one-out":
            assert ((roles == TEST).sum(axis=1) == 1).all()
    assert min(num_found.values()) > 200


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_seed_decides(scheme: str) -> None:
    counts = np.random.default_rng(0).poisson([10, 4], (40, 2))
    first, again, other = (SCHEMES[scheme](counts, FoldsConfig(5, seed, scheme)) for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_first_repeat_is_the_k_fold_of_the_seed_and_the_others_are_cut_again() -> None:
    counts = np.random.default_rng(0).poisson([10, 4], (40, 2))
    config = FoldsConfig(4, 7, "repeated", num_repeats=3)
    alone, roles = k_fold(counts, config), SCHEMES["repeated"](counts, config)
    assert roles is not None
    assert alone is not None
    repeats = roles.reshape(3, 4, 40)
    assert np.array_equal(repeats[0], alone)
    assert not np.array_equal(repeats[0], repeats[1])
    assert not np.array_equal(repeats[1], repeats[2])


@pytest.mark.parametrize("scheme", ["hold-out", "leave-one-out"])
def test_validation_gets_its_share_of_every_class(scheme: str) -> None:
    counts = np.random.default_rng(1).poisson([12, 6, 3], (80, 3))
    roles = SCHEMES[scheme](counts, FoldsConfig(5, 0, scheme))
    assert roles is not None
    fractions = (roles == VAL) @ counts / counts.sum(axis=0)
    assert np.abs(fractions - 0.2).max() < 0.02


def test_leave_one_out_stops_at_five_hundred_folds() -> None:
    counts = np.eye(2, dtype=np.int64)[np.arange(501) % 2]
    config = FoldsConfig(scheme="leave-one-out")
    assert SCHEMES["leave-one-out"](counts, config) is None
    roles = SCHEMES["leave-one-out"](counts[:500], config)
    assert roles is not None
    assert len(roles) == 500


def test_groups_that_share_a_site_through_others_are_one_unit() -> None:
    #            p0 and p1 share s0; p1 and p2 share s1; p3 is alone in s2, with two images
    groups = np.array(["p0", "p1", "p1", "p2", "p3", "p3"])
    sites = np.array(["s0", "s0", "s1", "s1", "s2", "s2"])
    population = gather(np.array([0, 1, 1, 0, 1, 1]), groups, sites, 2, "site")
    assert population.groups.tolist() == ["p0", "p1", "p2", "p3"]
    assert population.unit.tolist() == [0, 0, 0, 1]
    assert population.counts.tolist() == [[2, 2], [0, 2]]
    assert population.by_group().counts.tolist() == [[1, 0], [0, 2], [1, 0], [0, 2]]


def test_images_without_a_site_are_counted_and_refused() -> None:
    with pytest.raises(FoldsError, match=r"2 of 3 images have no site.*--fold-by group"):
        gather(np.zeros(3, int), np.array(list("abc")), np.array(["", "s", ""]), 1, "site")


def test_images_without_a_label_count_for_no_class() -> None:
    population = gather(np.array([0, -1, 1, -1]), np.array(list("aabb")), np.array([""] * 4), 2, "group")
    assert population.counts.tolist() == [[1, 0], [0, 1]]
