"""Leaks planted in files of synthetic images: whose they are, what their record says, what they show."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ganaug.data.synthetic import COMPARISON_VERSION
from ganaug.provenance import digest_of, sealed
from ganaug.workspace import Workspace, write_json
from leaks.forge import as_images, edit_array, edit_attribute, record_in, record_of_weights, seal_images, swap_bytes
from leaks.leak import Leak
from leaks.scene import FOLDS, Command, Scene, command, study

HELD_OUT = "of the validation or test part of fold 0"


# ---- another file under this name ------------------------------------------------------------------------------------


def serve_a_fold_with_anothers_images(scene: Scene) -> Command:
    """The synthetic file of fold 1 lies under the name of fold 0's."""
    swap_bytes(scene.synthetic(0), scene.synthetic(1))
    return study()


def train_a_classifier_on_anothers_images(scene: Scene) -> Command:
    """The same, for a classifier that is to be kept."""
    swap_bytes(scene.synthetic(0), scene.synthetic(1))
    return command("train-classifier", "--fold", 0, "--steps", 2, "--images", "real+synthetic")


def judge_anothers_images(scene: Scene) -> Command:
    """The same, for the scores of the images."""
    swap_bytes(scene.synthetic(0), scene.synthetic(1))
    return command("evaluate-gan", "--fold", 0, "--extractor", "pixels_pca")


def show_readers_anothers_images(scene: Scene) -> Command:
    """The same, for a page on which pathologists sort real from generated images."""
    swap_bytes(scene.synthetic(0), scene.synthetic(1))
    return command("reader-study", "--fold", 0, "--per-class", 2, "--out", scene.root / "page.html")


def serve_with_the_file_of_another_data_set(scene: Scene) -> Command:
    """A synthetic file of another data set lies under the name of fold 0's."""
    swap_bytes(scene.synthetic(0), _of_another_data_set(scene))
    return study()


def choose_the_file_of_another_data_set(scene: Scene) -> Command:
    """The user asks for a synthetic file of another data set."""
    return study("--synthetic", _of_another_data_set(scene))


def _of_another_data_set(scene: Scene) -> Path:
    other = Workspace(scene.root / "other")
    size = ("--resolution", 16, "--patients", 12, "--images-per-patient", 4, "--folds", FOLDS, "--seed", 9)
    scene.do("prepare", "--dataset", "phantom", *size, workspace=other.root)
    scene.do("train-gan", "--fold", 0, "--kimg", 0.016, workspace=other.root)
    scene.do("synthesize", "--fold", 0, "--per-class", 24, workspace=other.root)
    return other.synthetics()[0]


# ---- its record ------------------------------------------------------------------------------------------------------


def take_patients_out_of_the_record(scene: Scene) -> Command:
    """A patient is taken out of the record of the images."""
    edit_attribute(scene.synthetic(0), "provenance", lambda it: {**it, "groups_seen": it["groups_seen"][1:]})
    return study()


def remove_the_record(scene: Scene) -> Command:
    """The record of the images is removed."""
    with h5py.File(scene.synthetic(0), "r+") as file:
        del file.attrs["provenance"]
    return study()


def hide_a_patient_and_seal_the_record(scene: Scene) -> Command:
    """A patient is taken out of the record of the images, which is sealed again."""
    path = scene.synthetic(0)
    record = record_in(path)
    seal_images(path, replace(record, groups_seen=record.groups_seen[1:]))
    return study()


def claim_the_patients_of_this_fold(scene: Scene) -> Command:
    """Images of fold 1 lie under the name of fold 0's; their record claims fold 0 and its patients, and is sealed."""
    own, path = record_in(scene.synthetic(0)), scene.synthetic(0)
    swap_bytes(path, scene.synthetic(1))
    seen: dict[str, Any] = {name: getattr(own, name) for name in ("groups_seen", "images_seen", "hashes_seen")}
    seal_images(path, replace(record_in(path), fold=0, **seen))
    return study()


def claim_to_be_of_this_generator(scene: Scene) -> Command:
    """The same with the configuration of fold 0's generator, but not its weights."""
    own, path = record_in(scene.synthetic(0)), scene.synthetic(0)
    swap_bytes(path, scene.synthetic(1))
    seal_images(path, replace(own, generator=record_in(path).generator))
    return study()


