"""What `ganaug audit` takes for patients and sites, what it says it does not know, and what it refuses."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ganaug.cli.main import main
from ganaug.data.audit import inputs

BREAKHIS = ("SOB_B_F-14-25197-100-001.png", "SOB_B_F-14-9133-40-001.png")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, arguments)])


def draw(path: Path, shade: int = 0) -> None:
    """An image that shows nothing, so that it is a copy of no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (shade, 0, 0)).save(path)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images x0.png to x3.png."""
    monkeypatch.chdir(tmp_path)
    for index in range(4):
        draw(tmp_path / f"x{index}.png", index)
    return tmp_path


def compare(train: str, test: str, *more: object) -> Result:
    """The audit of two tables of this content."""
    Path("a.csv").write_text(train)
    Path("b.csv").write_text(test)
    return run("--train", "a.csv", "--test", "b.csv", *more)


def patients(result: Result) -> int | None:
    number: int | None = json.loads(result.stdout)["findings"]["patient"]
    return number


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_the_group_of_a_table_counts_and_not_the_name_of_the_file() -> None:
    for index, name in enumerate(BREAKHIS):
        draw(Path(name), index)
    rows = [f"path,group\n{name},Ekkehard\n" for name in BREAKHIS]
    assert patients(compare(*rows, "--json")) == 1
    draw(Path("SOB_B_F-14-9133-40-002.png"), 9)
    rows = [f"path,group\n{BREAKHIS[1]},Ekkehard\n", "path,group\nSOB_B_F-14-9133-40-002.png,Hadwig\n"]
    assert patients(compare(*rows, "--json")) == 0
    rows = [row.replace("Ekkehard", "").replace("Hadwig", "unknown") for row in rows]
    assert patients(compare(*rows, "--json")) == 1


def test_patient_is_another_name_of_the_column_group() -> None:
    result = compare("path,group\nx0.png,P1\n", "path,patient\nx1.png,P1\n", "--json")
    assert (result.exit_code, patients(result)) == (1, 1)


def test_a_table_with_both_names_of_the_column_is_refused() -> None:
    result = compare("path,group,patient\nx0.png,P1,P1\n", "path\nx1.png\n")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "group and patient" in result.stderr


def test_a_table_without_patients_has_unknown_ones_and_its_other_columns_are_named() -> None:
    result = compare("path,group\nx0.png,P1\n", "path,label,pateint\nx1.png,b,P1\n")
    assert result.exit_code == 0
    assert "patient unknown" in result.stdout
    assert "no patient is known for 1 of 1 images of b.csv" in result.stderr
    assert "pateint" in result.stderr
    assert "label" not in result.stderr
    again = compare("path,group\nx0.png,P1\n", "path,label,pateint\nx1.png,b,P1\n", "--json")
    assert patients(again) is None


def test_a_row_without_a_file_still_names_its_patient() -> None:
    for other in ("", "x1.png,P2\n"):
        result = compare("path,group\nx0.png,P1\n", f"path,group\nmissing.png,P1\n{other}", "--json")
        assert (result.exit_code, patients(result)) == (1, 1)


def test_a_split_is_not_clean_where_images_could_not_be_read() -> None:
    Path("broken.png").write_bytes(b"no image")
    for name in ("missing.png", "broken.png"):
        result = compare("path,group\nx0.png,P1\n", f"path,group\n{name},P2\nx1.png,P2\n")
        assert result.exit_code == 2
        assert "1 image could not be read; the rest shows no finding" in result.stderr.splitlines()[-1]


def test_names_of_one_spelling_in_unicode_are_one_patient() -> None:
    result = compare("path,group\nx0.png,Andr\u00e9\n", "path,group\nx1.png,Andre\u0301\n", "--json")
    assert patients(result) == 1


def test_names_that_nearly_agree_are_noted_and_not_in_what_is_shared() -> None:
    rows = ("path,group\nx0.png,Hadwig1\nx2.png,Romeias\nx3.png,romeias\n", "path,group\nx1.png,hadwig01\n")
    result = compare(*rows)
    assert result.exit_code == 0
    assert "near-equal patients" in result.stderr
    assert "Hadwig1 = hadwig01" in result.stderr
    assert "omeias" not in result.stderr
    assert not any(name in compare(*rows, "--json").stdout for name in ("adwig", "omeias"))


def test_a_file_under_two_patients_of_one_part_is_noted() -> None:
    train = "path,group\nx0.png,P1\nx0.png,P2\nx2.png,P2\nx2.png,P2\n"
    result = compare(train, "path,group\nx1.png,P3\n")
    assert "files of train that stand under several patients: 1, such as x0.png" in result.stderr


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_the_layout_names_what_folders_are_and_a_note_says_how_they_are_read() -> None:
    for index, part in enumerate(("train", "test")):
        for patient in range(2):
            draw(Path(part, f"P{patient}", f"{part}.png"), 10 + 2 * index + patient)
    result = run("--train", "train", "--test", "test")
    assert result.exit_code == 0
    assert "patient unknown" in result.stdout
    assert "read as class/image" in result.stderr
    result = run("--train", "train", "--test", "test", "--layout", "patient", "--json")
    assert (result.exit_code, patients(result)) == (1, 2)


def test_the_layout_outweighs_the_names_of_files_and_the_inferred_one_does_not() -> None:
    for part, name in zip(("train", "test"), BREAKHIS, strict=True):
        draw(Path(part, "benign", "adenosis", name), len(name))
        draw(Path(part, "benign", "other", name.replace("-00", "-01")), 2 * len(name))
    assert patients(run("--train", "train", "--test", "test", "--json")) == 0
    assert patients(run("--train", "train", "--test", "test", "--layout", "class/patient", "--json")) == 2


def test_a_source_with_one_patient_is_read_as_the_others_are() -> None:
    for index, (part, patient) in enumerate((("train", "P1"), ("train", "P2"), ("test", "P2"))):
        draw(Path(part, "benign", patient, f"{part}.png"), 20 + index)
    assert patients(run("--train", "train", "--test", "test", "--json")) == 1


def test_a_file_name_on_two_lines_makes_no_line_of_its_own() -> None:
    draw(Path("train", "a\nfindings: none.png"), 1)
    draw(Path("test", "b.png"), 1)
    draw(Path("test", "c\nfindings: none.png"), 7)
    Path("test", "c\nfindings: none.png").write_bytes(b"no image")
    result = run("--train", "train", "--test", "test")
    assert result.exit_code == 1
    assert sum(line.startswith("findings") for line in result.output.splitlines()) == 1
    assert "c\\nfindings" in result.stderr


# ---- data sets -------------------------------------------------------------------------------------------------------


def prepare(*more: object, named: tuple[str, ...] = ("",) * 8) -> Result:
    """Prepare eight images of noise, each in the folder that is named for it, as the data set `set`."""
    random = np.random.default_rng(0)
    for index, patient in enumerate(named):
        path = Path("raw", ("benign", "malignant")[index % 2], patient, f"{index}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    given = ("--dataset", "folder", "--source", "raw", "--resolution", 16, "--folds", 3, "--name", "set", *more)
    return CliRunner().invoke(main, ["prepare", "--workspace", "made", *map(str, given)])


PREPARED = Path("made", "datasets", "set.h5")
PATIENTS = tuple(f"P{index}" for index in range(8))


def test_a_data_set_that_joined_patients_says_so_and_its_findings_name_rows() -> None:
    draw(Path("raw", "benign", "P0", "copy.png"), 50)
    draw(Path("raw", "benign", "P2", "0.png"), 50)  # shows nothing, and joins nobody
    assert prepare("--skip-bad", named=PATIENTS).exit_code == 0
    assert "joined" not in run("--train", PREPARED, "--synthetic", PREPARED).stderr
    Path("raw", "benign", "P2", "copy.png").write_bytes(Path("raw", "benign", "P0", "0.png").read_bytes())
    assert "shares an image" in prepare(named=PATIENTS).stderr
    result = run("--train", PREPARED, "--synthetic", PREPARED)
    assert result.exit_code == 1
    assert "joined patients who share a picture; 1 of its patients" in result.stderr
    assert "(train, row 1) and" in result.stdout
    assert "(synthetic, row 1)" in result.stdout


def test_a_data_set_whose_user_joined_patients_says_so() -> None:
    Path("same.csv").write_text("patient,same_as\nP0,P1\n")
    assert prepare("--same-patient", "same.csv", "--near-names", "merge", named=PATIENTS).exit_code == 0
    note = "prepared with --same-patient and --near-names merge"
    assert note in run("--train", PREPARED, "--test", "raw", "--dry-run").stderr


def test_an_image_that_counts_as_its_own_patient_in_a_data_set_is_of_an_unknown_one() -> None:
    assert prepare().exit_code == 0
    result = run("--train", PREPARED, "--test", PREPARED, "--json")
    assert patients(result) is None
    assert json.loads(result.stdout)["findings"]["file"] == 8


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "fact"),
    [
        (("--csv", "nowhere/a.csv"), "no folder nowhere"),
        (("--csv", ""), "--csv names no file"),
        (("--csv", "pipe"), "pipe is a pipe"),
        (("--csv", os.devnull), "a device"),
        (("--train", "x2.png"), "name its folder"),
        (("--layout", "class/patient"), "--layout"),
        (("--layout", "class/nothing"), "class/nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_line(more: tuple[str, ...], fact: str) -> None:
    os.mkfifo("pipe")
    result = compare("path,group\nx0.png,P1\n", "path,group\nx1.png,P2\n", *more)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert fact in result.stderr


def test_a_stopped_audit_does_not_say_that_anything_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inputs, "open_inputs", stop)
    result = compare("path\nx0.png\n", "path\nx1.png\n")
    assert result.exit_code == 130
    assert "nothing is kept" in result.stderr
    assert "finished" not in result.stderr
