import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.schema import ImageReader
from ganaug.data.sources.dataset_zip import scan
from ganaug.data.sources.scans.scan import Scan
from ganaug.errors import DataError, LeakError, for_terminal
from ganaug.workspace import Workspace

A, B, C = (f"00000/img0000000{index}.png" for index in range(3))
Make = Callable[..., Path]


def png(seed: int, side_px: int = 16) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write an archive of images that are all different, and its `dataset.json`, given as a value or as bytes."""

    def write(listed: Any, names: tuple[str, ...] = (A, B, C), folder: str = "", **more: bytes) -> Path:
        path = tmp_path / "dataset.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for index, name in enumerate(names):
                archive.writestr(folder + name, png(index))
            if listed is not None:
                archive.writestr(
                    f"{folder}dataset.json", listed if isinstance(listed, bytes) else json.dumps(listed).encode()
                )
            for name, content in more.items():
                archive.writestr(name.replace("__", "."), content)
        return path

    return write


def read(source: Path, **options: Any) -> Scan:
    return scan(PrepareConfig("zip", str(source), resolution_px=16, **options))


def of(found: Scan) -> dict[str, int]:
    return {item.path: item.label for item in found.items}


def test_integer_labels_are_classes_named_by_their_numbers(make: Make) -> None:
    found = read(make({"labels": [[B, 3], [A, 0], [C, 3]]}))
    assert found.class_names == ("0", "1", "2", "3")
    assert list(of(found).items()) == [(A, 0), (B, 3), (C, 3)]  # by name, whatever the order of the list
    assert "there is no image of the class 1, 2" in map(for_terminal, found.notes)
    assert (found.licence, found.citation) == ("the user's", "the user's")


def test_one_hot_vectors_are_the_classes_they_mean(make: Make) -> None:
    found = read(make({"labels": [[A, [0, 1, 0]], [B, [1.0, 0.0, 0.0]], [C, [0, 0, 1]]]}))
    assert of(found) == {A: 1, B: 0, C: 2}


@pytest.mark.parametrize("listed", [{"labels": None}, {}, {"labels": None, "class_names": ["x", "y"]}])
def test_without_labels_every_image_is_unlabelled(make: Make, listed: dict[str, Any]) -> None:
    found = read(make(listed))
    assert of(found) == {A: -1, B: -1, C: -1}
    assert not found.labelled
    assert found.class_names == tuple(listed.get("class_names", ()))
    assert found.notes[0] == "dataset.json gives no labels"
    assert not any("no image of the class" in note for note in found.notes)


def test_the_further_keys_tell_what_the_format_does_not_know(make: Make) -> None:
    listed = {
        "labels": [[A, 0], [B, 1], [C, 1]],
        "class_names": ["benign", "malignant"],
        "groups": {A: "anna", B: "bea", C: "bea"},
        "sites": {B: "ulm"},
        "image_ids": {A: "first"},
        "magnifications": {A: 200},
        "um_per_px": {A: 0.5, B: 1},
        "licence": "CC BY 4.0",
        "citation": "Someone, 2020",
    }
    found = read(make(listed))
    assert found.class_names == ("benign", "malignant")
    assert found.groups.tolist() == ["anna", "bea", "bea"]
    assert found.sites.tolist() == ["", "ulm", ""]
    assert [item.image_id for item in found.items] == ["first", B, C]
    assert [item.magnification for item in found.items] == [200, 0, 0]
    assert [item.um_per_px for item in found.items] == [0.5, 1, None]
    assert (found.licence, found.citation) == ("CC BY 4.0", "Someone, 2020")
    assert found.notes == ()
    assert [item.um_per_px for item in read(make(listed), um_per_px=0.25).items] == [0.25] * 3


def test_without_patients_every_image_is_its_own_and_that_is_said_loudly(make: Make) -> None:
    found = read(make({"labels": [[A, 0], [B, 1], [C, 1]], "groups": {C: "anna"}}))
    assert found.groups.tolist() == [A, B, "anna"]
    (note,) = found.notes
    assert "no patient is known for 2 of 3 images" in note
    assert "the folds leak" in note


def test_what_is_listed_or_there_alone_is_skipped_with_the_reason(make: Make) -> None:
    found = read(make({"labels": [[A, 0], [B, 1], ["00000/gone.png", 1]]}))
    assert of(found) == {A: 0, B: 1}
    assert found.skipped == (
        ("00000/gone.png", "listed in dataset.json, but there is no such image"),
        (C, "not listed in dataset.json"),
    )


def test_an_image_listed_twice_is_noted_and_one_under_two_classes_skipped(make: Make) -> None:
    for order in ([[A, 0], [A, 0], [B, 1], [C, 0], [C, 1]], [[C, 1], [C, 0], [C, 1], [A, 0], [B, 1], [A, 0]]):
        found = read(make({"labels": order}))
        assert of(found) == {A: 0, B: 1}
        assert f"1 images are listed more than once, such as {A}" in map(for_terminal, found.notes)
        ((path, reason),) = found.skipped
        assert path == C
        assert reason.startswith("listed under two classes, ")


@pytest.mark.parametrize("folder", ["", "top/", "./", "a/b/"])
def test_names_are_relative_to_the_list_however_the_archive_nests_it(make: Make, folder: str) -> None:
    source = make({"labels": [[A, 0], [B, 1]], "groups": {A: "p", B: "q", C: "r"}}, folder=folder)
    found = read(source)
    folder = folder.removeprefix("./")  # "./x.png" goes by the name "x.png"
    assert of(found) == {folder + A: 0, folder + B: 1}
    assert found.groups.tolist() == ["p", "q"]
    assert found.skipped == ((folder + C, "not listed in dataset.json"),)
    assert [load() for _, load in found.read(found.items)] == [(png(0),), (png(1),)]


def test_an_unpacked_archive_and_a_tar_hold_the_same(make: Make, tmp_path: Path) -> None:
    packed = make({"labels": [[A, 0], [B, 1], [C, 1]], "groups": {A: "p"}})
    unpacked, tarred = tmp_path / "unpacked", tmp_path / "dataset.tar.gz"
    zipfile.ZipFile(packed).extractall(unpacked)
    with tarfile.open(tarred, "w:gz") as tar:
        tar.add(unpacked, ".")
    assert read(unpacked).items == read(packed).items == read(tarred).items


def test_a_byte_order_mark_and_other_images_formats_are_read(make: Make) -> None:
    listed = json.dumps({"labels": [["ä.jpg", 0], ["b.tif", 1]]}, ensure_ascii=False).encode("utf-8-sig")
    assert of(read(make(listed, names=("ä.jpg", "b.tif")))) == {"ä.jpg": 0, "b.tif": 1}


@pytest.mark.parametrize("more", [{}, {"provenance__json": b"{}"}])
def test_images_that_a_generator_made_never_become_patients(make: Make, more: dict[str, bytes]) -> None:
    mark = {} if more else {"synthetic": True}
    source = make({"labels": [[A, 0], [B, 1]], **mark}, **more)
    with pytest.raises(LeakError, match=r"that a generator made; expected images of patients.*ganaug synthesize"):
        read(source)


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        (None, "holds no dataset.json"),
        (b"", "not valid JSON"),
        (b'{"labels": [', "not valid JSON"),
        (b'{"labels": "\xff"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        ([[A, 0]], "is a list"),
        (b"5", "is a int and no object"),
        (b"[]", "is a list and no object"),
        (b'"x"', "is a str and no object"),
        (b'{"labels": [["a.png", 0], ["b.png", ' + b"9" * 5000 + b"]]}", "the class Infinity"),
        (b'{"labels": [["\\ud800.png", 0], ["b.png", 1]]}', "lists no image that is there"),
        ({"labels": {A: 0}}, '"labels" of .* is a dict'),
        ({"labels": [A, B]}, 'entry 0 of "labels" .* expected .file name, class'),
        ({"labels": [[A, 0], [B]]}, 'entry 1 of "labels"'),
        ({"labels": [[A, 0], [5, 1]]}, 'entry 1 of "labels"'),
        ({"labels": [[A, 0], [B, -1]]}, f"gives {B} the class -1; expected a whole number"),
        ({"labels": [[A, 0], [B, 0.5]]}, "the class 0.5"),
        ({"labels": [[A, 0], [B, True]]}, "the class true"),
        ({"labels": [[A, 0], [B, "1"]]}, 'the class "1"'),
        ({"labels": [[A, 0], [B, None]]}, "the class null"),
        ({"labels": [[A, 0], [B, 10**9]]}, "the class 1000000000; expected a whole number from 0 to 9999"),
        ({"labels": [[A, [1, 0]], [B, [0.5, 0.5]]]}, r"the class \[0.5, 0.5\]; expected .* a single 1 among zeros"),
        ({"labels": [[A, [1, 0]], [B, [1, 1]]]}, r"the class \[1, 1\]"),
        ({"labels": [[A, [1, 0]], [B, [0, "1"]]]}, "the class"),
        ({"labels": [[A, []], [B, []]]}, r"the class \[\]"),
        ({"labels": [[A, 0], [B, [1, 0]]]}, "mixes kinds"),
        ({"labels": [[A, [0, 1]], [B, [1, 0, 0]]]}, "mixes kinds"),
        ({"labels": []}, "knows 0 classes; expected two classes or more"),
        ({"labels": [[A, 0], [B, 0]]}, "knows 1 classes; expected two classes or more"),
        ({"labels": [[A, 0], [B, 2]], "class_names": ["a", "b"]}, "uses class 2 and names 2 classes"),
        ({"labels": [[A, 0], [B, 1]], "class_names": "ab"}, '"class_names"'),
        ({"labels": [[A, 0], [B, 1]], "class_names": ["a", "a"]}, '"class_names"'),
        ({"labels": [[A, 0], [B, 1]], "class_names": ["a", 1]}, '"class_names"'),
        ({"labels": [[A, 0], [B, 1]], "groups": [["a", "b"]]}, '"groups"'),
        ({"labels": [[A, 0], [B, 1]], "groups": {A: 5}}, f'"groups" .* gives {A} 5; expected a name'),
        ({"labels": [[A, 0], [B, 1]], "groups": {A: " "}}, '"groups"'),
        ({"labels": [[A, 0], [B, 1]], "sites": {A: "a\0b"}}, '"sites"'),
        ({"labels": [[A, 0], [B, 1]], "magnifications": {A: 10**30}}, '"magnifications"'),
        (b'{"labels": null, "magnifications": {"a.png": ' + b"9" * 5000 + b"}}", '"magnifications"'),
        ({"labels": [[A, 0], [B, 1]], "um_per_px": {A: 0}}, '"um_per_px"'),
        ({"labels": [[A, 0], [B, 1]], "um_per_px": {A: float("nan")}}, '"um_per_px"'),
        ({"labels": [[A, 0], [B, 1]], "um_per_px": {A: 10**400}}, '"um_per_px"'),
        ({"labels": [[A, 0], [B, 1]], "licence": 4}, '"licence"'),
    ],
)
def test_a_malformed_list_is_one_line(make: Make, listed: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as refusal:
        read(make(listed))
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 600


def test_two_lists_are_refused(make: Make) -> None:
    with pytest.raises(DataError, match=r"holds b/dataset.json and dataset.json; expected one"):
        read(make({"labels": None}, **{"b/dataset__json": b"{}"}))


@pytest.mark.parametrize("cut", [0.2, 0.9])
def test_a_truncated_archive_is_one_line(make: Make, tmp_path: Path, cut: float) -> None:
    whole = make({"labels": [[A, 0], [B, 1]]}).read_bytes()
    broken = tmp_path / "broken.zip"
    broken.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(DataError, match="truncated, damaged or no archive"):
        read(broken)


def test_a_name_that_leads_out_of_the_archive_is_skipped_once(make: Make) -> None:
    found = read(make({"labels": [[A, 0], [B, 1], ["../evil.png", 1]]}, names=(A, B, "../evil.png")))
    assert of(found) == {A: 0, B: 1}
    assert found.skipped == (("../evil.png", "the path leads out of the archive"),)


def test_a_prepared_archive_has_its_pixels_labels_and_patients(make: Make, workspace: Workspace) -> None:
    names = tuple(f"00000/img{index:08d}.png" for index in range(12))
    listed = {
        "labels": [[name, index % 2] for index, name in enumerate(names)],
        "class_names": ["benign", "malignant"],
        "groups": {name: f"p{index // 2}" for index, name in enumerate(names)},
    }
    config = PrepareConfig("zip", str(make(listed, names=names)), resolution_px=16, folds=FoldsConfig(3))
    prepared = prepare_dataset(workspace, config)
    assert prepared.skipped == ()
    assert prepared.table.class_names == ("benign", "malignant")
    assert prepared.table.label.tolist() == [0, 1] * 6
    assert prepared.table.group_id.tolist() == [f"p{index // 2}" for index in range(12)]
    stored = ImageReader(prepared.path)[np.arange(12)]
    expected = [np.asarray(Image.open(io.BytesIO(png(index)))) for index in range(12)]
    assert np.array_equal(stored, np.stack(expected))


def test_an_archive_without_labels_is_prepared_without_folds(make: Make, workspace: Workspace) -> None:
    prepared = prepare_dataset(workspace, PrepareConfig("zip", str(make({"labels": None})), resolution_px=16))
    assert prepared.folds is None
    assert prepared.table.label.tolist() == [-1] * 3
