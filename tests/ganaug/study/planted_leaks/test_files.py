"""Leaks planted in a file: edited, of another fold, or with the record of another; each is refused."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.torch import save_file

from ganaug.checkpoint.snapshot import load_snapshot, load_tensors, save_tensors
from ganaug.config import FoldsConfig, GanConfig, NetworkConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.errors import CorruptFile, LeakError
from ganaug.evaluate.extractors.trained_classifier import open_classifier
from ganaug.generate.find import generators_for
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import GanRun, Workspace, read_json, write_json

GAN = GanConfig(NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16), total_kimg=0.016, batch=8)


@pytest.mark.parametrize("column", ["group_id", "label", "sha256", "site_id"])
def test_a_patient_moved_to_the_training_part_is_refused_at_the_opening(
    tiny: DataSet, workspace: Workspace, column: str
) -> None:
    with h5py.File(tiny.path, "r+") as file:
        old = file[column][0]
        file[column][0] = file[column][-1] if column == "group_id" else b"other" if isinstance(old, bytes) else 1 - old
    with pytest.raises(LeakError, match="edited after it was written"):
        open_dataset(workspace, tiny.name)


def test_pixels_of_test_patients_in_training_rows_are_found_by_whatever_uses_them(
    tiny: DataSet, workspace: Workspace
) -> None:
    train, test = tiny.train(0), tiny.test(0)
    with h5py.File(tiny.path, "r+") as file:
        file["images"][int(train[0])] = file["images"][int(test[0])]
    dataset = open_dataset(workspace, tiny.name)  # the table is as it was
    for use in (dataset.images, lambda fold: dataset.reader, lambda fold: open_classifier(Path("x"), dataset, fold)):
        with pytest.raises(LeakError, match="was changed after it was written"):
            use(0)


def test_another_folds_stain_is_refused(tmp_path: Path, workspace: Workspace, tiny: DataSet) -> None:
    path = workspace.dataset("stained")
    table = replace(tiny.table, attrs={**tiny.table.attrs, "stain": {"method": "macenko"}})
    with writing_images(path, 16) as writer:
        writer.append(tiny.reader[np.arange(len(table))])
        for fold in range(3):
            writer.append_stained(fold, np.full((len(table), 16, 16, 3), fold, np.uint8))
        table = writer.finish(table)
    write_folds(workspace.folds("stained"), make_folds(table, FoldsConfig(num_folds=3)))
    assert open_dataset(workspace, "stained").images(1)[np.array([0])].max() == 1
    with h5py.File(path, "r+") as file:
        file["stained/fold0"][...] = file["stained/fold1"][...]
    dataset = open_dataset(workspace, "stained")
    assert dataset.images(1)[np.array([0])].max() == 1
    with pytest.raises(LeakError, match=r"stained/fold0"):
        dataset.images(0)


def test_a_state_of_another_fold_is_not_trained_on_in_this_one(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    here = plan_training(workspace, dataset, 0, GAN)
    (theirs,) = trained.states()
    tensors, metadata = load_tensors(theirs)
    save_tensors(here.run.state(16), tensors, {**metadata, "run": here.digest})
    with pytest.raises(CorruptFile, match="edited after it was written"):
        train_gan(here)
    assert here.run.snapshots() == []


@pytest.mark.parametrize("name", ["config", "class_names"])
def test_a_snapshot_with_another_configuration_or_other_classes_is_refused(trained: GanRun, name: str) -> None:
    (path,) = trained.snapshots()
    tensors, metadata = load_tensors(path)
    old = json.loads(metadata[name])
    new = {**old, "seed": 7} if name == "config" else old[::-1]
    save_file(tensors, path, metadata={**metadata, name: json.dumps(new)})
    with pytest.raises(LeakError, match="changed after"):
        load_snapshot(path)


def test_a_generator_whose_configuration_was_edited_serves_no_fold(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    assert len(generators_for(workspace, dataset, 2)) == 1
    write_json(trained.config, {**read_json(trained.config), "created": "2000-01-01"})
    assert generators_for(workspace, dataset, 2) == []
    others: tuple[object, ...] = (5, [], {}, "text")
    for other in others:
        write_json(trained.config, other)
        assert generators_for(workspace, dataset, 2) == []
