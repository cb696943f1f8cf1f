"""Leaks planted in a prepared data set: its table, its pixels, its folds, its stain, its expression."""

import shutil

import h5py
import numpy as np

from ganaug.data.dataset import open_dataset
from ganaug.data.schema import stained_name
from ganaug.workspace import Workspace
from leaks.forge import edit_array, edit_attribute, edit_folds, note_check, seal_images, swap_bytes
from leaks.leak import Leak
from leaks.scene import FOLDS, NAME, Command, Scene, command, study

SIZE = ("--dataset", "phantom", "--resolution", 16, "--patients", 12, "--folds", FOLDS)


def name_test_rows_as_training_patients(scene: Scene) -> Command:
    """The table gives the images of a test patient the name of a training patient."""
    dataset = scene.dataset
    rows, name = dataset.test(0)[:6], dataset.folds.train_groups(0)[0]
    edit_array(dataset.path, "group_id", rows, [name] * 6)
    return command("train-gan", "--fold", 0, "--kimg", 0.064)


def copy_test_pixels_into_training_rows(scene: Scene) -> Command:
    """Pixels of test patients stand in the rows of training patients."""
    _copy_test_pixels(scene)
    return command("train-gan", "--fold", 0, "--kimg", 0.064)


def edit_the_note_of_a_check(scene: Scene) -> Command:
    """The same, and the note of an earlier check of the pixels is edited to fit the file."""
    _copy_test_pixels(scene)
    _note_the_check(scene, seal=False)
    return study()


def seal_the_note_of_a_check(scene: Scene) -> Command:
    """The same with a note that is sealed again; the user has everything verified."""
    _copy_test_pixels(scene)
    _note_the_check(scene)
    return study("--verify")


def trust_the_sealed_note_of_a_check(scene: Scene) -> Command:
    """Pixels of test patients stand in training rows, and a sealed note says that they were checked."""
    _copy_test_pixels(scene)
    _note_the_check(scene)
    return command("train-classifier", "--fold", 0, "--steps", 3)


def _note_the_check(scene: Scene, *, seal: bool = True) -> None:
    dataset = scene.dataset
    note_check(dataset.path, "images", dataset.table.attrs["content"]["images"], seal=seal)


def _copy_test_pixels(scene: Scene) -> None:
    dataset = scene.dataset
    train, test = dataset.train(0)[:6], dataset.test(0)[:6]
    edit_array(dataset.path, "images", train, dataset.reader[test])


def link_pixels_to_another_file(scene: Scene) -> Command:
    """The pixels are a link to another file, which can be exchanged at any time."""
    path, other = scene.dataset.path, scene.root / "other.h5"
    shutil.copy(path, other)
    with h5py.File(path, "r+") as file:
        del file["images"]
        file["images"] = h5py.ExternalLink(str(other), "/images")
    return command("train-gan", "--fold", 0, "--kimg", 0.064)


# ---- folds -----------------------------------------------------------------------------------------------------------


def move_a_test_patient_to_the_training_part(scene: Scene) -> Command:
    """The file of folds has a test patient in the training part."""

    def move(folds: list[dict[str, list[str]]]) -> None:
        folds[0]["train"].append(folds[0]["test"].pop())

    edit_folds(scene.workspace.folds(NAME), move)
    return study()


def put_a_patient_into_two_parts(scene: Scene) -> Command:
    """The file of folds has a test patient in the training part, too, and its digest is computed again."""

    def add(folds: list[dict[str, list[str]]]) -> None:
        folds[0]["train"].append(folds[0]["test"][0])

    edit_folds(scene.workspace.folds(NAME), add, seal=True)
    return study()


def exchange_two_patients_and_seal_the_folds(scene: Scene) -> Command:
    """A test patient and a training patient change places in the folds, whose digest is computed again."""

    def exchange(folds: list[dict[str, list[str]]]) -> None:
        train, test = folds[0]["train"][0], folds[0]["test"][0]
        places = {train: test, test: train}
        for fold in folds:
            fold.update({part: [places.get(name, name) for name in names] for part, names in fold.items()})

    edit_folds(scene.workspace.folds(NAME), exchange, seal=True)
    return study("--synthetic", scene.workspace.synthetics()[0])


def divide_the_patients_again(scene: Scene) -> Command:
    """The patients are divided again into other folds, and the generators of before are kept."""
    scene.do("prepare", *SIZE, "--images-per-patient", 6, "--scheme", "repeated", "--repeats", 2)
    return study()


def choose_a_generator_of_earlier_folds(scene: Scene) -> Command:
    """The same, and the user insists on the generator of before."""
    divide_the_patients_again(scene)
    return study("--gan", scene.gan(0).root.name)


def take_the_folds_of_other_images(scene: Scene) -> Command:
    """The file of folds is that of another version of the data set."""
    other = Workspace(scene.root / "other")
    scene.do("prepare", *SIZE, "--images-per-patient", 4, workspace=other.root)
    swap_bytes(scene.workspace.folds(NAME), other.folds(NAME))
    return study()


def prepare_other_images_under_the_generators(scene: Scene) -> Command:
    """The data set is prepared again with other images of its patients, and the generators of before are kept."""
    scene.do("prepare", *SIZE, "--images-per-patient", 4)
    return study()


