"""Pictures known by what they show: real fields differ from each other, and a blank image is no picture of anything."""

from pathlib import Path

import numpy as np

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.held_out import MAX_BITS_OF_ONE_PICTURE, fewest_bits, find_shown
from ganaug.data.images.perceptual_hash import grey_version, hashes_of
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.workspace import Workspace


def test_no_two_fields_of_breakhis_are_taken_for_one_picture(workspace: Workspace, shared: Path) -> None:
    source, folds = str(shared / "BreaKHis_v1"), FoldsConfig(num_folds=4)
    prepare_dataset(workspace, PrepareConfig("breakhis", source=source, resolution_px=64, folds=folds))
    dataset = open_dataset(workspace, "breakhis")
    images = dataset.reader[np.arange(len(dataset.table))]
    hashes = hashes_of(np.stack([grey_version(image) for image in images]))
    bits = fewest_bits(hashes[:, 0], hashes)
    pairs = np.minimum(bits, bits.T)[np.triu_indices(len(bits), 1)]
    assert len(pairs) > 300_000
    assert pairs.min() > MAX_BITS_OF_ONE_PICTURE


def test_an_image_of_one_grey_shows_no_held_out_picture(tiny: DataSet) -> None:
    assert len(find_shown(tiny, 0, np.full((2, 16, 16, 3), 128, np.uint8))) == 0


def test_a_held_out_picture_is_found_and_a_training_picture_is_not(tiny: DataSet) -> None:
    test, train = tiny.test(0)[:2], tiny.train(0)[:2]
    shown = find_shown(tiny, 0, tiny.reader[np.concatenate([train, test])])
    assert [(place, member) for place, member in shown.tolist()] == [(2, test[0]), (3, test[1])]
