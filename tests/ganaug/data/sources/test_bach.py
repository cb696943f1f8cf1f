import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.bach import SPLIT, Name, parse_name, scan
from ganaug.data.sources.scans.scan import UNLABELLED
from ganaug.errors import ConfigError, DataError, for_terminal
from ganaug.workspace import Workspace

CLASSES = {"Benign": "b", "InSitu": "is", "Invasive": "iv", "Normal": "n"}
ROOT = "ICIAR2018_BACH_Challenge"
TEST_ROOT = "ICIAR2018_BACH_Challenge_TestDataset"


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(file, "TIFF")
    return file.getvalue()


def photos(numbers: Iterable[int]) -> dict[str, bytes]:
    """The official tree with some images of each class, the organisers' table, and what else lies in the archive."""
    names = {f"{prefix}{number:03d}.tif": label for label, prefix in CLASSES.items() for number in numbers}
    content = {f"{ROOT}/Photos/{label}/{name}": picture(seed) for seed, (name, label) in enumerate(names.items())}
    table = "".join(f"{name},{label}\r\n" for name, label in sorted(names.items(), reverse=True))
    content[f"{ROOT}/Photos/microscopy_ground_truth.csv"] = table.encode()
    content[f"{ROOT}/WSI/gt_thumbnails/A01.png"] = picture(9000)
    content[f"{ROOT}/WSI/gt_thumbnails/A02.png"] = picture(9001)
    content[f"{ROOT}/WSI/A01.xml"] = b"<annotations/>"
    return content


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    def folder(content: dict[str, bytes]) -> Path:
        for name, data in content.items():
            file = tmp_path / "bach" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return tmp_path / "bach"

    return folder


@pytest.fixture
def root(write: Callable[[dict[str, bytes]], Path]) -> Path:
    return write(photos(range(1, 4)))


def config(source: Path, **options: object) -> PrepareConfig:
    return PrepareConfig("bach", str(source), **options)  # type: ignore[arg-type]


def listed(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "patients.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


# ---- names, labels, what is skipped ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("b001.tif", Name("Benign", 1)),
        ("Photos\\InSitu\\is100.tif", Name("InSitu", 100)),
        ("IV042.TIF", Name("Invasive", 42)),
        ("n007", Name("Normal", 7)),
        ("b000.tif", None),
        ("n101.tif", None),
        ("b01.tif", None),
        ("test7.tif", None),
        ("i001.tif", None),
        ("A01.png", None),
    ],
)
def test_a_name_is_parsed(text: str, name: Name | None) -> None:
    assert parse_name(text) == name


def test_the_whole_official_tree_is_400_images_of_four_classes(write: Callable[[dict[str, bytes]], Path]) -> None:
    found = scan(config(write(dict.fromkeys(photos([1]), b"") | dict.fromkeys(photos(range(1, 101)), b""))))
    assert found.class_names == tuple(CLASSES)
    assert np.bincount(found.labels).tolist() == [100] * 4
    assert len({item.image_id for item in found.items}) == len(set(found.groups)) == 400
    assert {item.um_per_px for item in found.items} == {0.42}
    assert found.native_width_px == 2048
    assert found.skipped == ()


def test_thumbnails_of_slides_are_passed_over_with_one_notice(root: Path) -> None:
    found = scan(config(root))
    assert len(found.items) == 12
    assert found.skipped == ()
    [note] = [note for note in found.notes if "passed over" in note]
    assert for_terminal(note) == (
        "2 images that are no training images of BACH were passed over, such as "
        "ICIAR2018_BACH_Challenge/WSI/gt_thumbnails/A01.png"
    )


