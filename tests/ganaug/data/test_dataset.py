import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data import dataset as module
from ganaug.data.dataset import DataSet, TrainingImages, default_dataset, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.errors import ConfigError, DataError
from ganaug.workspace import Workspace


@pytest.fixture
def dataset(workspace: Workspace, make_tree: Callable[..., Path]) -> DataSet:
    root = make_tree({label: {f"{label}{patient}": 3 for patient in range(4)} for label in ("a", "b")})
    prepare_dataset(workspace, PrepareConfig("folder", str(root), resolution_px=16, folds=FoldsConfig(3)))
    return open_dataset(workspace, "folder")


def test_the_parts_of_a_fold_share_no_patient_and_make_up_the_whole(dataset: DataSet) -> None:
    for fold in range(3):
        parts = [part(fold) for part in (dataset.train, dataset.val, dataset.test)]
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(24))
        patients = [set(dataset.table.group_id[part]) for part in parts]
        assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]


def test_the_largest_class_is_counted_among_training_images(
    workspace: Workspace, make_tree: Callable[..., Path]
) -> None:
    sizes = {"a": {f"a{patient}": 1 for patient in range(6)}, "b": {f"b{patient}": 4 for patient in range(6)}}
    prepare_dataset(workspace, PrepareConfig("folder", str(make_tree(sizes)), resolution_px=16, folds=FoldsConfig(3)))
    dataset = open_dataset(workspace, "folder")
    trained = [group for group in dataset.folds.train_groups(0) if group.startswith("b")]
    assert dataset.largest_class(0) == 4 * len(trained) == 8


@pytest.mark.parametrize("fold", [-1, 3])
def test_an_unknown_fold_is_refused(dataset: DataSet, fold: int) -> None:
    with pytest.raises(ConfigError, match="expected a number from 0 to 2"):
        dataset.train(fold)


def test_a_data_set_that_is_not_prepared_names_the_command(workspace: Workspace, dataset: DataSet) -> None:
    with pytest.raises(
        DataError, match=r"'bach' is not prepared in .*; prepared: folder; run `ganaug prepare --dataset bach`"
    ):
        open_dataset(workspace, "bach")
    with pytest.raises(DataError, match=r"run `ganaug prepare --dataset folder --source … --name lab`"):
        open_dataset(workspace, "lab")
    workspace.folds("folder").unlink()
    with pytest.raises(DataError, match="not prepared"):
        open_dataset(workspace, "folder")


def test_the_last_prepared_is_the_default(workspace: Workspace, dataset: DataSet) -> None:
    assert default_dataset(workspace) == "folder"
    later = workspace.dataset("later")
    later.write_bytes(dataset.path.read_bytes())
    workspace.folds("later").write_bytes(workspace.folds("folder").read_bytes())
    os.utime(later, ns=(dataset.path.stat().st_mtime_ns + 10**9,) * 2)
    assert default_dataset(workspace) == "later"


def test_an_empty_workspace_has_no_default(workspace: Workspace) -> None:
    with pytest.raises(DataError, match="no data set is prepared"):
        default_dataset(workspace)


def test_every_image_is_shown_once_an_epoch(dataset: DataSet) -> None:
    indices = dataset.train(0)
    order = TrainingImages(dataset, 0, batch=5, seed=0)
    num = len(indices)
    shown = np.concatenate([order.batch_at(step)[0] for step in range(num)])  # five epochs
    for epoch in range(5):
        seen = {image.tobytes() for image in shown[epoch * num : (epoch + 1) * num]}
        assert seen == {image.tobytes() for image in dataset.reader[indices]}


def test_a_batch_depends_on_seed_and_step_alone(dataset: DataSet) -> None:
    walked, jumped, other = (TrainingImages(dataset, 0, 5, seed) for seed in (7, 7, 8))
    batches = [walked.batch_at(step) for step in range(9)]
    for step in (8, 2, 5):
        images, labels = jumped.batch_at(step)
        assert np.array_equal(images, batches[step][0])
        assert np.array_equal(labels, batches[step][1])
    assert not np.array_equal(other.batch_at(0)[0], batches[0][0])


def test_labels_belong_to_their_images(dataset: DataSet) -> None:
    order = TrainingImages(dataset, 1, batch=4, seed=0)
    label_of = {
        image.tobytes(): label for image, label in zip(dataset.reader[np.arange(24)], dataset.table.label, strict=True)
    }
    for step in range(6):
        images, labels = order.batch_at(step)
        assert labels.tolist() == [label_of[image.tobytes()] for image in images]


def test_reading_from_disk_gives_what_memory_gives(dataset: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    held = TrainingImages(dataset, 0, batch=30, seed=0)
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", 0)
    read = TrainingImages(dataset, 0, batch=30, seed=0)
    assert np.array_equal(held.batch_at(3)[0], read.batch_at(3)[0])
