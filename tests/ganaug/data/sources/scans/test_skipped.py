"""A class that skipped images make smaller is named, and a refusal says the reason that is known."""

import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.hdf5.attributes import NOTES
from ganaug.data.prepare.pipeline import plan_preparation, prepare_dataset
from ganaug.data.sources import scan_source
from ganaug.data.sources.scans.scan import Scan
from ganaug.data.sources.scans.skipped import class_notes, why_none
from ganaug.errors import DataError, for_sharing, for_terminal, private
from ganaug.workspace import Workspace

HUGE = 600 * 2**20  # more than a source reads


def sparse(path: Path) -> None:
    """A file that is skipped before it is opened, for its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(HUGE)


def empty(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def tcga(root: Path) -> dict[str, object]:
    calls = "".join(f"TCGA-A1-000{n}\tBRCA_{call}\n" for n, call in enumerate(["LumA", "LumA", "Basal", "Basal"]))
    (root / "calls.tsv").write_text("PATIENT_ID\tSUBTYPE\n" + calls)
    return {"clinical": str(root / "calls.tsv")}


def listed(root: Path) -> dict[str, object]:
    labels = [[f"{label}{n}.png", label] for label in (0, 1) for n in range(4)]
    (root / "dataset.json").write_text(json.dumps({"labels": labels, "class_names": ["soft", "hard"]}))
    return {}


def nothing(root: Path) -> dict[str, object]:
    return {}


@dataclass(frozen=True)
class Kind:
    """Four images of each of two classes as a source names them, and what else it needs."""

    class_names: tuple[str, str]
    path: Callable[[int, int], str]  # of class 0 or 1, image 0 to 3
    more: Callable[[Path], dict[str, object]] = nothing

    @property
    def paths(self) -> list[str]:
        return [self.path(label, number) for label in (0, 1) for number in range(4)]


SOURCES = {
    "folder": Kind(("soft", "hard"), lambda label, n: f"{('soft', 'hard')[label]}/{label}{n}.png"),
    "breakhis": Kind(("Benign", "Malignant"), lambda label, n: f"SOB_{('B_A', 'M_DC')[label]}-14-{n}00-200-001.png"),
    "bach": Kind(("Benign", "Normal"), lambda label, n: f"{('Benign/b', 'Normal/n')[label]}00{n + 1}.tif"),
    "mini-ddsm": Kind(
        ("Normal", "Cancer"), lambda label, n: f"{('Normal', 'Cancer')[label]}/000{n}/A_000{n}_1.LEFT_CC.jpg"
    ),
    "tcga-brca": Kind(("Luminal", "BasalHer2"), lambda label, n: f"TCGA-A1-000{2 * label + n % 2}/{n}.png", tcga),
    "zip": Kind(("soft", "hard"), lambda label, n: f"{label}{n}.png", listed),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("num_skipped", [1, 3])
def test_each_source_names_the_class_that_skipped_images_make_smaller(
    tmp_path: Path, name: str, num_skipped: int
) -> None:
    kind = SOURCES[name]
    for number, path in enumerate(kind.paths):
        (sparse if number < num_skipped else empty)(tmp_path / path)
    options = kind.more(tmp_path)
    config = PrepareConfig(name, str(tmp_path), folds=FoldsConfig(), **options)  # type: ignore[arg-type]
    scan = scan_source(config)
    [note] = map(for_terminal, class_notes(scan, scan.skipped, scan.labels.tolist()))
    assert note.startswith(f"class {kind.class_names[0]}: {num_skipped} of 4 images are skipped: ")
    assert "larger than 512 MiB" in note


def test_a_class_that_vanishes_is_named_before_a_pixel_is_read_and_after(tmp_path: Path, workspace: Workspace) -> None:
    root = tmp_path / "images"
    for label in ("a", "b", "ductal"):
        for patient in range(4):
            path = root / label / f"{label}{patient}" / "0.png"
            empty(path)
            pixels = np.random.default_rng([ord(label[0]), patient]).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    for path in (root / "ductal").rglob("*.png"):
        sparse(path)
    (root / "a" / "a0" / "1.png").write_bytes(b"no image")
    config = PrepareConfig("folder", str(root), resolution_px=16, folds=FoldsConfig(3))
    planned = [for_terminal(note) for note in plan_preparation(config)[NOTES] if "class" in note.split()]
    prepared = prepare_dataset(workspace, config)
    noted = [for_terminal(note) for note in prepared.notes if "class" in note.split()]
    vanished = "class ductal: all 4 images are skipped: the file is larger than 512 MiB; none is left of this class"
    assert planned == [vanished]
    assert noted[0] == vanished
    assert noted[1].startswith("class a: 1 of 5 images are skipped: not an image")
    assert len(noted) == 2
    assert "ductal" not in for_sharing("\n".join(prepared.notes))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["the file is empty", "line 4 has no label"])), max_size=30
    ),
    st.lists(st.integers(0, 1), max_size=20),
)
def test_the_notes_count_every_skipped_image_once(skipped: list[tuple[str, str]], used: list[int]) -> None:
    pairs = [(f"{name}/{number}.png", reason) for number, (name, reason) in enumerate(skipped)]
    scan = Scan(("a", "b"), (), lambda items: iter(()), "", "", class_of=lambda path: path[0])
    notes = [for_terminal(note) for note in class_notes(scan, [*pairs, *pairs[:3]], used)]
    assert len(notes) == len({name for name, _ in skipped})
    for note in notes:
        name = note.removeprefix("class ")[0]
        num_skipped, num_used = sum(file == name for file, _ in skipped), used.count("ab".find(name))
        total = num_skipped + num_used
        seen = f"{num_skipped} of {total}" if num_used else f"all {total}"
        assert note.startswith(f"class {name}: {seen} images are skipped: ")
        assert ("none is left" in note) == (num_used == 0)


def test_the_most_frequent_reason_is_that_of_most_files_whatever_names_it_holds() -> None:
    same = [(f"{n}.png", f"line {n} gives it the patients {private(f'p{n}')} and {private('q')}") for n in range(3)]
    text = for_terminal(why_none([("a.png", "the file is empty"), *same, ("b.png", "the file is empty")]))
    assert text == " (5 files are skipped, 3 of them such as 0.png: line 0 gives it the patients p0 and q)"
    assert why_none([]) == ""


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_of_which_nothing_can_be_read_says_why(tmp_path: Path, name: str) -> None:
    kind = SOURCES[name]
    for path in kind.paths:
        sparse(tmp_path / path)
    options = kind.more(tmp_path)
    with pytest.raises(
        DataError, match=r"\(8 files are skipped, (8 of them )?such as .*: the file is larger than 512 MiB"
    ):
        scan_source(PrepareConfig(name, str(tmp_path), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["folder", "zip", "breakhis"])
def test_an_encrypted_archive_says_that_it_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / "secret.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(4):
            archive.writestr(f"class{number % 2}/SOB_B_A-14-1-200-00{number}.png", b"x")
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            struct.pack_into("<H", data, at + offset, 1)
            at = data.find(signature, at + 4)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"4 files are skipped, such as .*: the file is encrypted"):
        scan_source(PrepareConfig(name, str(path)))
