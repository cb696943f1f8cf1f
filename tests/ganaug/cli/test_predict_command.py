"""`ganaug predict` as a user types it."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ganaug.classify.stored import find_classifier
from ganaug.cli.main import main
from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.workspace import Workspace, open_workspace

CLASSES = ("Benign", "Malignant")
ENDS = (".csv", "-patients.csv", "-scores.json")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def last_line(result: Result) -> str:
    assert result.exit_code == 2, result.stdout
    return result.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, the data set of it, and a classifier of fold 0."""
    root, rng = tmp_path_factory.mktemp("predict"), np.random.default_rng(3)
    for number in range(12):
        folder = root / "pictures" / CLASSES[number % 2] / f"patient {number:02d}"
        folder.mkdir(parents=True)
        for image in range(2):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            coarse.resize((40, 40), Image.Resampling.BICUBIC).save(folder / f"{image}.png")
    workspace = open_workspace(root / "workspace")
    config = PrepareConfig("folder", str(root / "pictures"), "lab", resolution_px=32, layout="class/patient",
                           folds=FoldsConfig(num_folds=3))  # fmt: skip
    prepare_dataset(workspace, config)
    options = ("--preset", "quick", "--fold", 0, "--steps", 2, "--device", "cpu", "--workspace", workspace.root)
    assert run("train-classifier", *options).exit_code == 0
    return root


@pytest.fixture
def made(_made: Path, tmp_path: Path) -> Path:
    shutil.copytree(_made, tmp_path / "made")
    return tmp_path / "made"


@pytest.fixture
def unseen(made: Path) -> Path:
    """The test images of fold 0 alone."""
    dataset = open_dataset(Workspace(made / "workspace"), "lab")
    for path in dataset.table.path[dataset.test(0)].tolist():
        target = made / "unseen" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made / "pictures" / path, target)
    return made / "unseen"


def test_a_folder_becomes_a_table_with_notes_on_what_was_seen(made: Path) -> None:
    bad = made / "pictures" / CLASSES[0] / "patient 00" / "damaged.png"
    bad.write_bytes(b"no picture")
    out = made / "out.csv"
    options = ("--workspace", made / "workspace", "--device", "cpu", "--json")
    result = run("predict", made / "pictures", "--out", out, *options)
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)
    assert (value["images"], value["seen"], value["scores"]) == (24, 16, None)
    assert "16 of 24 images" in result.stderr
    assert "this is no test" in result.stderr
    assert "damaged.png" in result.stderr
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert sum(row["seen in training"] == "yes" for row in rows) == 16
    assert {path.name for path in made.glob("out*")} == {"out.csv", "out-patients.csv"}


def test_a_test_is_refused_where_anything_was_seen_and_scored_where_not(made: Path, unseen: Path) -> None:
    out, where = made / "out.csv", ("--workspace", made / "workspace", "--device", "cpu")
    line = last_line(run("predict", made / "pictures", "--out", out, "--test", *where))
    assert "16 of 24 images" in line
    assert "leave --test out" in line
    assert not list(made.glob("out*"))
    result = run("predict", unseen, "--out", out, "--test", *where)
    assert result.exit_code == 0, result.stderr
    assert "balanced accuracy" in result.stdout
    assert result.stdout.splitlines()[-3:] == [str(out.with_name(f"out{end}")) for end in ENDS]
    value = json.loads(run("predict", unseen, "--out", out, "--test", "--json", *where).stdout)
    assert value["files"] == [str(out.with_name(f"out{end}")) for end in ENDS]
    assert value["scores"] == json.loads(out.with_name("out-scores.json").read_text())
    assert {path.name for path in made.glob("out*")} == {"out.csv", "out-patients.csv", "out-scores.json"}


