"""What the design says of training reaches every cell, and makes it another cell."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import save_file
from torch import nn

from classifiers.config import FitConfig
from ganaug.classify.train import build_classifier
from ganaug.config import StudyConfig
from ganaug.study import cost
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


def test_pretrained_layers_of_every_cell_learn_at_the_rate_of_the_study(world: "World", quick: StudyConfig) -> None:
    slow = replace(quick, body_learning_rate=1e-5)
    assert fit_config_of(slow, fold=0, seed=0).body_learning_rate == 1e-5
    assert fit_config_of(slow, fold=0, seed=0).learning_rate == quick.learning_rate
    plans = [plan_cells(world.design(config)) for config in (quick, slow)]
    assert len(plans[0]) > 0
    assert {cell.digest for cell in plans[0]}.isdisjoint(cell.digest for cell in plans[1])


def test_a_dry_run_times_the_steps_of_the_cells(
    world: "World", quick: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the study's options, and from the weights that its cells start from."""
    name, seen = quick.classifiers[0], []
    file = tmp_path / "weights.safetensors"
    weights = build_classifier(world.dataset, name, seed=3).state_dict()
    save_file(weights, file)

    def watch(model: nn.Module, *data: object, config: FitConfig) -> None:
        seen.append((config, model.pretrained_parts))

    monkeypatch.setattr(cost, "fit", watch)
    config = replace(quick, pretrained=((name, str(file)),), body_learning_rate=1e-5)
    assert cost.time_step(name, world.dataset, config, "cpu") >= 0
    assert len(seen) == 2
    for timed, parts in seen:
        assert replace(timed, num_steps=config.num_steps) == fit_config_of(config, fold=0, seed=0)
        assert parts == ("cnn",)
