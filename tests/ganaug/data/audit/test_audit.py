"""`ganaug audit` on planted leaks: what it finds, what it writes, and how it ends."""

import csv
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from ganaug.cli.main import main
from ganaug.config import PhantomConfig
from ganaug.data.sources.phantom.draw import draw_one


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, arguments)])


@cache
def tissue(patient: int, index: int = 0) -> NDArray[np.uint8]:
    config = PhantomConfig(resolution_px=128, num_patients=12, images_per_patient=3)
    return draw_one(config, 0, patient, index).image


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Folders train and test of two classes with two patients each, who have nothing in common."""
    for part, patients in (("train", (0, 1, 2, 3)), ("test", (4, 5, 6, 7))):
        for patient in patients:
            folder = tmp_path / part / ("benign", "malignant")[patient % 2] / f"Hadwig{patient}"
            folder.mkdir(parents=True)
            Image.fromarray(tissue(patient)).save(folder / f"slide{patient}.png")
    return tmp_path


def audit(split: Path, *more: object) -> Result:
    return run("--train", split / "train", "--test", split / "test", *more)


def plant(split: Path, image: Image.Image, patient: str = "Ekkehard", name: str = "planted.png") -> None:
    folder = split / "test" / "benign" / patient
    folder.mkdir(exist_ok=True)
    image.save(folder / name)


def findings(split: Path) -> dict[str, int]:
    result = audit(split, "--json")
    assert result.exit_code == 1
    return {kind: number for kind, number in json.loads(result.stdout)["findings"].items() if number}


def original(split: Path) -> Image.Image:
    return Image.open(split / "train" / "benign" / "Hadwig0" / "slide0.png")


def test_a_clean_split_ends_with_status_0(split: Path) -> None:
    result = audit(split, "--json")
    assert result.exit_code == 0
    value = json.loads(result.stdout)
    assert value["images"] == {"train": 4, "validation": 0, "test": 4, "synthetic": 0}
    assert value["pairs"] == []
    assert value["skipped"] == []


def test_a_patient_in_two_parts_is_found(split: Path) -> None:
    plant(split, Image.fromarray(tissue(0, 1)), patient="Hadwig0")
    assert findings(split) == {"patient": 1}
    assert audit(split, "--ignore", "patient").exit_code == 0


def test_the_same_file_is_found_as_a_file_and_not_as_a_copy_again(split: Path) -> None:
    plant(split, original(split))
    assert findings(split) == {"file": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.rotate(7, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255)),
        lambda image: image.crop((10, 10, 110, 110)),
        lambda image: image.transpose(Image.Transpose.TRANSPOSE).resize((90, 90)),
        lambda image: Image.eval(image, lambda value: 255 - value),
    ],
    ids=["rotated", "cropped", "flipped", "inverted"],
)
def test_a_disguised_copy_is_found(split: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    plant(split, change(original(split)))
    assert findings(split) == {"copy": 1}


def test_fields_that_overlap_by_half_are_found_and_are_no_copies(split: Path) -> None:
    whole = original(split)
    path = split / "train" / "benign" / "Hadwig0" / "slide0.png"
    plant(split, whole.crop((43, 0, 128, 128)))
    whole.crop((0, 0, 85, 128)).save(path)
    assert findings(split) == {"overlap": 1}


def test_a_copy_among_synthetic_images_is_found(split: Path) -> None:
    folder = split / "made"
    folder.mkdir()
    original(split).rotate(90).save(folder / "0.png")
    result = run("--train", split / "train", "--synthetic", folder, "--json")
    assert result.exit_code == 1
    assert [pair["finding"] for pair in json.loads(result.stdout)["pairs"]] == ["copy"]


def test_manifests_give_patients_and_sites_and_their_lines_stand_in_the_table(split: Path) -> None:
    (split / "a.csv").write_text(
        "path,label,group,site\n"
        "train/benign/Hadwig0/slide0.png,b,Praxedis,Ulm\n"
        "train/benign/Hadwig2/slide2.png,b,Burkhard,Ulm\n"
    )
    (split / "b.csv").write_text(
        "path,group,site\nmissing.png,Moengal,\ntest/benign/Hadwig4/slide4.png,Praxedis,\n"
        "test/benign/Hadwig6/slide6.png,Romeias,Ulm\n"
    )
    table = split / "found.csv"
    result = run("--train", split / "a.csv", "--validation", split / "b.csv", "--csv", table)
    assert result.exit_code == 1
    assert "no such file" in result.stderr
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["finding"], row["part_a"], row["row_a"], row["part_b"], row["row_b"]) for row in rows] == [
        ("patient", "train", "2", "validation", "3"),
        ("site", "train", "2", "validation", "4"),
    ]
    assert rows[1]["how"] == "2 images in train, 1 in validation"
    assert not any(name in table.read_text() for name in ("Praxedis", "Ulm", "Burkhard"))
    assert run("--train", split / "a.csv", "--validation", split / "b.csv", "--csv", table).exit_code == 1


def test_names_of_breakhis_and_tcga_say_patients_and_sites(tmp_path: Path) -> None:
    names = {
        "train": ("SOB_B_A-14-29960CD-200-001.png", "TCGA-A7-A13E-01Z.png"),
        "test": ("SOB_B_A-14-29960AB-200-007.png", "TCGA-A7-A0CD-01Z.png"),
    }
    for part, files in names.items():
        (tmp_path / part).mkdir()
        for index, name in enumerate(files):
            Image.fromarray(tissue(index + 2 * (part == "test"))).save(tmp_path / part / name)
    assert findings(tmp_path) == {"patient": 1, "site": 1}


def test_a_file_that_cannot_be_read_is_skipped_and_the_others_are_compared(split: Path) -> None:
    plant(split, original(split))
    (split / "test" / "benign" / "broken.png").write_bytes(b"no image")
    result = audit(split)
    assert result.exit_code == 1
    assert "broken.png" in result.stderr
    assert "file 1" in result.stdout


def test_a_dry_run_reads_no_pixel(split: Path) -> None:
    for path in split.rglob("*.png"):
        path.write_bytes(b"")
    result = audit(split, "--dry-run", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "train": {"images": 4, "patients": 4},
        "test": {"images": 4, "patients": 4},
    }


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("--train", "train"), "two or more"),
        (("--train", "train", "--test", "nowhere"), "nowhere"),
        (("--train", "train", "--test", "empty"), "no image"),
        (("--train", "train", "--test", "bad.csv"), "path"),
        (("--train", "train", "--test", "bad.h5"), "bad.h5"),
        (("--train", "train", "--test", "test", "--ignore", "nothing"), "--ignore nothing"),
        (("--train", "train", "--test", "test", "--csv", "bad.csv"), "bad.csv"),
    ],
)
def test_bad_input_ends_with_status_2_and_a_line(
    split: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], fact: str
) -> None:
    monkeypatch.chdir(split)
    (split / "empty").mkdir()
    (split / "bad.csv").write_text("file,label\nx.png,b\n")
    (split / "bad.h5").write_bytes(b"no data set")
    result = run(*arguments)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert fact in result.stderr