# ---- signatures ------------------------------------------------------------------------------------------------------


def seal_without_the_key(scene: Scene) -> Command:
    """In a signed workspace pixels of test patients stand in training rows, and everything is sealed again."""
    _sign(scene)
    _forge_all(scene)
    return command("train-gan", "--fold", 0)


def sign_with_another_key(scene: Scene) -> Command:
    """The same, signed with a key of the forger's own."""
    key = _sign(scene)
    other = scene.root / "forger.key"
    other.write_bytes(b"another key of 32 random bytes..")
    scene.env["GANAUG_KEY"] = str(other)
    scene.do("prepare", *SIZE, "--images-per-patient", 4)
    scene.env["GANAUG_KEY"] = key
    return command("train-gan", "--fold", 0)


def _sign(scene: Scene) -> str:
    path = scene.root / "ganaug.key"
    path.write_bytes(b"a key that has 32 random bytes..")
    scene.env["GANAUG_KEY"] = str(path)
    scene.do("prepare", *SIZE, "--images-per-patient", 4)
    return str(path)


def _forge_all(scene: Scene) -> None:
    """Pixels of test patients in training rows, with the seals of table and folds computed again."""
    path, folds = scene.workspace.dataset(NAME), scene.workspace.folds(NAME)
    with h5py.File(path, "r+") as file:
        file["images"][0:4] = file["images"][40:44]
        del file.attrs["signature"]
    seal_images(path)
    edit_folds(folds, lambda listed: None, seal=True)


# ---- stain and expression --------------------------------------------------------------------------------------------


def take_the_stain_of_another_fold(scene: Scene) -> Command:
    """The images as fold 0 sees them are those whose stain was fitted to the training patients of fold 1."""
    _prepare_stained(scene)
    path = scene.workspace.dataset(NAME)
    with h5py.File(path, "r+") as file:
        file[stained_name(0)][...] = file[stained_name(1)][...]
    return command("train-gan", "--fold", 0)


def edit_the_record_of_the_stain(scene: Scene) -> Command:
    """The record of the stain names the reference of another fold."""
    _prepare_stained(scene)
    path = scene.workspace.dataset(NAME)
    edit_attribute(path, "stain", lambda stain: {**stain, "references": stain["references"][::-1]})
    return command("train-gan", "--fold", 0)


def export_a_folds_stain_as_a_source(scene: Scene) -> Command:
    """Images in the stain of fold 0 are exported and prepared again in new folds."""
    _prepare_stained(scene)
    archive = scene.root / "stained.zip"
    scene.do("export", NAME, "--zip", archive, "--fold", 0, "--with-ids")
    return command("prepare", "--dataset", "zip", "--source", archive, "--resolution", 16, "--folds", FOLDS)


def _prepare_stained(scene: Scene) -> None:
    scene.do("prepare", *SIZE, "--images-per-patient", 4, "--stain", "reinhard")


def exchange_the_expression_of_patients(scene: Scene) -> Command:
    """In a data set with expression, the genes of each patient stand in the row of another."""
    scene.do("prepare", "--dataset", "paired-phantom", "--resolution", 32, "--patients", 24, "--folds", FOLDS)
    dataset = open_dataset(scene.workspace, "paired-phantom")
    with h5py.File(dataset.path, "r+") as file:
        values = file["expression/values"]
        values[...] = np.roll(values[...], 1, axis=0)
    return command("train-classifier", "--dataset", "paired-phantom", "--classifier", "cross_attention", "--fold", 0)


LEAKS = (
    Leak(name_test_rows_as_training_patients, r"phantom\.h5 was edited after it was written"),
    Leak(copy_test_pixels_into_training_rows, r"phantom\.h5 \(images\) was changed after it was written"),
    Leak(edit_the_note_of_a_check, r"phantom\.h5 \(images\) was changed after it was written"),
    Leak(seal_the_note_of_a_check, r"phantom\.h5 \(images\) was changed after it was written"),
    Leak(link_pixels_to_another_file, r"phantom\.h5 holds an external link"),
    Leak(move_a_test_patient_to_the_training_part, r"phantom\.folds\.json was edited after it was written"),
    Leak(put_a_patient_into_two_parts, r"one is in two parts"),
    Leak(exchange_two_patients_and_seal_the_folds, r"a training that saw .* of the validation or test part of fold 0"),
    Leak(divide_the_patients_again, r"generators there are of other data, other folds"),
    Leak(choose_a_generator_of_earlier_folds, r"was trained on other data or other folds"),
    Leak(take_the_folds_of_other_images, r"belong to another version of the data set"),
    Leak(prepare_other_images_under_the_generators, r"generators there are of other data, other folds"),
    Leak(seal_without_the_key, r"is not signed"),
    Leak(sign_with_another_key, r"is signed with another key"),
    Leak(take_the_stain_of_another_fold, r"\(stained/fold0\) was changed after it was written"),
    Leak(edit_the_record_of_the_stain, r"phantom\.h5 was edited after it was written"),
    Leak(export_a_folds_stain_as_a_source, r"was normalised to the training patients of fold 0"),
    Leak(exchange_the_expression_of_patients, r"expression/values\) was changed after it was written"),
    Leak(trust_the_sealed_note_of_a_check, r"changed after it was written", limit="A seal that is computed again"),
)