def claim_everything_of_this_generator(scene: Scene) -> Command:
    """Images of fold 1 lie under the name of fold 0's and under the whole of their record, which is sealed again."""
    own, path = record_in(scene.synthetic(0)), scene.synthetic(0)
    swap_bytes(path, scene.synthetic(1))
    seal_images(path, own)
    return study()


def filter_by_test_patients(scene: Scene) -> Command:
    """The images were picked by a filter that was fitted on test patients."""
    _filtered(scene, {"confidence": {"value": 0.5, "provenance": record_of_weights(scene.snapshot(1)).to_dict()}})
    return study()


def remove_the_record_of_a_filter(scene: Scene) -> Command:
    """The images were picked by a filter whose record is removed, and the file is sealed again."""
    _filtered(scene, {})
    return study()


def _filtered(scene: Scene, filters: dict[str, Any]) -> None:
    path = scene.synthetic(0)
    with h5py.File(path) as file:
        asked = json.loads(file.attrs["synthesis"])
    seal_images(path, synthesis={**asked, "reject": [["confidence", 0.5]]}, filters=filters)


# ---- its pixels ------------------------------------------------------------------------------------------------------


def change_pixels(scene: Scene) -> Command:
    """Pixels of the synthetic file are changed."""
    path = scene.synthetic(0)
    edit_array(path, "images", [0], [np.full((16, 16, 3), 128, np.uint8)])
    return study()


