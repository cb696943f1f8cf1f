"""Predictions of files are those of the prepared images, and nothing that was seen is called a test."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import balanced_accuracy_score

from ganaug.classify.predict.names import are_named_as
from ganaug.classify.predict.predict import Predictions, predict_images
from ganaug.classify.predict.seen import Comparison, dataset_of
from ganaug.classify.predict.tables import require_testable, require_writable, score_test, write_tables
from ganaug.classify.predict.user_images import UserImage, list_images
from ganaug.classify.stored import StoredClassifier, find_classifier, open_classifier_run
from ganaug.errors import ConfigError, DataError, LeakError, WorkspaceError
from tests.ganaug.classify.conftest import make_lab

if TYPE_CHECKING:
    from tests.ganaug.classify.conftest import Lab


def predict(stored: StoredClassifier, source: Path, **options: Any) -> Predictions:
    return predict_images(stored, list_images(source, stored.class_names), **{"dataset": dataset_of(stored), **options})


@pytest.fixture
def stored(lab: "Lab") -> StoredClassifier:
    return open_classifier_run(find_classifier(lab.workspace))


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """An empty folder for what a user has."""
    (tmp_path / "given").mkdir()
    return tmp_path / "given"


@pytest.fixture
def unseen(lab: "Lab", tmp_path: Path) -> Path:
    """The folder of the fold's test images, in their classes and patients."""
    for path in lab.files("test"):
        target = tmp_path / "unseen" / path.relative_to(lab.source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path / "unseen"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fit": "resize"},
        {"fit": "crop", "field_um": 18.0, "um_per_px": 0.5},
        {"stain": "reinhard"},
        {"stain": "macenko"},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "default",
)
def test_a_file_gets_the_probabilities_that_its_prepared_image_gets(
    lab_of: Callable[..., "Lab"], options: dict[str, Any]
) -> None:
    lab = lab_of(**options)
    stored, dataset = lab.train(num_steps=1), lab.dataset
    scale = {"um_per_px": 0.5} if "um_per_px" in options else {}
    found = predict(stored, lab.source, **scale)
    place = {path: index for index, path in enumerate(dataset.table.path.tolist())}
    assert len(found.images) == len(place) == 36
    expected = stored.probabilities(dataset.images(0)[np.array([place[image.name] for image in found.images])])
    np.testing.assert_allclose(found.probs, expected, atol=1e-5)
    assert (stored.pixels.stain is not None) == ("stain" in options)
    assert (found.num_unstained > 0) == bool(dataset.table.attrs.get("stain", {}).get("kept_as_they_are"))


def test_an_image_that_is_cut_into_tiles_gets_their_mean(lab_of: Callable[..., "Lab"]) -> None:
    lab = lab_of(fit="tile", field_px=20)
    stored, dataset = lab.train(num_steps=1), lab.dataset
    found = predict(stored, lab.source)
    paths = dataset.table.path
    assert len(found.images) == 36
    assert len(paths) == 4 * 36
    probs = stored.probabilities(dataset.images(0)[np.arange(len(paths))])
    for image, row in zip(found.images, found.probs, strict=True):
        np.testing.assert_allclose(row, probs[paths == image.name].mean(0), atol=1e-5)


def test_a_field_in_micrometres_needs_the_scale(lab_of: Callable[..., "Lab"]) -> None:
    lab = lab_of(field_um=18.0, um_per_px=0.5)
    with pytest.raises(ConfigError, match="--um-per-px"):
        predict(lab.train(num_steps=1), lab.source)


def test_pictures_of_training_and_validation_are_recognised_and_test_pictures_are_not(
    lab: "Lab", stored: StoredClassifier
) -> None:
    found = predict(stored, lab.source)
    held_out = {path.relative_to(lab.source).as_posix() for path in lab.files("test")}
    assert [image.name in held_out for image in found.images] == (~found.compared.is_seen).tolist()
    assert 0 < len(held_out) < len(found.images)
    assert any("24 of 36 images" in note and "no test" in note for note in found.notes())
    assert set(found.compared.patients_seen) == {image.patient for image in found.images if image.name not in held_out}


