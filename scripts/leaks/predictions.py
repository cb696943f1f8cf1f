"""Leaks planted in a stored classifier, and in the images that are called its test."""

import json
import shutil
from collections.abc import Callable

from PIL import Image, ImageOps

from ganaug.checkpoint.snapshot import load_tensors, save_tensors
from leaks.forge import edit_json, edit_metadata, swap_bytes
from leaks.leak import Leak
from leaks.scene import FOLDS, NAME, Command, Scene, command, write_pictures


def _predict(scene: Scene, *options: object) -> Command:
    """Predict the images of `images` with the classifier of fold 0, and call it a test."""
    return command("predict", scene.root / "images", "--out", scene.root / "out.csv", *options)


OF_FOLD_0 = ("--dataset", NAME, "--fold", 0, "--test")


def renamed(name: str) -> str:
    return f"somebody-{name[::-1]}"


def _test_on(
    scene: Scene,
    part: str,
    change: Callable[[Image.Image], Image.Image] = lambda picture: picture,
    rename: Callable[[str], str] = renamed,
    suffix: str = ".png",
) -> Command:
    """Images of a part of fold 0 as the test, changed and under other names."""
    dataset = scene.dataset
    chosen = getattr(dataset, part)(0)
    write_pictures(dataset, scene.root / "images", chosen, change=change, rename=rename, suffix=suffix)
    return _predict(scene, *OF_FOLD_0)


def test_on_training_pictures(scene: Scene) -> Command:
    """Training images under other names are called a test."""
    return _test_on(scene, "train")


def test_on_rotated_training_pictures(scene: Scene) -> Command:
    """The same, rotated and mirrored."""
    return _test_on(scene, "train", lambda picture: ImageOps.mirror(picture.transpose(Image.Transpose.ROTATE_90)))


def test_on_enlarged_training_pictures(scene: Scene) -> Command:
    """The same, four times as large and saved as JPEG."""
    return _test_on(scene, "train", lambda picture: picture.resize((64, 64), Image.Resampling.BICUBIC), suffix=".jpg")


def test_on_validation_pictures(scene: Scene) -> Command:
    """Validation images, which chose the weights, are called a test."""
    return _test_on(scene, "val")


def _relabel(scene: Scene, rename: Callable[[str], str]) -> Command:
    """Unseen pictures under names that are made of those of training images."""
    dataset = scene.dataset
    seen = dict(zip(dataset.folds.test_groups(0), dataset.folds.train_groups(0), strict=True))
    write_pictures(
        dataset,
        scene.root / "images",
        dataset.test(0),
        rename=lambda name: rename(next((name.replace(old, new) for old, new in seen.items() if old in name), name)),
    )
    return _predict(scene, *OF_FOLD_0)


def test_on_new_images_of_training_patients(scene: Scene) -> Command:
    """Images that were never seen stand under the names of training patients."""
    return _relabel(scene, lambda name: name if name.count("-") == 1 else f"new{name[::-1]}")


def test_on_the_names_of_training_files(scene: Scene) -> Command:
    """Images that were never seen bear the names of training images, and no patient's."""
    return _relabel(scene, lambda name: name if name.count("-") == 2 else f"somebody{name[::-1]}")


def predict_training_pictures(scene: Scene) -> Command:
    """Training images are predicted, without calling it a test."""
    _test_on(scene, "train")
    return _predict(scene, *OF_FOLD_0[:-1])


def test_without_the_data_set(scene: Scene) -> Command:
    """A classifier is moved away from its data set, so that no names can be compared, and tested."""
    _test_on(scene, "test")
    moved = scene.root / "moved" / "classifier"
    shutil.copytree(scene.classifier(0).root, moved)
    shutil.rmtree(scene.workspace.root / "datasets")
    return _predict(scene, "--run", moved, "--test")


# ---- the classifier's own files --------------------------------------------------------------------------------------


def take_patients_out_of_a_classifiers_record(scene: Scene) -> Command:
    """A patient is taken out of the record of a classifier, so that images of theirs may pass for a test."""
    path = scene.classifier(0).weights
    edit_metadata(path, "provenance", lambda it: {**it, "groups_seen": it["groups_seen"][1:]})
    return _test_on(scene, "test")


