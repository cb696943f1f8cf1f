"""What the design says of training reaches every cell, and makes it another cell."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from classifiers.config import FitConfig
from ganaug.classify.fold import train_and_test
from ganaug.classify.train import build_classifier, images_of
from ganaug.classify.train_stored import train_stored
from ganaug.config import StudyConfig
from ganaug.study.design import fit_config_of, plan_cells
from ganaug.study.plan import cost
from ganaug.study.training_set import plan_classifiers

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
    assert cost.time_network(name, world.dataset, config, "cpu").step >= 0
    assert len(seen) == 2
    for timed, parts in seen:
        assert replace(timed, num_steps=config.num_steps) == fit_config_of(config, fold=0, seed=0)
        assert parts == ("cnn",)


def test_a_dry_run_counts_every_prediction_that_a_cell_and_a_kept_classifier_make(
    world: "World", quick: StudyConfig
) -> None:
    name, dataset = quick.classifiers[0], world.dataset
    config = replace(quick, seeds=(0,), num_steps=9)
    kind, predicted = type(build_classifier(dataset, name, seed=0)), []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if type(module) is kind and not module.training:
            predicted.append(len(inputs[0]))

    per_image = cost.NetworkTime(step=0.0, image=1.0)
    handle = register_module_forward_hook(count)
    try:
        fit, images = fit_config_of(config, 1, 0), images_of(dataset, 1, dataset.train(1))
        train_and_test(world.workspace, dataset, 1, name, images, fit, seed=0, weights=None)
        of_cell = sum(predicted)
        predicted.clear()
        (task,) = plan_classifiers(world.workspace, dataset, [1], config)
        train_stored(task)
    finally:
        handle.remove()
    assert of_cell == per_image.of_training(dataset, config, 1)
    assert sum(predicted) == per_image.of_training(dataset, config, 1, is_kept=True)
    steps = cost.NetworkTime(step=1.0, image=0.0)
    assert steps.of_training(dataset, config, 1) == config.num_steps