@pytest.mark.parametrize("has_data", [True, False])
@pytest.mark.parametrize("change", ["as it is", "rotated", "recompressed", "enlarged", "renamed"])
def test_a_picture_is_recognised_whatever_was_done_to_its_file(
    lab: "Lab", stored: StoredClassifier, given: Path, change: str, has_data: bool
) -> None:
    picture = lab.files("val")[0]
    if not has_data:
        lab.workspace.dataset("lab").unlink()
    image: Image.Image = Image.open(picture)
    place = given / ("0.jpg" if change == "recompressed" else "0.png")
    if change == "rotated":
        image = image.transpose(Image.Transpose.ROTATE_90)
    elif change == "enlarged":
        image = image.resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC)
    image.save(place, quality=80)  # which a PNG has not
    found = predict(stored, given)
    assert found.compared.is_seen.tolist() == [True]
    assert found.compared.has_dataset == has_data


@pytest.mark.parametrize("change", ["stretched", "mirrored", "in the centre"])
def test_the_original_of_a_picture_is_recognised_where_it_is_cut_otherwise(
    lab_of: Callable[..., "Lab"], given: Path, change: str
) -> None:
    lab = lab_of(fit="resize") if change == "in the centre" else lab_of()
    stored, picture = lab.train(num_steps=1), lab.files("train")[0]
    image: Image.Image = Image.open(picture)
    if change == "in the centre":
        wide = np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8)
        wide[:, 20:60] = np.asarray(image.resize((40, 40), Image.Resampling.BICUBIC))
        image = Image.fromarray(wide)
    else:  # as BreakHis' originals of 700×460 px are to squashed copies of them
        image = image.crop((2, 0, 42, 40)).resize((122, 80), Image.Resampling.BICUBIC)
    if change == "mirrored":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image.save(given / "native.png")
    picture_of_test = Image.open(lab.files("test")[0])
    picture_of_test.resize((122, 80)).save(given / "other.png")
    for dataset in (lab.dataset, None):
        assert predict(stored, given, dataset=dataset).compared.is_picture.tolist() == [True, False]


@pytest.mark.parametrize(
    ("path", "is_named"),
    [
        ("IMG17B.JPG", True),
        ("deeper/down/img17b.tif", True),
        ("Benign/p/0.png", True),
        ("benign/P/0.jpg", True),
        ("0.png", False),
        ("other/0.png", False),
        ("scan.png", False),
        ("1234.png", False),
        ("img17.png", False),
        ("twice1.png", False),
        ("unseen5.png", False),
    ],
)
def test_the_name_of_a_file_counts_where_it_means_one_image(path: str, is_named: bool) -> None:
    seen = ["Benign/q/img17b.png", "Benign/p/0.png", "scan.png", "1234.png", "a/twice1.png"]
    every = [*seen, "Benign/q/0.png", "unseen5.png", "b/twice1.png"]
    assert are_named_as([path], seen, every) == [is_named]


def test_a_crop_under_the_name_of_a_training_image_is_seen_by_its_name(tmp_path: Path, given: Path) -> None:
    lab = make_lab(tmp_path / "named", name_of=lambda patient, number: f"case{patient}-{number}")
    stored, picture = lab.train(num_steps=1), lab.files("train")[0]
    for name in (picture.stem.upper(), "case99-0"):
        Image.open(picture).crop((0, 0, 20, 20)).save(given / f"{name}.png")
    found = predict(stored, given)
    assert found.compared.is_picture.tolist() == [False, False]
    assert found.compared.words() == ["yes", "no"]
    assert any("1 of 2 images bear the names" in note for note in found.notes())


