"""Leaks planted in the choice of the file that serves a fold: each is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from ganaug.checkpoint.snapshot import content_of, load_snapshot, load_tensors, save_tensors
from ganaug.config import FoldsConfig, GanConfig, NetworkConfig, SynthesisConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.synthetic import admit_synthetic
from ganaug.errors import ConfigError, LeakError, WorkspaceError
from ganaug.generate.find import Choice
from ganaug.generate.supplies import Supply, supplies_for, supply_for
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.study.admission.guard import admit
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import GanRun, Workspace

Reseal = Callable[..., None]
GAN = GanConfig(NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16), total_kimg=0.016, batch=8)


def test_what_serves_does_not_depend_on_the_times_of_files(trained: GanRun) -> None:
    import os

    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    first, second, small = (
        synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=number, seed=seed)))
        for seed, number in enumerate((8, 8, 2))
    )
    for times in ([1, 2, 3], [3, 2, 1], [2, 3, 1]):
        for path, seconds in zip((first, second, small), times, strict=True):
            os.utime(path, (seconds, seconds))
        supply = supply_for(workspace, dataset, 2, at_least=5)
        assert supply is not None
        assert (supply.synthetic, supply.num_others) == (second, 2)
        assert supply_for(workspace, dataset, 2).synthetic == small  # type: ignore[union-attr]
    assert supply_for(workspace, dataset, 2, at_least=99).synthetic in (first, second)  # type: ignore[union-attr]
    chosen = supply_for(workspace, dataset, 2, choice=Choice(files=(first,)))
    assert chosen is not None
    assert chosen.synthetic == first
    assert supplies_for(workspace, dataset, [0, 1, 2])[0].fold == 2


def test_what_was_chosen_serves_or_is_refused_and_nothing_takes_its_place(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    paths = [synthesize(plan_synthesis(workspace, trained, SynthesisConfig(2, seed=seed))) for seed in range(2)]
    assert supplies_for(workspace, dataset, [1, 2], choice=Choice(files=(paths[0],)))[0].synthetic == paths[0]
    for choice in (Choice(files=(paths[0],)), Choice(gans=(trained.root.name,))):
        with pytest.raises(ConfigError, match="is of fold 2 of phantom; expected of fold 0, 1 of phantom"):
            supplies_for(workspace, dataset, [0, 1], choice=choice)
    with pytest.raises(ConfigError, match="are all of fold 2"):
        supplies_for(workspace, dataset, [2], choice=Choice(files=tuple(paths)))


def test_a_generator_of_other_folds_serves_none_of_these(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=2)))
    assert supply_for(workspace, dataset, 2) is not None
    write_folds(workspace.folds("phantom"), make_folds(dataset.table, FoldsConfig(num_folds=3, seed=9)))
    other = open_dataset(workspace, "phantom")
    assert supply_for(workspace, other, 2) is None
    with pytest.raises(WorkspaceError, match="other folds"):
        supply_for(workspace, other, 2, choice=Choice(gans=(trained.root.name,)))


def test_images_that_hide_whom_their_generator_saw_disagree_with_its_snapshot(trained: GanRun, reseal: Reseal) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    path = synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=2)))
    _, record = admit_synthetic(dataset, path)
    reseal(path, replace(record, images_seen=record.images_seen[1:]))
    with pytest.raises(LeakError, match="synthesize again"):
        admit(workspace, dataset, Supply(2, trained, path))


def test_a_snapshot_of_another_fold_put_into_this_ones_folder_makes_no_images(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    other = train_gan(plan_training(workspace, dataset, 1, GAN))
    (own,), (theirs,) = trained.snapshots(), other.snapshots()
    own.write_bytes(theirs.read_bytes())
    with pytest.raises(LeakError, match=f"is a snapshot of {other.root.name}; expected one of {trained.root.name}"):
        synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=2)))
    assert workspace.synthetics() == []


def test_a_snapshot_sealed_again_with_other_weights_is_another_generator(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    path = synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=2)))
    (snapshot,) = trained.snapshots()
    tensors, metadata = load_tensors(snapshot)
    tensors = {name: value + 1 if value.is_floating_point() else value for name, value in tensors.items()}
    content = content_of(tensors, metadata)
    record = replace(load_snapshot(snapshot).provenance, generator=content).sealed(content)
    save_tensors(snapshot, tensors, {**metadata, "provenance": record.to_json()})
    assert torch.is_tensor(next(iter(tensors.values())))
    with pytest.raises(LeakError, match="was made by the generator"):
        admit(workspace, dataset, Supply(2, trained, path))


def test_images_of_another_generator_under_this_ones_name_are_refused(trained: GanRun, reseal: Reseal) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    path = synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=2)))
    _, record = admit_synthetic(dataset, path)
    reseal(path, replace(record, config_digest="0" * 64, generator="1" * 64))  # of which no snapshot can speak
    with pytest.raises(LeakError, match=f"under the name of the generator {trained.root.name}, and its record is of"):
        admit(workspace, dataset, Supply(2, trained, path))