def _fill(scene: Scene, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
    path = scene.synthetic(0)
    edit_array(path, "images", rows, images)
    seal_images(path)


def tested(scene: Scene) -> NDArray[np.uint8]:
    dataset = scene.dataset
    return dataset.reader[dataset.test(0)]


def fill_in_test_pictures(scene: Scene) -> Command:
    """Pictures of test patients stand among the images, and the file is sealed again."""
    images = tested(scene)
    _fill(scene, images, np.arange(len(images)))
    return study()


def score_test_pictures_as_generated(scene: Scene) -> Command:
    """The same, for the scores of the images."""
    fill_in_test_pictures(scene)
    return command("evaluate-gan", "--fold", 0, "--extractor", "pixels_pca")


def show_readers_test_pictures_as_generated(scene: Scene) -> Command:
    """The same, for a page on which pathologists sort real from generated images."""
    fill_in_test_pictures(scene)
    return command("reader-study", "--fold", 0, "--per-class", 2, "--out", scene.root / "page.html")


def train_on_test_pictures_as_generated(scene: Scene) -> Command:
    """The same, for a classifier that is to be kept."""
    fill_in_test_pictures(scene)
    return command("train-classifier", "--fold", 0, "--steps", 2, "--images", "real+synthetic")


def fill_in_rotated_test_pictures(scene: Scene) -> Command:
    """Pictures of test patients, rotated and mirrored, stand among the images, and the file is sealed again."""
    images = tested(scene)
    _fill(scene, as_images(np.rot90(images, axes=(1, 2))[:, :, ::-1]), np.arange(len(images)))
    return study()


def fill_in_relit_test_pictures(scene: Scene) -> Command:
    """The same, lighter and of another stain."""
    images = tested(scene)
    _fill(scene, as_images(images * np.array([1.1, 1.0, 1.05])), np.arange(len(images)))
    return study()


def fill_in_validation_pictures(scene: Scene) -> Command:
    """Pictures of validation patients, who choose the weights, stand among the images, and the file is sealed again."""
    dataset = scene.dataset
    images = dataset.reader[dataset.val(0)]
    _fill(scene, images, np.arange(len(images)))
    return study()


def edit_the_note_of_the_comparison(scene: Scene) -> Command:
    """Test pictures stand among the images, and the note of the earlier comparison is edited to name this content."""
    old = record_in(scene.synthetic(0)).content
    fill_in_test_pictures(scene)
    new = record_in(scene.synthetic(0)).content
    for note in scene.workspace.root.glob("cache/checked/*.json"):
        note.write_text(note.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    return study()


def seal_a_note_of_a_comparison(scene: Scene) -> Command:
    """The same with a note that is sealed; the user has everything verified."""
    fill_in_test_pictures(scene)
    dataset, content = scene.dataset, record_in(scene.synthetic(0)).content
    compared = [COMPARISON_VERSION, content, dataset.table.fingerprint, dataset.folds.digest, 0]
    note = scene.workspace.checked(digest_of(["held out", *compared]))
    write_json(note, sealed({"shows_nothing_held_out": compared}))
    return study("--verify")


# ---- shards ----------------------------------------------------------------------------------------------------------

SHARDED = ("--fold", 0, "--per-class", 40, "--seed", 3)


def _part(scene: Scene, index: int, fold: int = 0) -> Path:
    scene.do("synthesize", "--fold", fold, *SHARDED[2:], "--shard", f"{index}/2")
    return next(path for path in scene.workspace.root.rglob("*parts/**/*.h5") if f"fold{fold}-" in str(path))


def merge_a_shard_that_was_edited(scene: Scene) -> Command:
    """A picture of a test patient stands in a shard."""
    edit_array(_part(scene, 0), "images", [3], tested(scene)[:1])
    scene.do("synthesize", *SHARDED, "--shard", "1/2")
    return command("synthesize", *SHARDED, "--merge")


def merge_a_shard_that_was_sealed_again(scene: Scene) -> Command:
    """The same, the shard is sealed again and merged, and the file serves the fold."""
    part = _part(scene, 0)
    edit_array(part, "images", np.arange(24), tested(scene)[:24])
    seal_images(part)
    scene.do("synthesize", *SHARDED, "--shard", "1/2")
    return study()


def merge_a_shard_of_another_generator(scene: Scene) -> Command:
    """A shard of fold 1's generator lies among those of fold 0's."""
    part, other = _part(scene, 0), _part(scene, 0, fold=1)
    swap_bytes(part, other)
    scene.do("synthesize", *SHARDED, "--shard", "1/2")
    return command("synthesize", *SHARDED, "--merge")


SAW = rf"a training that saw .* {HELD_OUT}"
SHOWS = rf"image \d+ of .* shows the picture phantom-\S+, {HELD_OUT}"

LEAKS = (
    Leak(serve_a_fold_with_anothers_images, SAW),
    Leak(train_a_classifier_on_anothers_images, SAW),
    Leak(judge_anothers_images, SAW),
    Leak(show_readers_anothers_images, SAW),
    Leak(serve_with_the_file_of_another_data_set, r"comes from another data set"),
    Leak(choose_the_file_of_another_data_set, r"was made for the data set phantom \(\w+\); expected images for"),
    Leak(take_patients_out_of_the_record, r"the provenance of .* was edited after it was written"),
    Leak(remove_the_record, r"carries no provenance"),
    Leak(hide_a_patient_and_seal_the_record, r"name different patients"),
    Leak(claim_the_patients_of_this_fold, r"lies under the name of the generator .*, and its record is of another"),
    Leak(claim_to_be_of_this_generator, r"was made by the generator"),
    Leak(filter_by_test_patients, rf"the filter confidence of .* comes from {SAW}"),
    Leak(remove_the_record_of_a_filter, r"was filtered by confidence; expected the records of these filters"),
    Leak(change_pixels, r"\(images\) was changed after it was written"),
    Leak(fill_in_test_pictures, SHOWS),
    Leak(score_test_pictures_as_generated, SHOWS),
    Leak(show_readers_test_pictures_as_generated, SHOWS),
    Leak(train_on_test_pictures_as_generated, SHOWS),
    Leak(fill_in_rotated_test_pictures, SHOWS),
    Leak(fill_in_relit_test_pictures, SHOWS),
    Leak(fill_in_validation_pictures, SHOWS),
    Leak(edit_the_note_of_the_comparison, SHOWS),
    Leak(seal_a_note_of_a_comparison, SHOWS),
    Leak(merge_a_shard_that_was_edited, r"1 of 2 parts of .* are missing, corrupt or made with other options"),
    Leak(merge_a_shard_that_was_sealed_again, SHOWS),
    Leak(merge_a_shard_of_another_generator, r"1 of 2 parts of .* are missing, corrupt or made with other options"),
    Leak(claim_everything_of_this_generator, SAW, limit="A seal that is computed again"),
)