def test_other_pictures_are_not_called_seen(
    stored: StoredClassifier, given: Path, make_picture: Callable[[int], NDArray[np.uint8]]
) -> None:
    for seed in range(30):
        Image.fromarray(make_picture(seed)).save(given / f"{seed}.png")
    Image.new("RGB", (40, 40), "white").save(given / "blank.png")
    found = predict(stored, given)
    assert len(found.images) == 31
    assert not found.compared.is_seen.any()
    assert found.notes() == []


def test_images_of_any_mode_and_size_are_predicted_and_damaged_ones_skipped(
    stored: StoredClassifier, given: Path, make_picture: Callable[[int], NDArray[np.uint8]]
) -> None:
    image = Image.fromarray(make_picture(0))
    for mode in ("L", "P", "RGBA", "1"):
        image.convert(mode).save(given / f"{mode}.png")
    image.convert("CMYK").save(given / "cmyk.tif")
    image.resize((7, 500)).save(given / "long.png")
    deep = np.random.default_rng(0).integers(0, 4096, (40, 44)).astype(np.uint16)
    Image.fromarray(deep).save(given / "deep.png")
    (given / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    found = predict(stored, given)
    assert len(found.images) == 7
    assert [path for path, _ in found.skipped] == ["damaged.png"]
    np.testing.assert_allclose(found.probs.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("bits", [None, 10, 12])
def test_grey_of_16_bits_does_not_depend_on_the_other_files(tmp_path: Path, given: Path, bits: int | None) -> None:
    rng = np.random.default_rng(0)
    deep = [rng.integers(0, 2**bits, (40, 44)).astype(np.uint16) for _ in range(36)] if bits else None
    lab = make_lab(tmp_path / "deep", pixels=deep)
    stored = lab.train(num_steps=1)
    assert stored.pixels.grey_bits == bits
    dark = rng.integers(0, 1000, (40, 44)).astype(np.uint16)
    Image.fromarray(dark).save(given / "dark.png")
    alone = predict(stored, given)
    assert any(f"taken to have {bits or 16} bits" in note for note in alone.notes())
    Image.fromarray((60 * dark).astype(np.uint16)).save(given / "light.png")
    both = predict(stored, given)
    np.testing.assert_allclose(both.probs[0], alone.probs[0], atol=1e-6)
    values = np.round(np.minimum(dark, 2 ** (bits or 16) - 1) * (255 / (2 ** (bits or 16) - 1))).astype(np.uint8)
    Image.fromarray(values).save(given / "dark8.png")
    again = predict(stored, given)
    named = dict(zip([image.name for image in again.images], again.probs, strict=True))
    np.testing.assert_allclose(named["dark8.png"], named["dark.png"], atol=1e-6)


def test_nothing_that_can_be_read_is_refused_with_the_reason(stored: StoredClassifier, given: Path) -> None:
    (given / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(DataError, match="damaged"):
        predict(stored, given)


# ---- tables ----------------------------------------------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


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


# ---- a test ----------------------------------------------------------------------------------------------------------


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


def test_a_data_set_that_was_prepared_otherwise_is_not_at_hand(
    lab_of: Callable[..., "Lab"], stored: StoredClassifier
) -> None:
    other = lab_of(fit="resize").workspace
    assert dataset_of(stored, other) is not None, "the one around it is"
    shutil.rmtree(stored.run.root.parent.parent / "datasets")
    assert dataset_of(stored, other) is None


def test_a_test_says_what_was_not_compared(stored: StoredClassifier, unseen: Path) -> None:
    def notes(source: Path) -> str:
        return " ".join(predict(stored, source).notes(is_test=True))

    assert notes(unseen) == ""
    for number, folder in enumerate(sorted(unseen.glob("*/*"))):
        folder.rename(folder.with_name(f"case {number}"))
    assert "none is a patient of the data set" in notes(unseen)
    for folder in sorted(unseen.glob("*/*")):
        for path in folder.iterdir():
            path.rename(folder.parent / f"{folder.name} {path.name}")
        folder.rmdir()
    assert "no patient of these images is known" in notes(unseen)


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
