"""The tiles of patients: few are used, whatever the class, and features are extracted of these alone."""

from dataclasses import replace

import numpy as np
import pytest
from torch import Tensor

from ganaug.classify import patients as classify_patients
from ganaug.classify.patients import TakenImages, choose_tiles, read_patients
from ganaug.config import CPU, FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.errors import ConfigError, DataError
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.features import features_of
from ganaug.workspace import Workspace


@pytest.fixture
def dataset(workspace: Workspace) -> DataSet:
    config = PrepareConfig(
        "paired-phantom", resolution_px=16, phantom=PhantomConfig(16, 12, 3, 8.0), folds=FoldsConfig(num_folds=3)
    )
    prepare_dataset(workspace, config)
    return open_dataset(workspace, "paired-phantom")


@pytest.fixture
def seen() -> list[int]:
    """How many images the extractor is shown at a time."""
    return []


@pytest.fixture
def means(seen: list[int], monkeypatch: pytest.MonkeyPatch) -> Extractor:
    """The extractor that is used, which takes no time: the mean colour."""

    def embed(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images.float().mean((2, 3))

    means = Extractor("means", "0" * 64, "of each channel", embed)
    monkeypatch.setattr(classify_patients, "open_extractor", lambda *given: means)
    return means


def test_features_are_extracted_of_the_tiles_that_are_used_once(
    workspace: Workspace, dataset: DataSet, means: Extractor, seen: list[int]
) -> None:
    first = read_patients(workspace, dataset, 0, extractor=None, max_tiles=2, compute=CPU)
    assert (first.num_tiles, sum(seen)) == (24, 24)
    read_patients(workspace, dataset, 1, extractor=None, max_tiles=2, compute=CPU)
    assert sum(seen) == 24
    whole = features_of(workspace, dataset.images(0), means)
    assert sum(seen) == 24 + 36
    tiles_of = choose_tiles(dataset, 2)
    assert tuple(tiles_of) == first.groups
    for bag, (group, tiles) in zip(first.samples.tiles, tiles_of.items(), strict=True):
        assert set(dataset.table.group_id[tiles]) == {group}
        np.testing.assert_array_equal(bag, whole[tiles])
    fewer = read_patients(workspace, dataset, 0, extractor=None, max_tiles=1, compute=CPU)
    assert sum(seen) == 24 + 36, "the features of all are there"
    for bag, one_tile in zip(first.samples.tiles, fewer.samples.tiles, strict=True):
        assert np.array_equal(bag[:1], one_tile)


def test_no_class_decides_which_tiles_are_used(dataset: DataSet) -> None:
    table = dataset.table
    relabelled = replace(dataset, table=replace(table, label=np.roll(table.label, 6)))
    other = replace(dataset, table=replace(table, label=np.zeros_like(table.label)))
    assert not np.array_equal(relabelled.table.label, table.label)
    for chosen in (choose_tiles(relabelled, 1), choose_tiles(other, 1)):
        assert {group: tiles.tolist() for group, tiles in chosen.items()} == {
            group: tiles.tolist() for group, tiles in choose_tiles(dataset, 1).items()
        }


def test_a_patient_of_two_classes_is_refused(dataset: DataSet) -> None:
    label = dataset.table.label.copy()
    label[0] = 1 - label[0]
    with pytest.raises(DataError, match="1 of 12 patients have tiles of several classes"):
        choose_tiles(replace(dataset, table=replace(dataset.table, label=label)), 1)


def test_images_without_a_label_are_of_no_patient(dataset: DataSet) -> None:
    label = dataset.table.label.copy()
    label[dataset.table.group_id == "paired-p003"] = -1
    chosen = choose_tiles(replace(dataset, table=replace(dataset.table, label=label)), 1)
    assert len(chosen) == 11
    assert "paired-p003" not in chosen


def test_taken_images_are_those_of_the_file_under_a_digest_of_their_own(dataset: DataSet) -> None:
    images, indices = dataset.images(0), np.array([5, 3, 8])
    taken = TakenImages(images, indices)
    assert len(taken) == 3
    assert np.array_equal(taken[np.array([2, 0])], images[np.array([8, 5])])
    digests = {taken.digest, TakenImages(images, indices[:2]).digest, TakenImages(images, indices[::-1]).digest}
    assert len(digests | {images.digest}) == 4


def test_an_extractor_that_is_trained_on_the_data_set_is_refused(workspace: Workspace, dataset: DataSet) -> None:
    with pytest.raises(ConfigError, match="no generator"):
        read_patients(workspace, dataset, 0, extractor="classifier", max_tiles=1, compute=CPU)