def put_weights_of_another_fold_under_a_classifiers_record(scene: Scene) -> Command:
    """The weights are of fold 1's classifier, which knows fold 0's test patients, the record is of fold 0's."""
    path = scene.classifier(0).weights
    _, metadata = load_tensors(path)
    save_tensors(path, load_tensors(scene.classifier(1).weights)[0], metadata)
    return _test_on(scene, "test")


def put_a_classifier_of_another_fold_here(scene: Scene) -> Command:
    """The file of fold 1's classifier lies in the folder of fold 0's."""
    swap_bytes(scene.classifier(0).weights, scene.classifier(1).weights)
    return _test_on(scene, "test")


def edit_the_configuration_of_a_classifier(scene: Scene) -> Command:
    """The file that names a classifier's data set, fold and options is edited."""
    edit_json(scene.classifier(0).config, {"created": "2000-01-01T00:00:00+00:00"})
    return _test_on(scene, "test")


def explain_training_images_as_test_images(scene: Scene) -> Command:
    """The data set is divided again, so that training patients of a classifier are test patients of its fold."""
    size = ("--resolution", 16, "--patients", 12, "--images-per-patient", 6, "--folds", FOLDS)
    scene.do("prepare", "--dataset", "phantom", *size, "--scheme", "repeated", "--repeats", 2)
    return command("explain", "--dataset", NAME, "--fold", 0, "--per-class", 1, "--measured", 2)


def explain_a_classifier_of_another_fold(scene: Scene) -> Command:
    """The file of fold 1's classifier lies in the folder of fold 0's, and `explain` shows what it looks at."""
    swap_bytes(scene.classifier(0).weights, scene.classifier(1).weights)
    return command("explain", "--dataset", NAME, "--fold", 0, "--per-class", 1, "--measured", 2)


def edit_the_key_of_a_reader_study(scene: Scene) -> Command:
    """The key of a reader study is edited to fit what a reader answered."""
    page, answers = scene.root / "page.html", scene.root / "answers.json"
    scene.do("reader-study", "--fold", 0, "--per-class", 2, "--out", page)
    key = next(scene.root.glob("page*.key.json"))
    values = json.loads(key.read_text(encoding="utf-8"))
    given = {str(item["number"]): "real" for item in values["items"]}
    answers.write_text(json.dumps({"study": values["study"], "reader": "A", "answers": given}), encoding="utf-8")
    edit_json(key, {"items": [{**item, "is_real": True} for item in values["items"]]})
    return command("reader-study", "--score", key, answers)


SEEN = r"^ganaug: the classifier was trained or selected on 24 of 24 images"

LEAKS = (
    Leak(test_on_training_pictures, SEEN),
    Leak(test_on_rotated_training_pictures, SEEN),
    Leak(test_on_enlarged_training_pictures, SEEN),
    Leak(test_on_validation_pictures, SEEN),
    Leak(test_on_new_images_of_training_patients, r"trained or selected on .* patients of the names phantom-p003"),
    Leak(
        test_on_the_names_of_training_files,
        r"on 24 of 24 images \(24 by the names of their files alone\)",
    ),
    Leak(predict_training_pictures, r"24 of 24 images are of pictures that .* this is no test of it"),
    Leak(test_without_the_data_set, r"--test without the classifier's data set"),
    Leak(take_patients_out_of_a_classifiers_record, r"the provenance of .* was edited after it was written"),
    Leak(put_weights_of_another_fold_under_a_classifiers_record, r"was changed after its provenance was sealed"),
    Leak(put_a_classifier_of_another_fold_here, r"is of another classifier"),
    Leak(edit_the_configuration_of_a_classifier, r"whose config\.json was edited or is damaged"),
    Leak(
        explain_training_images_as_test_images,
        r"the division into folds of phantom .* seen these test patients",
    ),
    Leak(explain_a_classifier_of_another_fold, r"is of another classifier"),
    Leak(edit_the_key_of_a_reader_study, r"key\.json was edited after it was written"),
)
