"""The commands as a user types them: what they find, what they print, and how they fail."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ganaug import presets
from ganaug.cli import reference
from ganaug.cli.main import main
from ganaug.config import (
    EXTRACTOR_NAMES,
    FILE_EXTRACTORS,
    NAMED_EXTRACTORS,
    SNAPSHOT_EXTRACTORS,
    FoldsConfig,
    PhantomConfig,
    PrepareConfig,
)
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.evaluate.extractors import trained_classifier
from ganaug.evaluate.extractors.choice import spelling_of
from ganaug.evaluate.extractors.registry import EXTRACTORS
from ganaug.evaluate.table import COLUMNS
from ganaug.study.executors import local
from ganaug.train import cost, loop
from ganaug.weights import WEIGHTS
from ganaug.workspace import Workspace, read_json, write_json

DRAWN = PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=6, um_per_px=8.0)
TINY = PrepareConfig("phantom", resolution_px=16, phantom=DRAWN, folds=FoldsConfig(num_folds=3))
EVERY = ("--workspace", "--preset", "--seed", "--device", "--dry-run")
SHARED_OPTIONS = {  # of each command, in the order of their use; and every command has --json and --debug
    "prepare": ("--workspace", "--preset", "--seed", "--dry-run"),
    "audit": ("--dry-run",),
    "train-gan": EVERY,
    "synthesize": EVERY,
    "strips": ("--workspace", "--seed", "--device", "--dry-run"),
    "evaluate-gan": ("--workspace", "--preset", "--device", "--dry-run"),
    "evaluate-augmentation": EVERY,
    "train-classifier": EVERY,
    "reader-study": ("--workspace", "--seed"),
    "predict": ("--workspace", "--device"),
    "explain": ("--workspace", "--seed", "--device", "--dry-run"),
    "import-gan": ("--dry-run",),
    "export-gan": ("--workspace", "--dry-run"),
    "export": ("--workspace", "--dry-run"),
    "inspect": (),
    "doctor": ("--workspace",),
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def last_line(result: Result) -> str:
    return result.stderr.strip().splitlines()[-1]


@pytest.fixture
def phantom(workspace: Workspace) -> Workspace:
    prepare_dataset(workspace, TINY)
    return workspace


@pytest.mark.parametrize("command", SHARED_OPTIONS)
def test_a_command_explains_itself_and_takes_the_shared_options_that_it_uses(command: str) -> None:
    assert list(SHARED_OPTIONS) == list(main.commands)
    assert run(command, "--help").exit_code == 0
    options = {option for param in main.commands[command].params for option in param.opts}
    assert options & {*EVERY, "--json", "--debug"} == {*SHARED_OPTIONS[command], "--json", "--debug"}


def test_the_help_loads_nothing_heavy() -> None:
    heavy = ("torch", "h5py", "scipy", "numpy")
    code = f"import sys, ganaug.cli.main; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_the_help_of_evaluate_gan_names_every_extractor_and_every_column_of_figures() -> None:
    text = " ".join(reference.EVALUATE_GAN.split())
    wanted = [spelling_of(kind) + "=FILE" * (kind in FILE_EXTRACTORS) for kind in EXTRACTOR_NAMES]
    wanted += [heading for heading, _ in COLUMNS[2:]]  # after the figure's name and its class
    wanted += ["CAS", "class separation", "first one alone", "--against held-out", "evaluations/"]
    assert [word for word in wanted if word not in text] == []


def test_the_way_of_the_data_with_nothing_said_but_a_key_to_sign_with(
    phantom: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ganaug.key").write_bytes(b"0123456789abcdef" * 2)
    monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "ganaug.key"))
    monkeypatch.setattr(trained_classifier, "FIT", replace(trained_classifier.FIT, num_steps=3, batch=8))
    where = ("--workspace", phantom.root, "--device", "cpu")
    unsigned = run("train-gan", *where, "--preset", "quick", "--kimg", "0.032")
    assert (unsigned.exit_code, "not signed" in last_line(unsigned)) == (2, True)
    prepare_dataset(phantom, TINY)
    assert run("train-gan", *where, "--preset", "quick", "--kimg", "0.032").exit_code == 0
    assert run("synthesize", *where, "--per-class", 24).exit_code == 0
    scored = run("evaluate-gan", *where, "--json", "--extractor", "classifier")
    assert scored.exit_code == 0, scored.stderr
    assert {row["fold"] for row in json.loads(scored.stdout)["rows"]} == {0, 1}
    study = run("evaluate-augmentation", *where, "--preset", "quick", "--steps", 2, "--workers", 1, "--json")
    assert study.exit_code == 0, study.stderr
    report = Path(json.loads(study.stdout)["report"])
    assert "<html" in report.read_text()


def test_the_readmes_commands_without_any_option(phantom: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are written there, on one core; the presets alone are made short."""
    gan, synthesis, study = presets.gan, presets.synthesis, presets.study
    brief: dict[str, Any] = {"total_kimg": 0.016, "snapshot_kimg": None, "extractor": "none"}
    small: dict[str, Any] = {
        "classifiers": ("dalaresnet50_small",),
        "seeds": (0,),
        "num_steps": 2,
        "num_resamples": 100,
    }
    monkeypatch.setattr(presets, "gan", lambda *given: replace(gan(*given), **brief))
    monkeypatch.setattr(presets, "synthesis", lambda preset: replace(synthesis(preset), per_class=1))
    monkeypatch.setattr(presets, "study", lambda preset: replace(study(preset), **small))
    monkeypatch.setattr(trained_classifier, "FIT", replace(trained_classifier.FIT, num_steps=3, batch=8))
    monkeypatch.setenv("GANAUG_WORKSPACE", str(phantom.root))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for module in (loop, cost, local):  # the test above works with all cores
        monkeypatch.setattr(module, "num_cores", lambda: 1)
    for command in ("train-gan", "synthesize", "evaluate-gan", "evaluate-augmentation"):
        result = run(command)
        assert result.exit_code == 0, f"{command}: {result.stderr}"
    (report,) = phantom.root.glob("studies/*/report.html")
    assert read_json(report.with_name("design.json"))["folds"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("prepare",), "Missing option '--dataset'"),
        (("prepare", "--dataset", "mars"), "mars"),
        (("prepare", "--dataset", "breakhis"), "--source"),
        (("prepare", "--dataset", "breakhis", "--source", "nowhere"), "nowhere"),
        (("prepare", "--dataset", "phantom", "--name", "../x"), "../x"),
        (("train-gan", "--dataset", "bach"), "ganaug prepare --dataset bach"),
        (("train-gan",), "no data set is prepared"),
        (("synthesize",), "holds no generator"),
        (("evaluate-gan",), "no data set is prepared"),
        (("evaluate-augmentation",), "no data set is prepared"),
        (("inspect", "nothing.h5"), "there is no file nothing.h5"),
        (("train-gan", "--preset", "huge"), "huge"),
        (("fly",), "fly"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    rest = () if arguments[0] in ("fly", "inspect") else ("--workspace", tmp_path)
    result = run(*arguments, *rest)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.startswith("ganaug: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == [], "no workspace is made where a command only failed to find one"


def test_a_fold_that_is_not_there_is_named_with_those_that_are(phantom: Workspace) -> None:
    result = run("train-gan", "--workspace", phantom.root, "--fold", "7")
    assert result.exit_code == 2
    assert "fold 7 of phantom; expected 0 to 2, or all" in result.stderr


def test_a_device_that_is_not_there_is_one_line(phantom: Workspace) -> None:
    result = run("train-gan", "--workspace", phantom.root, "--batch", 8, "--device", "cuda:99")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "cuda:99" in result.stderr


def test_a_workspace_of_another_version_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "workspace.json", {"version": 999})
    result = run("train-gan", "--workspace", tmp_path)
    assert result.exit_code == 2
    assert "version 999" in result.stderr


@pytest.mark.parametrize("command", ["train-gan", "evaluate-augmentation"])
def test_a_dry_run_prints_a_plan_with_its_cost_and_does_nothing(phantom: Workspace, command: str) -> None:
    before = sorted(phantom.root.rglob("*"))
    more = ("--train-missing",) if command == "evaluate-augmentation" else ()
    result = run(command, "--workspace", phantom.root, "--preset", "quick", "--dry-run", "--json", *more)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["seconds"] > 0
    assert sorted(phantom.root.rglob("*")) == before


def test_a_dry_run_of_a_study_that_can_show_nothing_says_what_would(phantom: Workspace) -> None:
    study = ("evaluate-augmentation", "--workspace", phantom.root, "--preset", "quick", "--train-missing", "--dry-run")
    assert (
        "smallest_gain: none, as it could not even show that perfect images help; bring"
        in run(*study, "--seeds", 1).stdout
    )


@pytest.mark.parametrize(
    "command", [name for name, taken in SHARED_OPTIONS.items() if len(taken) > 2 or name == "export-gan"]
)
def test_a_dry_run_makes_no_workspace(tmp_path: Path, command: str) -> None:
    arguments = {"export-gan": ("nobody", "--out", tmp_path / "x"), "prepare": ("--dataset", "phantom")}
    more = arguments.get(command, ("--dataset", "phantom"))
    result = run(command, *more, "--workspace", tmp_path / "workspace", "--dry-run")
    assert result.exit_code == (0 if command == "prepare" else 2), result.stderr
    assert result.stderr.count("\n") == (result.exit_code == 2)
    assert list(tmp_path.iterdir()) == []


def test_doctor_makes_no_workspace(tmp_path: Path) -> None:
    assert run("doctor", "--workspace", tmp_path / "workspace").exit_code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("preset", ["quick", None])
def test_the_phantom_needs_no_preparation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str | None) -> None:
    small = PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=2, um_per_px=8.0)
    drawn = presets.phantom
    monkeypatch.setattr(presets, "phantom", lambda preset: (drawn(preset), (small, FoldsConfig(num_folds=3)))[1])
    where = ("--workspace", tmp_path, *(("--preset", preset) if preset else ("--extractor", "none")))
    result = run("train-gan", "--dataset", "phantom", *where, "--fold", 0, "--batch", 4, "--kimg", 0.008)
    assert result.exit_code == 0, result.stderr
    assert "phantom-fold0-" in result.stdout


