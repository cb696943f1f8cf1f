"""What each arm trains on, and that arms differ by nothing else."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ganaug.config import StudyConfig
from ganaug.data.mixture import Mixture
from ganaug.errors import ConfigError
from ganaug.study.arms import ARMS
from ganaug.study.cells import compose
from ganaug.study.design import plan_cells, seeds_of

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


@pytest.fixture
def mixtures(world: "World") -> dict[str, Mixture]:
    config = StudyConfig(classifiers=("dalaresnet50_small",), seeds=(0,), folds=(0,), ratio=1.5)
    design = world.design(config)
    return {cell.arm: compose(world.dataset, design, cell) for cell in plan_cells(design)}


def test_a_ratio_that_adds_no_image_of_a_class_is_refused_before_a_cell(world: "World") -> None:
    config = StudyConfig(classifiers=("dalaresnet50_small",), seeds=(0,), folds=(0,), ratio=0.01)
    with pytest.raises(ConfigError, match=r"--ratio 0\.01 adds no image of Benign, Malignant in fold 0"):
        world.design(config)


def test_control_has_the_class_counts_of_the_treatment(mixtures: dict[str, Mixture]) -> None:
    assert set(mixtures) == set(ARMS)
    counts = {arm: np.bincount(mixture.labels).tolist() for arm, mixture in mixtures.items()}
    assert counts["real"] == [8, 8]
    assert counts["real-oversampled"] == counts["real+synthetic"] == [20, 20]
    assert counts["synthetic-only"] == [12, 12]


def test_control_holds_real_training_images_alone_and_evenly(world: "World", mixtures: dict[str, Mixture]) -> None:
    times = np.bincount(mixtures["real-oversampled"].index)[world.dataset.train(0)]
    assert times.sum() == 40
    assert set(times.tolist()) == {2, 3}


def test_synthetic_images_are_drawn_once_and_alike_for_both_arms(mixtures: dict[str, Mixture]) -> None:
    both, alone = mixtures["real+synthetic"], mixtures["synthetic-only"]
    drawn = both.index[both.source == 1]
    assert len(set(drawn.tolist())) == len(drawn) == 24
    assert drawn.tolist() == alone.index.tolist()


def test_labels_belong_to_the_images_that_are_read(mixtures: dict[str, Mixture]) -> None:
    assert len(mixtures) == len(ARMS)
    for mixture in mixtures.values():
        assert len(mixture) in (16, 24, 40)
        images = mixture[np.arange(len(mixture))].astype(float)
        assert ((images[..., 2].mean((1, 2)) > images[..., 0].mean((1, 2))) == (mixture.labels == 1)).all()


def test_no_arm_of_a_fold_reads_a_held_out_image(world: "World", mixtures: dict[str, Mixture]) -> None:
    held_out = set(world.dataset.val(0).tolist()) | set(world.dataset.test(0).tolist())
    assert len(held_out) == len(world.dataset.val(0)) + len(world.dataset.test(0)) > 0
    for arm in ("real", "real-oversampled"):
        assert len(mixtures[arm].index) > 0
        assert not held_out & set(mixtures[arm].index.tolist())


def test_seeds_depend_on_fold_and_seed_alone_and_differ() -> None:
    drawn = [seeds_of(fold, seed) for fold in range(3) for seed in range(3)]
    assert len(drawn) == len({seeds.weights for seeds in drawn}) == 9
    assert seeds_of(1, 2) == seeds_of(1, 2) != seeds_of(2, 1)