def test_folder_zip_and_tar_tell_the_same_images_and_bytes(root: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bach.zip", "w") as packed, tarfile.open(tmp_path / "bach.tar.gz", "w:gz") as tar:
        for file in sorted(root.rglob("*.*"), reverse=True):
            packed.write(file, file.relative_to(root))
            tar.add(file, file.relative_to(root))
    scans = [scan(config(source)) for source in (root, tmp_path / "bach.zip", tmp_path / "bach.tar.gz")]
    assert scans[0].items == scans[1].items == scans[2].items
    assert scans[0].splits == scans[1].splits == scans[2].splits
    for found in scans:
        loads = dict(found.read(found.items))
        assert [loads[position]() for position in range(12)] == [
            ((root / item.path).read_bytes(),) for item in found.items
        ]


def test_images_in_their_class_folders_are_found_at_any_depth(write: Callable[[dict[str, bytes]], Path]) -> None:
    found = scan(config(write({"x/Benign/b001.tif": b"", "InSitu/deeper/is002.tif": b"", "y/z/Normal/n003.png": b""})))
    assert [(item.image_id, item.label) for item in found.items] == [("b001", 0), ("is002", 1), ("n003", 3)]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (f"{ROOT}/Photos/Normal/b050.tif", "the label is in doubt: the folder says Normal, the name Benign"),
        (f"{ROOT}/Photos/Benign/notes.png", "the name is not of BACH's form b001.tif"),
        ("b051.tif", "it stands in none of the folders Benign, InSitu, Invasive and Normal"),
    ],
)
def test_an_image_whose_folder_and_name_disagree_is_skipped(root: Path, path: str, reason: str) -> None:
    (root / path).write_bytes(picture(1))
    found = scan(config(root))
    assert len(found.items) == 12
    assert found.skipped == ((path, reason),)


@pytest.mark.parametrize("line", ["b001.tif,Normal", "b001.tif,Benign\nb001.tif,Normal", "B001.TIF , Normal"])
def test_an_image_that_the_ground_truth_labels_otherwise_or_twice_is_skipped(root: Path, line: str) -> None:
    table = root / ROOT / "Photos" / "microscopy_ground_truth.csv"
    lines = [old for old in table.read_text().splitlines() if not old.startswith("b001")]
    table.write_bytes("\r\n".join([*lines, *line.split("\n")]).encode("utf-8-sig"))
    found = scan(config(root))
    assert {item.image_id for item in found.items} == {f"{p}{n:03d}" for p in CLASSES.values() for n in (1, 2, 3)} - {
        "b001"
    }
    [(path, reason)] = found.skipped
    assert path.endswith("b001.tif")
    reason = for_terminal(reason)
    assert reason.startswith("the label is in doubt: the folder says Benign, the name Benign, microscopy_ground_truth")
    assert reason.endswith("Normal")


def test_without_the_ground_truth_folder_and_name_are_enough(root: Path) -> None:
    (root / ROOT / "Photos" / "microscopy_ground_truth.csv").unlink()
    assert len(scan(config(root)).items) == 12


def test_a_copy_of_the_tree_inside_of_it_counts_once(root: Path, write: Callable[[dict[str, bytes]], Path]) -> None:
    write({f"copy/{name}": data for name, data in photos([1]).items()})
    found = scan(config(root))
    assert len(found.items) == 12
    assert found.notes[0] == "4 files bear the name of another in a second folder and were skipped"


def test_a_source_without_bach_says_what_it_expects(write: Callable[[dict[str, bytes]], Path]) -> None:
    with pytest.raises(DataError, match=r"no usable image of BACH; expected Photos/\{Benign"):
        scan(config(write({"cat.png": b""})))
    with pytest.raises(
        DataError,
        match=r"no usable image of BACH \(1 file is skipped, such as n001\.tif: it stands in none",
    ):
        scan(config(write({"n001.tif": b""})))


# ---- the organisers' test images -------------------------------------------------------------------------------------


def test_test_images_have_no_label_and_come_in_the_order_of_their_numbers(
    write: Callable[[dict[str, bytes]], Path],
) -> None:
    root = write({f"{TEST_ROOT}/Photos/test{number}.tif": b"" for number in (10, 2, 0)})
    found = scan(config(root, part="test"))
    assert [item.image_id for item in found.items] == ["test0", "test2", "test10"]
    assert {item.label for item in found.items} == {UNLABELLED}
    assert [item.group_id for item in found.items] == ["test0", "test2", "test10"]
    assert not found.labelled
    assert found.splits == {}
    assert found.notes == ()


