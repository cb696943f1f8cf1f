"""`ganaug synthesize` and `ganaug strips` as a user types them."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganaug.cli.main import main
from ganaug.config import SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.data.schema import content_digest, read_table
from ganaug.workspace import GanRun


@pytest.fixture
def run(trained: GanRun) -> GanRun:
    return trained


def ganaug(run: GanRun, *arguments: object, env: dict[str, str] | None = None) -> Result:
    where = ("--workspace", run.root.parents[1], "--device", "cpu")
    return CliRunner().invoke(main, [str(argument) for argument in (*arguments, *where)], env=env)


def files(result: Result) -> list[Path]:
    assert result.exit_code == 0, result.stderr
    return [Path(path) for path in json.loads(result.stdout)["files"]]


def test_counts_and_truncation_of_single_classes(run: GanRun) -> None:
    options = ("--per-class", 2, "--count", "Benign=5", "--count", "Normal=0", "--psi", 0.7, "--psi-of", "Invasive=0.5")
    (path,) = files(ganaug(run, "synthesize", "--json", *options, "--truncation", "class"))
    table = read_table(path)
    assert table.class_counts().tolist() == [5, 2, 2, 0]
    assert table.attrs["synthesis"]["psi_of"] == [["Invasive", 0.5]]


@pytest.mark.parametrize(("at_least", "made"), [(1, 9), (10, 10)])
def test_by_default_there_is_an_image_for_every_real_one(
    run: GanRun, monkeypatch: pytest.MonkeyPatch, at_least: int, made: int
) -> None:
    """However large a class: the study draws as many synthetic images as there are real ones."""
    monkeypatch.setattr("ganaug.presets.synthesis", lambda preset: SynthesisConfig(per_class=at_least))
    monkeypatch.setattr(DataSet, "largest_class", lambda self, fold: 9 if fold == run.fold else 99)
    (path,) = files(ganaug(run, "synthesize", "--json"))
    assert read_table(path).class_counts().tolist() == [made] * 4


def test_a_generator_without_its_data_set_makes_what_the_preset_says(
    run: GanRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganaug.presets.synthesis", lambda preset: SynthesisConfig(per_class=2))
    shutil.rmtree(run.root.parents[1] / "datasets")
    (path,) = files(ganaug(run, "synthesize", "--json"))
    assert read_table(path).class_counts().tolist() == [2] * 4


def test_the_plan_gives_counts_time_and_size_and_makes_nothing(run: GanRun) -> None:
    options = ("synthesize", "--per-class", 20, "--count", "Benign=5", "--dry-run")
    plan = json.loads(ganaug(run, *options, "--json").stdout)
    assert plan["plans"][0]["counts"] == {"Benign": 5, "InSitu": 20, "Invasive": 20, "Normal": 20}
    assert plan["seconds"] > 0
    assert plan["bytes"] > 65 * 16 * 16 * 3
    assert not (run.root.parents[1] / "synthetic").exists()
    assert "5 Benign (psi 1), 20 InSitu" in ganaug(run, *options).stdout


def test_two_tasks_of_a_slurm_array_make_what_one_process_makes(run: GanRun) -> None:
    (whole,) = files(ganaug(run, "synthesize", "--per-class", 20, "--json"))
    digest = content_digest(whole)
    whole.unlink()
    array = {"SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "2"}
    options = ("synthesize", "--per-class", 20, "--json", "--shard", "auto")
    first = ganaug(run, *options, env={**array, "SLURM_ARRAY_TASK_ID": "1"})
    assert files(first) != [whole]
    assert "the other shards" in first.stderr
    assert files(ganaug(run, *options, env={**array, "SLURM_ARRAY_TASK_ID": "2"})) == [whole]
    assert content_digest(whole) == digest


@pytest.mark.parametrize("kind", ["png", "zip"])
def test_another_format_goes_next_to_the_file_or_into_the_folder_named(run: GanRun, tmp_path: Path, kind: str) -> None:
    path, other = files(ganaug(run, "synthesize", "--per-class", 2, "--format", kind, "--json"))
    assert other.parent == path.parent
    assert other.exists()
    _, elsewhere = files(ganaug(run, "synthesize", "--per-class", 2, "--format", kind, "--json", "--out", tmp_path))
    assert elsewhere.parent == tmp_path
    assert elsewhere.exists()


def test_a_folder_that_cannot_be_made_is_refused_before_an_image_is_drawn(run: GanRun, tmp_path: Path) -> None:
    stands = tmp_path / "file"
    stands.write_text("no folder")
    result = ganaug(run, "synthesize", "--per-class", 2, "--format", "png", "--out", stands / "images")
    assert result.exit_code == 2
    assert str(stands) in result.stderr
    assert not (run.root.parents[1] / "synthetic").exists()


def test_what_filters_dropped_is_reported(run: GanRun) -> None:
    options = ("synthesize", "--per-class", 3, "--reject-copies")
    result = ganaug(run, *options)
    assert result.exit_code == 0, result.stderr
    assert "Benign: accepted 3 of" in result.stdout
    result_of_json = json.loads(ganaug(run, *options, "--json").stdout)
    assert [counts["Benign"]["accepted"] for counts in result_of_json["acceptance"].values()] == [3]


def test_strips_are_written_into_the_samples_of_the_run(run: GanRun) -> None:
    planned = files(ganaug(run, "strips", "--steps", 2, "--json", "--dry-run"))
    assert [path.exists() for path in planned] == [False, False]
    assert files(ganaug(run, "strips", "--steps", 2, "--json")) == planned
    assert len(planned) == 2
    assert all(path.exists() and path.parent == run.root / "samples" for path in planned)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("synthesize", "--count", "Mars=3"), "Benign, InSitu, Invasive, Normal"),
        (("synthesize", "--count", "Benign=many"), "expected NAME=VALUE with a whole number"),
        (("synthesize", "--count", "Benign=-1"), "-1 images of Benign"),
        (("synthesize", "--count", "Benign=1", "--count", "Benign=2"), "each name once"),
        (("synthesize", "--per-class", "0"), "0 images"),
        (("synthesize", "--per-class", "99999999999999"), "99999999999999 images"),
        (("synthesize", "--psi", "1.5"), "psi 1.5"),
        (("synthesize", "--psi", "nan"), "psi nan"),
        (("synthesize", "--psi-of", "Benign=2"), "psi 2.0 of Benign"),
        (("synthesize", "--psi-of", "0.5"), "expected NAME=VALUE"),
        (("synthesize", "--truncation", "local"), "'local' is not one of"),
        (("synthesize", "--reject", "luck=0.5"), "confidence, copies"),
        (("synthesize", "--reject", "luck=1"), "confidence, copies"),
        (("synthesize", "--reject", "copies=1"), "a number between 0 and 1"),
        (("synthesize", "--reject-copies", "--reject", "copies=0.1"), "--reject-copies and --reject copies=0.1 both"),
        (("synthesize", "--reject", "copies=0.5", "--shard", "0/2"), "shard 0/2 of filtered images"),
        (("synthesize", "--format", "gif"), "'gif' is not one of"),
        (("synthesize", "--batch", "0"), "0 is not in the range"),
        (("synthesize", "--shard", "2/2"), "expected I/N"),
        (("synthesize", "--shard", "auto"), "torchrun"),
        (("synthesize", "--shard", "0/2", "--workers", "2"), "--workers"),
        (("synthesize", "--merge"), "there are no parts"),
        (("strips", "--steps", "0"), "0 steps"),
        (("strips", "--psi", "-1"), "psi -1.0"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(run: GanRun, arguments: tuple[str, ...], says: str) -> None:
    result = ganaug(run, *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.startswith("ganaug: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_truncated_snapshot_is_one_line(run: GanRun) -> None:
    (snapshot,) = (run.root / "ema").iterdir()
    snapshot.write_bytes(snapshot.read_bytes()[:-50])
    for command in ("synthesize", "strips"):
        result = ganaug(run, command)
        assert result.exit_code == 2
        assert "truncated" in result.stderr
        assert result.stderr.count("\n") == 1
