"""`ganaug prepare` says how it read a user's folders, and takes the user's word where that is not clear."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ganaug.cli.main import main
from ganaug.data.hdf5.attributes import NOTES
from ganaug.workspace import GanRun


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Patients p1 to p3 of each of two classes under two magnifications; one of them bears two names."""
    for label in ("benign", "Malignant"):
        for scale in ("40X", "100X"):
            for patient in (*"123", "3_slide2", " 3 "):
                path = tmp_path / "images" / label / scale / f"{label[0]}{patient}" / "0.png"
                path.parent.mkdir(parents=True)
                seed = [ord(label[0]), int(scale[:-1]), *map(ord, patient)]
                pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)
    return tmp_path / "images"


def prepare(root: Path, *options: str, as_json: bool = True) -> Result:
    shared = ("--dataset", "folder", "--source", str(root), "--folds", "3", "--resolution", "16")
    arguments = ["prepare", *shared, "--workspace", str(root.parent / "workspace"), *options, *["--json"] * as_json]
    return CliRunner().invoke(main, arguments)


def test_the_reading_is_said_and_near_equal_patients_are_joined_as_asked(root: Path) -> None:
    kept = json.loads(prepare(root, "--dry-run").stdout)
    assert (kept["images"], kept["patients"]) == (20, 10)
    assert any("class/magnification/patient/image: 2 classes, 10 patients" in note for note in kept[NOTES])
    assert any("b 3  = b3 = b3_slide2" in note for note in kept[NOTES])
    lines = prepare(root, "--dry-run", as_json=False).stdout.splitlines()
    assert [line for line in lines if line.startswith("note: ")] == [f"note: {note}" for note in kept[NOTES]]
    merged = json.loads(prepare(root, "--dry-run", "--near-names", "merge").stdout)
    assert (merged["images"], merged["patients"]) == (20, 6)
    table = root.parent / "same.csv"
    table.write_text("patient,same_as\nb3_slide2,b3\n")
    joined = json.loads(prepare(root, "--dry-run", "--same-patient", str(table)).stdout)
    assert joined["patients"] == 9


def test_the_layout_that_the_user_names_is_obeyed_to_the_file(root: Path) -> None:
    result = prepare(root, "--layout", "class/other/patient", "--near-names", "merge")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["classes"] == {"Malignant": 10, "benign": 10}
    assert "\u2068" not in result.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--layout", "patient"), "layout 'patient'; expected"),
        (("--near-names", "perhaps"), "near_names perhaps; expected merge or keep"),
        (("--same-patient", "~nobody-of-this-name/x.csv"), "cannot be read"),
        (("--same-patient", "nowhere.csv"), "nowhere.csv; name an existing one with --same-patient"),
        (("--split", "parts"), "the list parts cannot be read"),
        (("--folds-csv", "nowhere.csv"), "--folds with --folds-csv; expected the list alone"),
        (("--um-per-px", "0"), "um_per_px 0.0; expected a positive number"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(root: Path, options: tuple[str, ...], says: str) -> None:
    result = prepare(root, *options)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--resolution", "0"), ("--resolution", "15"), ("--resolution", "1025"),
        ("--folds", "0"), ("--folds", "2"), ("--folds", "1000000"),
        ("--scheme", "repeated", "--repeats", "0"), ("--scheme", "repeated", "--repeats", "1000000000"),
        ("--scheme", "repeated", "--folds", "400", "--repeats", "400"), ("--repeats", "3"),
        ("--patients", "0"), ("--patients", "40"), ("--images-per-patient", "0"), ("--images-per-patient", "4"),
        ("--um-per-px", "1e308"), ("--field-px", "0"), ("--field-um", "nan"),
    ],
)  # fmt: skip
def test_a_number_that_cannot_be_meant_is_named_with_its_option(root: Path, options: tuple[str, ...]) -> None:
    result = prepare(root, *options)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "not foreseen" not in line
    assert options[-2].strip("-").split("-")[0] in line
    assert "expected" in line or "range" in line
    assert not list(root.parent.glob("workspace/datasets/*.h5"))


def test_what_a_generator_cannot_do_with_the_data_set_is_noted_at_once(trained: GanRun, tmp_path: Path) -> None:
    shared = ["prepare", "--dataset", "phantom", "--workspace", str(tmp_path / "trained"), "--images-per-patient", "2"]
    same = CliRunner().invoke(main, [*shared, "--patients", "12", "--folds", "3", "--resolution", "16"])
    assert same.exit_code == 0, same.output
    assert "note: generators of phantom that were trained before (1)" in same.stderr
    assert "needs a power of two" not in same.stderr
    odd = CliRunner().invoke(main, [*shared, "--patients", "12", "--folds", "3", "--resolution", "17"])
    assert "needs a power of two, and 17 px is none; prepare with --resolution 16" in odd.stderr
    new = CliRunner().invoke(main, [*shared, "--patients", "12", "--folds", "3", "--name", "other"])
    assert "were trained before" not in new.stderr