def test_inspect_prints_what_a_file_holds(phantom: Workspace, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    result = run("inspect", phantom.dataset("phantom"), "--json", "--sheet", sheet)
    assert result.exit_code == 0, result.stderr
    assert "Benign" in result.stdout
    assert sheet.exists()


def test_doctor_names_what_is_missing(tmp_path: Path) -> None:
    result = run("doctor", "--workspace", tmp_path, "--json")
    found = json.loads(result.stdout)
    assert found["packages"]["torch"]
    assert {row["op"] for row in found["operators"]} >= {"bias_act", "upfirdn2d"}
    assert len(found["weights"]) == len(WEIGHTS)
    assert all(row["use"] for row in found["weights"])


def test_the_extractors_that_an_option_may_name_are_all_there_are() -> None:
    assert tuple(EXTRACTORS) == EXTRACTOR_NAMES
    assert {*NAMED_EXTRACTORS, *FILE_EXTRACTORS} == set(EXTRACTOR_NAMES)
    assert ("auto", "none", *NAMED_EXTRACTORS) == SNAPSHOT_EXTRACTORS


@pytest.mark.parametrize("command", ["train-gan", "evaluate-gan", "evaluate-augmentation"])
def test_an_extractor_that_does_not_exist_is_refused_before_anything_is_trained(
    phantom: Workspace, command: str
) -> None:
    result = run(command, "--workspace", phantom.root, "--preset", "quick", "--extractor", "foo", "--dry-run")
    assert result.exit_code == 2
    assert "foo" in last_line(result)
    assert "efficientnet_lite0" in result.stderr
    assert all(name in last_line(result) for name in NAMED_EXTRACTORS)


@pytest.mark.parametrize("options", [("--ratio", "inf"), ("--ratio", "1e12"), ("--kimg", "0"), ("--kimg", "inf")])
def test_options_of_a_study_that_cannot_be_meant_are_refused(phantom: Workspace, options: tuple[str, str]) -> None:
    result = run("evaluate-augmentation", "--workspace", phantom.root, "--preset", "quick", "--train-missing", *options)
    assert result.exit_code == 2
    assert f"{options[0].strip('-')}" in last_line(result)
    assert "expected a positive number" in last_line(result)