def test_a_classifier_is_chosen_by_its_folder_wherever_that_lies(made: Path, tmp_path: Path) -> None:
    run_of = find_classifier(Workspace(made / "workspace"))
    moved = tmp_path / "elsewhere" / "model"
    shutil.copytree(run_of.root, moved)
    result = run("predict", made / "pictures", "--run", moved, "--out", made / "a.csv", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert "16 of 24 images" in result.stderr, "pictures are recognised without the data set"
    assert "is not at hand" in result.stderr
    where = ("--workspace", made / "workspace", "--device", "cpu")
    assert run("predict", made / "pictures", "--out", made / "b.csv", "--fold", 0, *where).exit_code == 0
    first, second = ((made / name).read_text() for name in ("a.csv", "b.csv"))
    assert first == second


def test_a_copied_classifier_is_tested_with_the_workspace_that_holds_its_data_set(
    made: Path, unseen: Path, tmp_path: Path
) -> None:
    run_of = find_classifier(Workspace(made / "workspace"))
    moved = tmp_path / "elsewhere" / "model"
    shutil.copytree(run_of.root, moved)
    renamed = unseen / "Benign" / next(iter(training_patients(made)))
    renamed.mkdir(parents=True)
    other = next(unseen.glob("Malignant/*/0.png"))
    shutil.copy(other, renamed / "new.png")
    options = ("predict", unseen, "--run", moved, "--out", made / "out.csv", "--test", "--device", "cpu")
    assert "give the workspace that holds it with --workspace" in last_line(run(*options, "--workspace", tmp_path))
    assert renamed.name in last_line(run(*options, "--workspace", made / "workspace"))
    shutil.rmtree(renamed)
    assert run(*options, "--workspace", made / "workspace").exit_code == 0
    assert not (tmp_path / "workspace.json").exists(), "a look at a workspace makes none"


def training_patients(made: Path) -> set[str]:
    """The names of the training patients of fold 0."""
    dataset = open_dataset(Workspace(made / "workspace"), "lab")
    return set(dataset.table.group_id[dataset.train(0)].tolist())


def test_a_table_of_the_user_is_refused_before_the_work(made: Path, unseen: Path) -> None:
    mine = made / "mine-patients.csv"
    mine.write_text("patient,age\np,50\n")
    result = run("predict", unseen, "--out", made / "mine.csv", "--workspace", made / "workspace", "--device", "cpu")
    assert "mine-patients.csv is there" in last_line(result)
    assert result.stderr.count("\n") == 1
    assert mine.read_text() == "patient,age\np,50\n"


def test_one_image_without_a_patient_reads_well(made: Path, unseen: Path) -> None:
    image = next(unseen.glob("Benign/*/0.png"))
    alone = made / "alone" / "Benign" / "x.png"
    alone.parent.mkdir(parents=True)
    shutil.copy(image, alone)
    options = ("--workspace", made / "workspace", "--device", "cpu", "--out", made / "out.csv")
    result = run("predict", made / "alone", "--test", *options)
    assert result.exit_code == 0, result.stderr
    assert "1 image predicted" in result.stdout
    assert "by patient undefined" in result.stdout
    assert "no patient of these images is known" in result.stderr


def test_names_that_are_no_text_are_written_out(made: Path, unseen: Path) -> None:
    folder = made / "odd" / "Benign" / os.fsdecode(b"p\xff")
    folder.mkdir(parents=True)
    shutil.copy(next(unseen.glob("Benign/*/0.png")), folder / os.fsdecode(b"\xfe.png"))
    (folder / os.fsdecode(b"bad\xfe.png")).write_bytes(b"no picture")
    options = ("--workspace", made / "workspace", "--device", "cpu", "--out", made / "out.csv")
    value = json.loads(run("predict", made / "odd", "--json", "--layout", "class/patient", *options).stdout)
    assert value["skipped"][0][0] == "Benign/p\\udcff/bad\\udcfe.png"
    with (made / "out.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["image"], row["patient"]) == ("Benign/p\\udcff/\\udcfe.png", "p\\udcff")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--fold", 1), "dalaresnet50_small of fold 0 of lab"),
        (("--dataset", "other"), "no finished classifier"),
        (("--classifier", "nobody"), "nobody"),
        (("--run", ".", "--fold", 0), "one way to choose"),
        (("--run", "."), "no finished classifier"),
        (("--layout", "patients"), "--layout"),
        (("--um-per-px", 0), "--um-per-px"),
        (("--out", "table.png"), ".csv"),
    ],
)
def test_what_cannot_be_meant_is_one_line(made: Path, options: tuple[object, ...], says: str) -> None:
    where = () if "--run" in options else ("--workspace", made / "workspace")
    out = () if "--out" in options else ("--out", made / "out.csv")
    result = run("predict", made / "pictures", *out, *where, *options, "--device", "cpu")
    assert says in last_line(result)
    assert not list(made.glob("out*"))


def test_a_source_that_is_missing_or_empty_is_one_line(made: Path, tmp_path: Path) -> None:
    where = ("--workspace", made / "workspace", "--out", made / "out.csv", "--device", "cpu")
    line = last_line(run("predict", tmp_path / "gone", *where))
    assert "no file or folder" in line
    assert "name an existing one as SOURCE" in line
    (tmp_path / "empty").mkdir()
    assert "no image" in last_line(run("predict", tmp_path / "empty", *where))
    assert "no finished classifier" in last_line(
        run("predict", made / "pictures", "--workspace", tmp_path / "new", "--out", made / "out.csv")
    )
