"""What would be lost, ignored or mistaken is refused in one line, and what is there stays as it was."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from classifiers.registry import build_seeded
from ganaug.checkpoint.snapshot import best_ema
from ganaug.cli.main import main
from ganaug.config import Compute
from ganaug.errors import ConfigError
from ganaug.study.request import StudyRequest
from ganaug.workspace import WORKSPACE_VERSION, GanRun, Workspace


def run(workspace: Workspace, *arguments: object) -> Result:
    environment = {"GANAUG_WORKSPACE": str(workspace.root), "CUDA_VISIBLE_DEVICES": ""}
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment)


def refusal(result: Result) -> str:
    assert result.exit_code == 2, result.stdout
    lines = [line for line in result.stderr.strip().splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def home(trained: GanRun) -> Workspace:
    return Workspace(trained.root.parents[1])


def test_no_output_replaces_a_file_of_another_kind(home: Workspace, trained: GanRun, tmp_path: Path) -> None:
    data, snapshot = home.dataset("phantom"), best_ema(trained)
    assert snapshot is not None
    before = data.read_bytes(), snapshot.read_bytes()
    for arguments in (
        ("inspect", data, "--sheet", data),
        ("inspect", snapshot, "--sheet", snapshot),
        ("inspect", data, "--sheet", tmp_path / "sheet.jpg"),
        ("export-gan", trained.root.name, "--out", data),
        ("export-gan", trained.root.name, "--out", tmp_path / "gan.txt"),
    ):
        assert str(arguments[-1]) in refusal(run(home, *arguments))
    (tmp_path / "other.png").write_bytes(b"no picture")
    refusal(run(home, "inspect", data, "--sheet", tmp_path / "other.png"))
    assert (tmp_path / "other.png").read_bytes() == b"no picture"
    assert (data.read_bytes(), snapshot.read_bytes()) == before
    for _ in range(2):  # an earlier picture, and earlier weights, may be replaced
        assert run(home, "inspect", data, "--sheet", tmp_path / "sheet.png").exit_code == 0
        assert run(home, "export-gan", trained.root.name, "--out", tmp_path / "g.safetensors").exit_code == 0


def test_fewer_images_do_not_replace_more(home: Workspace, trained: GanRun) -> None:
    assert run(home, "synthesize", "--per-class", 6).exit_code == 0
    (path,) = home.synthetics()
    before = path.read_bytes()
    assert "6 images per class" in refusal(run(home, "synthesize", "--per-class", 4))
    assert path.read_bytes() == before
    assert run(home, "synthesize", "--per-class", 7).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("synthesize", "--per-class", 4, "--out", "here"), "--out without --format"),
        (("synthesize", "--fold", "x"), "fold x"),
        (("strips", "--fold", "x"), "fold x"),
        (("synthesize", "--gan", "nobody"), "nobody"),
        (("evaluate-augmentation", "--kimg", 0.1), "--kimg without --train-missing"),
        (("evaluate-augmentation", "--learning-rate", "nan"), "learning rate nan"),
        (("evaluate-augmentation", "--body-learning-rate", 1e-3), "--body-learning-rate without pretrained layers"),
        (("export-gan", "GENERATOR", "--out", "g.safetensors", "--kimg", "nan"), "--kimg nan"),
    ],
)
def test_what_would_be_ignored_or_cannot_be_meant_is_named(
    home: Workspace, trained: GanRun, arguments: tuple[object, ...], says: str
) -> None:
    given = [trained.root.name if argument == "GENERATOR" else argument for argument in arguments]
    assert says in refusal(run(home, *given))


def test_the_rates_of_a_study_are_those_that_were_chosen(
    home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, name = tmp_path / "weights.safetensors", "dalaresnet50_small"
    save_file({key: value.contiguous() for key, value in build_seeded(name, 4, 9).state_dict().items()}, path)
    configs = []

    def keep(workspace: Workspace, request: StudyRequest, compute: Compute) -> None:
        configs.append(request.config)
        raise ConfigError("enough is known")

    monkeypatch.setattr("ganaug.study.plan.cost.plan_study", keep)
    study = ("evaluate-augmentation", "--preset", "quick", "--pretrained", f"{name}={path}", "--dry-run")
    for given in ((), ("--learning-rate", 1e-3, "--body-learning-rate", 1e-4)):
        assert "enough is known" in refusal(run(home, *study, *given))
    assert [(config.learning_rate, config.body_learning_rate) for config in configs] == [(3e-3, 3e-3), (1e-3, 1e-4)]


def test_a_training_state_is_no_generator_and_not_called_edited(
    home: Workspace, trained: GanRun, tmp_path: Path
) -> None:
    line = refusal(run(home, "export-gan", trained.states()[-1], "--out", tmp_path / "g.safetensors"))
    assert "is a training state" in line


def test_a_damaged_configuration_is_named_where_it_keeps_a_generator_from_its_fold(
    home: Workspace, trained: GanRun
) -> None:
    trained.config.write_text('{"a":')
    result = run(home, "synthesize", "--per-class", 4)
    assert result.exit_code == 2
    assert str(trained.config) in result.stderr


def test_every_fold_that_was_asked_for_must_have_images(home: Workspace) -> None:
    assert run(home, "synthesize", "--per-class", 60).exit_code == 0
    line = refusal(run(home, "evaluate-augmentation", "--fold", "all", "--preset", "quick", "--steps", 1))
    assert "fold 0, 1" in line
    assert "--train-missing" in line


def test_the_program_alone_prints_its_help() -> None:
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 0
    assert "evaluate-augmentation" in result.stdout


def test_doctor_says_that_a_workspace_is_of_another_version(home: Workspace) -> None:
    (home.root / "workspace.json").write_text('{"version": 2}')
    found = json.loads(run(home, "doctor", "--json").stdout)
    assert f"version 2 (other commands need {WORKSPACE_VERSION})" in found["workspace"]["state"]
