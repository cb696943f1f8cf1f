"""What the design says of training reaches every cell, and makes it another cell."""

from dataclasses import replace
from typing import TYPE_CHECKING

from classifiers.config import FitConfig
from ganaug.config import StudyConfig
from ganaug.study.design import fit_config_of, plan_cells

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


def test_classical_augmentation_of_the_study_is_that_of_every_cell(quick: StudyConfig) -> None:
    assert (
        fit_config_of(quick, fold=0, seed=0).classical_augmentation == FitConfig().classical_augmentation == "standard"
    )
    assert (
        fit_config_of(replace(quick, classical_augmentation="strong"), fold=0, seed=0).classical_augmentation
        == "strong"
    )


def test_another_classical_augmentation_makes_other_cells_of_the_same_seeds(world: "World", quick: StudyConfig) -> None:
    designs = [replace(quick, classical_augmentation=level) for level in ("standard", "strong")]
    plans = [plan_cells(world.design(config)) for config in designs]
    assert len(plans[0]) > 0
    for first, other in zip(*plans, strict=True):
        assert first.digest != other.digest
        assert replace(first, digest="") == replace(other, digest="")
