"""A user's folders are read as classes and patients where they say so, and as nothing where they do not."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganaug.classify.predict.names import patients_in
from ganaug.classify.predict.user_images import UserImages, list_images
from ganaug.errors import ConfigError, DataError

CLASSES = ("Benign", "Malignant")


@pytest.fixture
def folder(tmp_path: Path, make_picture: Callable[[int], NDArray[np.uint8]]) -> Callable[..., Path]:
    """Writes a picture at each of the paths given, below a folder."""

    def write(paths: Sequence[str]) -> Path:
        for seed, path in enumerate(paths):
            target = tmp_path / "pictures" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(make_picture(seed)).save(target)
        return tmp_path / "pictures"

    return write


def read_as(found: UserImages) -> dict[str, tuple[str, str]]:
    return {image.name: (image.class_name, image.patient) for image in found.images}


@pytest.mark.parametrize(
    ("paths", "layout", "expected"),
    [
        (("a.png", "b.tif"), None, [("", ""), ("", "")]),
        (("Benign/a.png", "malignant/b.png"), None, [("Benign", ""), ("Malignant", "")]),
        (("Benign/p/a.png", "Malignant/q/b.png"), None, [("Benign", "p"), ("Malignant", "q")]),
        (("Benign/p/a.png",), None, [("Benign", "p")]),
        (("test/Benign/p/a.png", "test/Malignant/q/b.png"), None, [("Benign", "p"), ("Malignant", "q")]),
        (("p/a.png", "q/b.png"), None, [("", ""), ("", "")]),
        (("p/a.png", "q/b.png"), "patient", [("", "p"), ("", "q")]),
        (("p/Benign/a.png", "q/Other/b.png"), "patient/class", [("Benign", "p"), ("", "q")]),
        (("Benign/x/p/a.png", "Malignant/x/q/b.png"), "class/other/patient", [("Benign", "p"), ("Malignant", "q")]),
        (("Benign/a.png", "b.png"), None, [("", ""), ("", "")]),
    ],
)
def test_folders_give_the_class_and_the_patient(
    folder: Callable[..., Path], paths: Sequence[str], layout: str | None, expected: list[tuple[str, str]]
) -> None:
    found = list_images(folder(paths), CLASSES, layout=layout)
    assert read_as(found) == dict(zip(sorted(paths), expected, strict=True))
    assert any("the folders are read as" in note for note in found.notes) == any(map(any, expected))


@pytest.mark.parametrize("layout", ["", "patients", "class/class", "class//patient", "patient/patient"])
def test_a_layout_that_cannot_be_meant_is_refused(folder: Callable[..., Path], layout: str) -> None:
    source = folder(["Benign/a.png"])
    if layout:
        with pytest.raises(ConfigError, match="--layout"):
            list_images(source, CLASSES, layout=layout)


def test_masks_and_what_is_no_image_are_skipped(folder: Callable[..., Path]) -> None:
    source = folder(["a.png", "a_mask.png", "b_mask.png"])
    (source / "slide.svs").touch()
    (source / "notes.txt").touch()
    found = list_images(source, CLASSES)
    assert [image.name for image in found.images] == ["a.png", "b_mask.png"], "a mask of no image is an image"
    assert [path for path, _ in found.skipped] == ["slide.svs", "a_mask.png"]


TREE = "BreaKHis_v1/histology_slides/breast"


def test_the_tree_of_breakhis_is_read_by_the_names_of_its_files(folder: Callable[..., Path]) -> None:
    paths = [
        f"{TREE}/benign/SOB/adenosis/SOB_B_A_14-22549AB/40X/SOB_B_A-14-22549AB-40-001.png",
        f"{TREE}/benign/SOB/adenosis/SOB_B_A_14-22549CD/40X/SOB_B_A-14-22549CD-40-001.png",
        f"{TREE}/malignant/SOB/ductal_carcinoma/SOB_M_DC_14-2523/200X/SOB_M_DC-14-2523-200-009.png",
    ]
    source = folder(paths)
    patients = ["14-22549", "14-22549", "14-2523"]
    found = list_images(source, CLASSES)
    assert [image.patient for image in found.images] == patients
    assert [image.class_name for image in found.images] == ["Benign", "Benign", "Malignant"]
    assert ["BreakHis" in note for note in found.notes] == [True]
    subtypes = list_images(source, ("Adenosis", "other"))
    assert [image.class_name for image in subtypes.images] == ["Adenosis", "Adenosis", ""]
    assert [image.patient for image in subtypes.images] == patients
    named = list_images(source, CLASSES, layout="other/other/other/class/other/other/patient")
    assert named.images[2].patient == "SOB_M_DC_14-2523", "as the user says"


def test_names_of_breakhis_and_folders_of_classes_mix(folder: Callable[..., Path]) -> None:
    found = list_images(folder(["Benign/p/a.png", "Malignant/q/b.png", "SOB_M_DC-14-2523-200-009.tif"]), CLASSES)
    assert read_as(found) == {
        "Benign/p/a.png": ("Benign", "p"),
        "Malignant/q/b.png": ("Malignant", "q"),
        "SOB_M_DC-14-2523-200-009.tif": ("Malignant", "14-2523"),
    }


def test_a_barcode_names_the_patient_of_several_slides(folder: Callable[..., Path]) -> None:
    paths = ["Basal/TCGA-A7-A13E-01A-01-TS1/a.png", "Basal/TCGA-A7-A13E-01Z-00-DX1/b.png", "LumA/TCGA-B6-A0IQ/c.png"]
    found = list_images(folder(paths), ("Basal", "LumA"))
    assert [image.patient for image in found.images] == ["TCGA-A7-A13E", "TCGA-A7-A13E", "TCGA-B6-A0IQ"]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("x/SOB_B_A-14-22549AB-40-001.jpg", {"14-22549", "14-22549AB"}),
        ("TCGA-A7-A13E-01Z/tile.png", {"TCGA-A7-A13E"}),
        ("tiles/TCGA-A7-A13E-01Z.x1y2.png", {"TCGA-A7-A13E"}),
        ("Cancer/0001/A_0001_1.LEFT_CC.jpg", {"Cancer-0001"}),
        ("A_0001_1.LEFT_CC.jpg", set()),
        ("Benign/p/0.png", set()),
    ],
)
def test_paths_name_patients_as_their_sources_do(path: str, names: set[str]) -> None:
    assert patients_in(path) == names


def test_an_archive_and_one_file_are_read_as_a_folder_is(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder(["Benign/p/a.png", "Malignant/q/b.png"])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted(source.rglob("*.png")):
            archive.write(path, path.relative_to(source))
    assert read_as(list_images(tmp_path / "all.zip", CLASSES)) == read_as(list_images(source, CLASSES))
    assert read_as(list_images(source / "Benign/p/a.png", CLASSES)) == {"a.png": ("", "")}


def test_a_table_names_the_patients_in_place_of_the_folders(folder: Callable[..., Path], tmp_path: Path) -> None:
    source, table = folder(["Benign/p/a.png", "Benign/p/b.png", "Malignant/q/c.png"]), tmp_path / "patients.csv"
    table.write_text('path,group\nBenign/p/a.png,"Müller, A"\nMalignant/q/c.png,other\ngone.png,nobody\n')
    found = list_images(source, CLASSES, patients=table)
    assert [image.patient for image in found.images] == ["Müller, A", "", "other"]
    assert any("2 of 3 images" in note and "1 of its rows" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,patient\na.png,x\n", "group"),
        ("path,group\na.png,x\na.png,y\n", "line 3"),
        ("path,group\nother.png,x\n", "none of the 1 images"),
        ("path,group\n", "no rows"),
    ],
)
def test_a_table_that_fits_no_image_is_refused_in_one_line(
    folder: Callable[..., Path], tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "patients.csv").write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        list_images(folder(["a.png"]), CLASSES, patients=tmp_path / "patients.csv")
    assert "\n" not in str(caught.value)


def test_a_place_without_images_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "slide.svs").touch()
    with pytest.raises(DataError, match="slide"):
        list_images(tmp_path, CLASSES)
