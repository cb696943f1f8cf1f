"""A plan says what its study could show, and says where it can show nothing."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ganaug.config import StudyConfig
from ganaug.study.plan.prospect import foresee, patients_of

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


def test_patients_are_those_under_test_once_each(world: "World") -> None:
    patients, dataset = patients_of(world.dataset, (0, 1, 2)), world.dataset
    assert len(patients.label) == len(np.unique(dataset.table.group_id))
    assert patients.images.sum() == sum(len(dataset.test(fold)) for fold in range(3))
    assert set(patients.fold.tolist()) == {0, 1, 2}


def test_more_seeds_and_generators_show_smaller_gains(world: "World", quick: StudyConfig) -> None:
    few = foresee(world.dataset, (0, 1, 2), replace(quick, seeds=(0, 1, 2)), 3)
    many = foresee(world.dataset, (0, 1, 2), replace(quick, seeds=tuple(range(8))), 8)
    assert few is not None
    assert many is not None
    assert many.smallest_gain < few.smallest_gain


def test_one_seed_or_two_patients_of_a_class_can_show_nothing(world: "World", quick: StudyConfig) -> None:
    assert foresee(world.dataset, (0, 1, 2), replace(quick, seeds=(0,)), 1) is None
    assert foresee(world.dataset, (0,), replace(quick, seeds=(0, 1)), 1) is None


def test_where_not_even_perfect_images_would_show_nothing_is_foreseen(world: "World", quick: StudyConfig) -> None:
    config = replace(quick, seeds=(0, 1), confidence=0.99999)
    assert foresee(world.dataset, (0, 1, 2), config, 2) is None
