"""Tables say what was seen, nothing that was seen is called a test, and no file of the user is replaced."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import balanced_accuracy_score

from ganaug.classify.predict.predict import Predictions
from ganaug.classify.predict.seen import Comparison, dataset_of
from ganaug.classify.predict.tables import require_testable, require_writable, score_test, write_tables
from ganaug.classify.predict.user_images import UserImage, list_images
from ganaug.classify.stored import StoredClassifier, open_classifier_run
from ganaug.errors import DataError, LeakError, WorkspaceError
from tests.ganaug.classify.predict.conftest import predict, rows_of

if TYPE_CHECKING:
    from tests.ganaug.classify.conftest import Lab


def test_the_tables_hold_probabilities_by_image_and_their_means_by_patient(
    stored: StoredClassifier, unseen: Path, tmp_path: Path
) -> None:
    found = predict(stored, unseen)
    paths = write_tables(tmp_path / "out.csv", found)
    assert [path.name for path in paths] == ["out.csv", "out-patients.csv"]
    of_images, of_patients = map(rows_of, paths)
    columns = [f"probability {name}" for name in stored.class_names]
    assert list(of_images[0]) == ["image", "patient", "seen in training", "predicted", *columns]
    for row in (*of_images, *of_patients):
        values = [float(row[column]) for column in columns]
        assert sum(values) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == stored.class_names[int(np.argmax(values))]
    assert {row["seen in training"] for row in of_images} == {"no"}
    for row in of_patients:
        own = [image for image in of_images if image["patient"] == row["patient"]]
        assert int(row["images"]) == len(own) == 3
        mean = np.mean([[float(image[column]) for column in columns] for image in own], axis=0)
        np.testing.assert_allclose([float(row[column]) for column in columns], mean, atol=2e-6)
    assert b"\r\n" in paths[0].read_bytes()


def test_names_with_commas_quotes_and_line_ends_stay_one_cell(tmp_path: Path) -> None:
    names = ['a,"b".png', "line\nend.png", "=1+1.png"]
    images = tuple(UserImage(name, patient="x, y") for name in names)
    probs = np.full((3, 2), 0.5, np.float32)
    none = np.zeros(3, bool)
    compared = Comparison(none, none, ("",) * 3, 3, 0, has_dataset=True)
    found = Predictions(("k", "l, m"), images, probs, compared, ())
    (path, patients) = write_tables(tmp_path / "out.csv", found)
    assert [row["image"] for row in rows_of(path)] == names
    assert [row["patient"] for row in rows_of(patients)] == ["x, y"]
    assert "probability l, m" in rows_of(path)[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("out.csv", "image,diagnosis,treatment\na.png,x,y\n"),
        ("out.csv", "image,patient,seen in training,predicted\n"),
        ("out.csv", ""),
        ("out.csv", '"image,patient\n'),
        ("out-patients.csv", "patient,age\np,50\n"),
        ("out-scores.json", "[1]"),
        ("out-scores.json", '{"classifier": "mine"}'),
        ("out-scores.json", "no JSON"),
    ],
)
def test_a_file_of_the_user_is_not_replaced(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(WorkspaceError, match=name):
        require_writable(tmp_path / "out.csv", is_test=True)
    assert (tmp_path / name).read_text() == content


def test_what_predict_wrote_itself_is_replaced(
    lab: "Lab", stored: StoredClassifier, unseen: Path, tmp_path: Path
) -> None:
    out, found = tmp_path / "out.csv", predict(stored, unseen)
    score_test(out, stored, found)
    write_tables(out, found)
    require_writable(out, is_test=True)


@pytest.mark.parametrize("out", ["file/out.csv", "out.png", "/proc/out.csv"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError):
        require_writable(tmp_path / out, is_test=False)


def test_unseen_patients_are_scored_against_their_folders(
    lab: "Lab", stored: StoredClassifier, unseen: Path, tmp_path: Path
) -> None:
    found = predict(stored, unseen)
    scores = score_test(tmp_path / "out.csv", stored, found)
    labels = np.array([stored.class_names.index(image.class_name) for image in found.images])
    balanced = balanced_accuracy_score(labels, found.probs.argmax(1))
    assert scores["by_image"]["overall"]["balanced_accuracy"] == pytest.approx(balanced)
    assert scores["by_patient"]["num_patients"] == 4
    own = json.loads(stored.run.scores.read_text())["test"]
    assert scores["by_image"]["confusion"] == own["by_image"]["confusion"], "as train-classifier scored them"
    assert json.loads((tmp_path / "out-scores.json").read_text())["by_image"] == scores["by_image"]


def test_a_test_without_the_data_set_is_refused_and_predictions_go_on(
    lab: "Lab", stored: StoredClassifier, unseen: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "model"
    shutil.copytree(stored.run.root, moved)
    copy = open_classifier_run(moved)
    assert dataset_of(copy) is None
    found = predict(copy, unseen)
    assert any("not at hand" in note and "--workspace" in note for note in found.notes())
    with pytest.raises(LeakError, match="--workspace"):
        require_testable(list_images(unseen, stored.class_names), copy, None)
    with pytest.raises(LeakError, match="--workspace"):
        score_test(tmp_path / "out.csv", copy, found)
    dataset = dataset_of(copy, lab.workspace)
    assert dataset is not None
    compared = score_test(tmp_path / "out.csv", copy, predict(copy, unseen, dataset=dataset))["compared"]
    assert compared == {"pictures": 12, "file_names": 12, "patients": 12, "patients_known_to_the_data_set": 12}


def test_other_images_of_a_patient_who_was_seen_are_marked(
    lab: "Lab", stored: StoredClassifier, unseen: Path, tmp_path: Path
) -> None:
    seen = lab.files("train")[0]
    folder = unseen / seen.parent.relative_to(lab.source)
    folder.mkdir(parents=True)
    shutil.copy(lab.files("test")[0], folder / "new.png")
    mixed = unseen / "Benign" / "somebody"
    mixed.mkdir()
    shutil.copy(seen, mixed / "a.png")
    shutil.copy(lab.files("test")[0], mixed / "b.png")
    of_images, of_patients = map(rows_of, write_tables(tmp_path / "out.csv", predict(stored, unseen)))
    words = {row["image"]: row["seen in training"] for row in of_images}
    assert words[(folder / "new.png").relative_to(unseen).as_posix()] == "patient"
    assert (words["Benign/somebody/a.png"], words["Benign/somebody/b.png"]) == ("yes", "no")
    assert sorted(words.values()) == [*["no"] * 13, "patient", "yes"]
    by_patient = {row["patient"]: row["seen in training"] for row in of_patients}
    assert (by_patient[seen.parent.name], by_patient["somebody"]) == ("patient", "yes")
    assert sorted(by_patient.values()) == [*["no"] * 4, "patient", "yes"]


@pytest.mark.parametrize("leak", ["a picture", "a patient's name"])
def test_one_picture_or_patient_that_was_seen_makes_it_no_test(
    lab: "Lab", stored: StoredClassifier, unseen: Path, tmp_path: Path, leak: str
) -> None:
    seen = lab.files("train")[0]
    target = unseen / seen.relative_to(lab.source).parent / "new.png"
    if leak == "a picture":
        target = unseen / target.relative_to(unseen).parts[0] / "somebody" / "new.png"
    target.parent.mkdir(parents=True)
    source = seen if leak == "a picture" else lab.files("test")[0]
    image = Image.open(source)
    (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if leak == "a picture" else image).save(target)
    found = predict(stored, unseen)
    with pytest.raises(LeakError, match="1 of 13" if leak == "a picture" else seen.parent.name):
        score_test(tmp_path / "out.csv", stored, found)
    assert not (tmp_path / "out-scores.json").exists()


def test_images_outside_of_class_folders_cannot_be_scored(stored: StoredClassifier, unseen: Path) -> None:
    dataset = dataset_of(stored)
    require_testable(list_images(unseen, stored.class_names), stored, dataset)
    with pytest.raises(DataError, match="no folder of a class"):
        require_testable(list_images(unseen / "Benign", stored.class_names), stored, dataset)
