"""The patients of BACH: unknown, from a CSV, or kept apart by the patient-safe split."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.bach import SPLIT, scan
from ganaug.errors import DataError, for_terminal
from ganaug.workspace import Workspace

CLASSES = {"Benign": "b", "InSitu": "is", "Invasive": "iv", "Normal": "n"}
ROOT = "ICIAR2018_BACH_Challenge"


def config(source: Path, **options: object) -> PrepareConfig:
    return PrepareConfig("bach", str(source), **options)  # type: ignore[arg-type]


def listed(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "patients.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


# ---- the patient-safe split ------------------------------------------------------------------------------------------


def test_the_patient_safe_split_has_the_published_counts(write_photos: Callable[..., Path]) -> None:
    found = scan(config(write_photos(range(1, 101), empty=True)))
    split = found.splits[SPLIT]
    assert set(split) == set(found.groups)
    assert Counter(split.values()) == {"train": 268, "test": 132}
    counts = Counter((found.class_names[item.label], split[item.group_id]) for item in found.items)
    assert [counts[label, "train"] for label in CLASSES] == [52, 70, 69, 77]
    # The ranges of the sorted names, written as the names at their ends.
    names = sorted(f"{prefix}{number:03d}" for prefix in CLASSES.values() for number in range(1, 101))
    train = {name for name in names if split[name] == "train"}
    for first, last in (
        ("b001", "b041"),
        ("b060", "b060"),
        ("b091", "is039"),
        ("is070", "iv040"),
        ("iv059", "iv060"),
        ("iv074", "n045"),
        ("n069", "n100"),
    ):
        train -= set(names[names.index(first) : names.index(last) + 1])
    assert train == set()


def test_a_subset_keeps_the_parts_of_its_images(root: Path) -> None:
    assert scan(config(root)).splits[SPLIT] == {
        **{f"b00{n}": "train" for n in (1, 2, 3)},
        **{f"is00{n}": "train" for n in (1, 2, 3)},
        **{f"iv00{n}": "train" for n in (1, 2, 3)},
        **{f"n00{n}": "train" for n in (1, 2, 3)},
    }


# ---- patients --------------------------------------------------------------------------------------------------------


def test_without_patients_a_note_says_how_to_prevent_a_leak(root: Path) -> None:
    note = scan(config(root)).notes[-1]
    assert "no patient is known for 12 of 12 images" in note
    assert "the folds leak" in note
    assert "--patients-csv" in note
    assert "--split patient-safe" in note


def test_with_the_safe_split_nothing_is_said_of_a_leak(root: Path) -> None:
    notes = scan(config(root, folds=FoldsConfig(scheme="fixed", fixed=SPLIT))).notes
    assert notes[-1] == "no patient is known for 12 of 12 images: each counts as a patient of its own"


@pytest.mark.parametrize(
    "text",
    [
        "b001.tif,p1\nb002.tif,p1\nn001.tif,p2\n",
        "file,patient\r\nb001.tif,p1\r\nb002.tif,p1\r\nn001.tif,p2\r\n",
        b"\xef\xbb\xbffile,patient\nb001,p1\nb002,p1\nn001,p2\n",
        "File;Patient;Remark\nPhotos\\Benign\\B001.tif;p1;x\nb002.tif; p1 ;\nn001.tif;p2;\n",
        "b001.tif,p1\nb001.tif,p1\n\nb002.tif,p1\nb003.tif,\nn001.tif,p2\nn001,p2\n",
    ],
    ids=["plain", "header CRLF", "BOM no suffix", "semicolons paths case", "duplicate and empty rows"],
)
def test_the_csv_gives_patients_however_it_was_saved(root: Path, tmp_path: Path, text: str | bytes) -> None:
    found = scan(config(root, patients_csv=listed(tmp_path, text)))
    group = {item.image_id: item.group_id for item in found.items}
    assert (group["b001"], group["b002"], group["n001"]) == ("p1", "p1", "p2")
    assert len(group) == 12
    assert all(group[name] == name for name in set(group) - {"b001", "b002", "n001"})
    assert found.skipped == ()
    assert found.notes[-1] == "no patient is known for 9 of 12 images: each counts as a patient of its own"
    assert found.splits[SPLIT]["p1"] == "train"


def test_an_image_under_two_patients_is_skipped(root: Path, tmp_path: Path) -> None:
    found = scan(config(root, patients_csv=listed(tmp_path, "b001.tif,p2\nb001.tif,p1\nb002.tif,p1\n")))
    assert len(found.items) == 11
    [(path, reason)] = found.skipped
    assert (path, for_terminal(reason)) == (
        f"{ROOT}/Photos/Benign/b001.tif",
        "patients.csv gives it the patients p1 and p2",
    )


def test_images_of_the_csv_that_are_not_there_are_reported(root: Path, tmp_path: Path) -> None:
    found = scan(config(root, patients_csv=listed(tmp_path, "b001.tif,p1\nb077.tif,p1\nslide-4.tif,p3\n")))
    assert "2 images of patients.csv are not there, such as b077" in map(for_terminal, found.notes)


def test_a_split_that_would_part_a_patient_is_not_on_offer(write_photos: Callable[..., Path], tmp_path: Path) -> None:
    root = write_photos([1, 42])  # b001 trains, b042 tests
    assert scan(config(root)).splits[SPLIT]["b042"] == "test"
    found = scan(config(root, patients_csv=listed(tmp_path, "b001.tif,p1\nb042.tif,p1\n")))
    assert found.splits == {}
    assert "the split patient-safe is not on offer: it would part 1 patients, such as p1" in map(
        for_terminal, found.notes
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected the columns file, patient"),
        ("patient,file\np1,b001.tif\n", r"gives a patient to none of the 12 images; expected lines such as b001\.tif"),
        ("b001.tif,Müller\n".encode("latin-1"), "no CSV in UTF-8"),
        ("b001.tif,p1\n".encode("utf-16"), "no CSV in UTF-8"),
    ],
)
def test_a_csv_of_another_kind_is_one_line(root: Path, tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        scan(config(root, patients_csv=listed(tmp_path, text)))
    assert "\n" not in str(caught.value)


def test_a_csv_that_is_missing_or_a_folder_is_one_line(root: Path) -> None:
    with pytest.raises(DataError, match=r"no file or folder .*nowhere\.csv; name an existing one with --patients-csv"):
        scan(config(root, patients_csv=str(root / "nowhere.csv")))
    with pytest.raises(DataError, match="is a folder; expected a CSV"):
        scan(config(root, patients_csv=str(root)))


# ---- to the end ------------------------------------------------------------------------------------------------------


def test_the_safe_split_is_prepared_to_the_letter(write_photos: Callable[..., Path], workspace: Workspace) -> None:
    root = write_photos([1, 38, 42, 47, 73, 90])  # of each class some that train and some that test
    folds = FoldsConfig(scheme="fixed", fixed=SPLIT)
    prepared = prepare_dataset(workspace, config(root, resolution_px=16, folds=folds))
    split = scan(config(root)).splits[SPLIT]
    assert prepared.skipped == ()
    assert prepared.folds is not None
    assert set(prepared.folds.test_groups(0)) == {group for group, part in split.items() if part == "test"}
    assert not {"test"} & {split[group] for group in prepared.folds.train_groups(0) + prepared.folds.val_groups(0)}
