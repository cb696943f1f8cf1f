"""What a classifier has seen is recognised, and nothing else is called seen."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganaug.classify.predict.names import are_named_as
from ganaug.classify.predict.seen import dataset_of
from ganaug.classify.stored import StoredClassifier
from tests.ganaug.classify.conftest import make_lab
from tests.ganaug.classify.predict.conftest import predict

if TYPE_CHECKING:
    from tests.ganaug.classify.conftest import Lab


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


def test_a_patient_of_breakhis_is_recognised_by_the_accession_in_any_slide_s_name(
    tmp_path: Path, given: Path, make_picture: Callable[[int], NDArray[np.uint8]]
) -> None:
    def name_of(patient: int, number: int) -> str:
        return f"SOB_{('B_A', 'M_DC')[patient % 2]}-14-{1000 + patient}-40-{number}"

    lab = make_lab(tmp_path / "breakhis", name_of=name_of)
    stored = lab.train(num_steps=1)
    words: dict[str, str] = {}
    for part, word in (("train", "patient"), ("val", "patient"), ("test", "no")):
        stem, _, _ = lab.files(part)[0].stem.rpartition("-40-")
        words[f"{stem}CD-200-{len(words) + 90}.png"] = word
    for seed, name in enumerate(words):
        Image.fromarray(make_picture(seed)).save(given / name)
    found = predict(stored, given)
    assert dict(zip([image.name for image in found.images], found.compared.words(), strict=True)) == words
    assert found.compared.num_known == 3
    assert len(found.compared.patients_seen) == 2