def test_each_part_takes_its_own_images_of_a_mixed_source(
    root: Path, write: Callable[[dict[str, bytes]], Path]
) -> None:
    write({f"{TEST_ROOT}/Photos/test{number}.tif": b"" for number in range(5)})
    assert len(scan(config(root)).items) == 12
    assert len(scan(config(root, part="test")).items) == 5
    assert scan(config(root)).notes[0].startswith("7 images that are no training images")


def test_the_wrong_part_says_which_one_is_there(root: Path, write: Callable[[dict[str, bytes]], Path]) -> None:
    with pytest.raises(DataError, match=r"no test image of BACH \(14 images of other names\); expected .*testN\.tif"):
        scan(config(root, part="test"))
    with pytest.raises(DataError, match=r"holds the 1 test images only; read them with --part test"):
        scan(config(write({"only/test0.tif": b""}) / "only"))


def test_patients_for_the_test_images_are_refused(write: Callable[[dict[str, bytes]], Path]) -> None:
    with pytest.raises(ConfigError, match="--patients-csv with --part test"):
        scan(config(write({"test0.tif": b""}), part="test", patients_csv="p.csv"))


# ---- the patient-safe split ------------------------------------------------------------------------------------------


def test_the_patient_safe_split_has_the_published_counts(write: Callable[[dict[str, bytes]], Path]) -> None:
    found = scan(config(write(dict.fromkeys(photos(range(1, 101)), b""))))
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


def test_without_patients_a_notice_says_how_to_prevent_a_leak(root: Path) -> None:
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


def test_images_of_the_csv_that_are_not_there_are_told(root: Path, tmp_path: Path) -> None:
    found = scan(config(root, patients_csv=listed(tmp_path, "b001.tif,p1\nb077.tif,p1\nslide-4.tif,p3\n")))
    assert "2 images of patients.csv are not there, such as b077" in map(for_terminal, found.notes)


def test_a_split_that_would_part_a_patient_is_not_on_offer(
    write: Callable[[dict[str, bytes]], Path], tmp_path: Path
) -> None:
    root = write(photos([1, 42]))  # b001 trains, b042 tests
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


def test_the_safe_split_is_prepared_to_the_letter(
    write: Callable[[dict[str, bytes]], Path], workspace: Workspace
) -> None:
    root = write(photos([1, 38, 42, 47, 73, 90]))  # of each class some that train and some that test
    folds = FoldsConfig(scheme="fixed", fixed=SPLIT)
    prepared = prepare_dataset(workspace, config(root, resolution_px=16, folds=folds))
    split = scan(config(root)).splits[SPLIT]
    assert prepared.skipped == ()
    assert prepared.folds is not None
    assert set(prepared.folds.test_groups(0)) == {group for group, part in split.items() if part == "test"}
    assert not {"test"} & {split[group] for group in prepared.folds.train_groups(0) + prepared.folds.val_groups(0)}


def test_test_images_are_prepared_without_labels_and_folds(
    write: Callable[[dict[str, bytes]], Path], workspace: Workspace
) -> None:
    root = write({f"test{number}.tif": picture(number) for number in range(4)})
    prepared = prepare_dataset(workspace, config(root, resolution_px=16, part="test"))
    assert prepared.folds is None
    assert prepared.table.label.tolist() == [UNLABELLED] * 4


def test_a_scale_of_the_users_overrides_the_published_one_whatever_the_width(
    root: Path, write: Callable[[dict[str, bytes]], Path]
) -> None:
    found = scan(config(root, um_per_px=0.5))
    assert {item.um_per_px for item in found.items} == {0.5}
    assert found.native_width_px is None
    tests = scan(config(write({"test0.tif": b""}), part="test", um_per_px=0.5))
    assert [item.um_per_px for item in tests.items] == [0.5]
