"""What sources say of skipped files and doubtful names: the terminal shows the names, and what is shared does not."""

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.errors import WITHHELD, DataError, for_sharing, for_terminal, private
from ganaug.workspace import open_workspace

PATIENTS = [f"Fräulein Größl {number}" for number in range(8)]
WORD = "größl"  # in every planted name, however it is spelt


def picture(seed: int, side: int = 20) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def write(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def table(rows: Sequence[Sequence[object]]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode()


def manifest(folder: Path) -> PrepareConfig:
    """Rows twice, in two ways, without a label or a file; paths of another machine; an image of two patients."""
    images = {f"Größl/{number}.png": picture(number // 2 if number < 2 else number) for number in range(16)}
    rows: list[list[object]] = [
        [f"C:\\Größl\\Archiv\\{name}", "ab"[number // 2 % 2], PATIENTS[number // 2], f"Größl-Labor {number % 2}"]
        for number, name in enumerate(images)
    ]
    rows += [rows[2], [*rows[3][:2], "Größl X", ""], ["Größl/none.png", "a", "", ""], [rows[5][0], "", "", ""]]
    rows += [["Größl/alone.png", "a", "", ""], ["Größl/bad.png", "b", "GRÖSSL", ""]]
    rows += [["Größl/twin.png", "a", PATIENTS[2].upper(), ""]]
    images |= {"Größl/alone.png": picture(90), "Größl/bad.png": b"\x89PNG\r\n\x1a\nx"}
    images["Größl/twin.png"] = images["Größl/9.png"]
    write(folder, {**images, "Größl.csv": table([["path", "label", "group", "site"], *rows])})
    return PrepareConfig("folder", str(folder / "Größl.csv"))


def dataset_zip(folder: Path) -> PrepareConfig:
    """A damaged member, an image that is not listed, one that is listed twice, and one that is not there."""
    names = [f"Größl {number}.png" for number in range(12)]
    labels: list[list[object]] = [[name, number % 2] for number, name in enumerate(names)]
    labels += [[names[1], 1], [names[2], 1], ["Größl none.png", 0]]
    groups = {name: PATIENTS[number % 8] for number, name in enumerate(names)}
    path = folder / "Größl.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate([*names, "Größl unlisted.png"]):
            archive.writestr(name, picture(number))
        archive.writestr("dataset.json", json.dumps({"labels": labels, "groups": groups}))
        place = archive.getinfo(names[3]).header_offset + 200
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    return PrepareConfig("zip", str(path))


def bach(folder: Path) -> PrepareConfig:
    """An image under two patients, patients of images that are not there, other images, and a table of labels."""
    prefixes = {"Benign": "b", "InSitu": "is", "Invasive": "iv", "Normal": "n"}
    names = [(label, f"{prefix}{number:03d}.png") for label, prefix in prefixes.items() for number in range(1, 7)]
    content = {f"Photos/{label}/{name}": picture(seed) for seed, (label, name) in enumerate(names)}
    content |= {"Photos/Größl.png": picture(99), "Photos/microscopy_ground_truth.csv": table([["b004.png", "Größl"]])}
    rows = [["file", "patient"], *([name, f"Größl {name}"] for _, name in names)]
    rows += [["b001.png", "Größl B"], ["größl.png", "Größl"]]
    patients = write(folder, content) / "Größl.csv"
    patients.write_bytes(table(rows))
    return PrepareConfig("bach", str(folder), patients_csv=str(patients))


def mini_ddsm(folder: Path) -> PrepareConfig:
    """A mammogram in the folder of another case."""
    statuses = ("Normal", "Benign", "Cancer")
    content = {
        f"{status}/{case:04d}/{letter}_{case:04d}_1.LEFT_CC.png": picture(100 * case + ord(letter))
        for status, letter in zip(statuses, "ABC", strict=True)
        for case in range(1, 5)
    }
    content["Benign/Größl/B_0009_1.LEFT_CC.png"] = picture(99)
    return PrepareConfig("mini-ddsm", str(write(folder, content)))


def archive_of_folders(folder: Path) -> PrepareConfig:
    """Folders that look like patients of every class, near-equal names, masks of another size, files of other kinds."""
    content: dict[str, Any] = {}
    for number, patient in enumerate([*PATIENTS, "größl 07", "Größl 7"]):
        for label in "ab" if number == 0 else "ab"[number % 2]:
            content |= {f"{label}/{patient}/{each}.png": picture(10 * number + each + ord(label)) for each in range(2)}
    content |= {f"a/{PATIENTS[2]}/Größl.svs": b"", f"a/{PATIENTS[2]}/0_mask.png": picture(1, 7)}
    content["Größl.png"] = picture(2)
    content |= {f"a/{PATIENTS[4]}/Größl_mask.png": picture(3), f"b/{PATIENTS[1]}/Größl.tif": picture(4)[:60]}
    path = folder / "Größl.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return PrepareConfig("folder", str(path), layout="class/patient", near_names="merge")


@pytest.mark.parametrize("source_of", [manifest, dataset_zip, bach, mini_ddsm, archive_of_folders])
def test_no_note_and_no_reason_of_a_source_shares_a_name(
    source_of: Callable[[Path], PrepareConfig], tmp_path: Path
) -> None:
    folder = tmp_path / "Größl"
    folder.mkdir()
    folds = FoldsConfig(num_folds=3, scheme="hold-out")
    config = replace(source_of(folder), resolution_px=16, name="lab", folds=folds)
    prepared = prepare_dataset(open_workspace(tmp_path / "w"), config)
    lines = [*prepared.notes, *(reason for _, reason in prepared.skipped)]
    shared = [for_sharing(line) for line in lines]
    assert len(lines) >= 2
    assert [line for line in lines if WORD in for_terminal(line).lower()] != []
    assert [line for line in shared if WORD in line.lower() or str(tmp_path) in line] == []
    assert [line for line in shared if WITHHELD in line] != []


@given(st.text(), st.text("ab \u2068\u2069\n"))
def test_a_name_that_is_marked_is_withheld_whatever_it_holds(name: str, neighbour: str) -> None:
    assert for_sharing(private(name)) == WITHHELD
    assert for_sharing(f"patient {private(name)} shares") == f"patient {WITHHELD} shares"
    assert "Größl" not in for_sharing(f"{neighbour}{private(f'{name}Größl{name}')}{neighbour}")


@given(st.integers(0, 12))
def test_a_name_is_withheld_where_the_text_was_cut_within_it(cut: int) -> None:
    text = f"patient {private('Größl Größl')} shares an image"
    assert for_sharing(text[: len("patient ") + 1 + cut]) == f"patient {WITHHELD}"


def test_an_error_keeps_its_line_for_files_without_what_is_marked() -> None:
    error = DataError(f"{private('/home/größl')}/a.pth is damaged", expected="weights", todo=f"ask {private('Größl')}")
    assert str(error) == "/home/größl/a.pth is damaged; expected weights; ask Größl"
    assert error.shared == f"{WITHHELD}/a.pth is damaged; expected weights; ask {WITHHELD}"
