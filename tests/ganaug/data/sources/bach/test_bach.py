import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ganaug.config import PrepareConfig
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.bach import Name, parse_name, scan
from ganaug.data.sources.scans.scan import UNLABELLED
from ganaug.errors import ConfigError, DataError, for_terminal
from ganaug.workspace import Workspace

CLASSES = {"Benign": "b", "InSitu": "is", "Invasive": "iv", "Normal": "n"}
ROOT = "ICIAR2018_BACH_Challenge"
TEST_ROOT = f"{ROOT}_TestDataset"


def config(source: Path, **options: object) -> PrepareConfig:
    return PrepareConfig("bach", str(source), **options)  # type: ignore[arg-type]


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


def test_the_whole_official_tree_is_400_images_of_four_classes(write_photos: Callable[..., Path]) -> None:
    found = scan(config(write_photos(range(1, 101), empty=True)))
    assert found.class_names == tuple(CLASSES)
    assert np.bincount(found.labels).tolist() == [100] * 4
    assert len({item.image_id for item in found.items}) == len(set(found.groups)) == 400
    assert {item.um_per_px for item in found.items} == {0.42}
    assert found.native_width_px == 2048
    assert found.skipped == ()


def test_thumbnails_of_slides_are_passed_over_with_one_note(root: Path) -> None:
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
def test_an_image_whose_folder_and_name_disagree_is_skipped(
    picture: Callable[[int], bytes], root: Path, path: str, reason: str
) -> None:
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


def test_a_copy_of_the_tree_inside_of_it_counts_once(write_photos: Callable[..., Path], root: Path) -> None:
    write_photos([1], "copy/")
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


# ---- to the end ------------------------------------------------------------------------------------------------------


def test_test_images_are_prepared_without_labels_and_folds(
    picture: Callable[[int], bytes], write: Callable[[dict[str, bytes]], Path], workspace: Workspace
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
