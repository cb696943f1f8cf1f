"""`ganaug train-gan` as a user types it: options it refuses, weights it begins with, and how it is stopped."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganaug.checkpoint.builtin import phantom_weights
from ganaug.cli.main import main
from ganaug.config import FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.evaluate.extractors import trained_classifier
from ganaug.model.projected.frozen_maps import frozen_digest
from ganaug.provenance import digest_of_file
from ganaug.workspace import Workspace, open_workspace

DRAWN = PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=6, um_per_px=8.0)
TINY = PrepareConfig("phantom", resolution_px=16, phantom=DRAWN, folds=FoldsConfig(num_folds=3))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def last_line(result: Result) -> str:
    return result.stderr.strip().splitlines()[-1]


@pytest.fixture
def phantom(workspace: Workspace) -> Workspace:
    prepare_dataset(workspace, TINY)
    return workspace


@pytest.mark.parametrize(
    "options",
    [("--kimg", "inf"), ("--kimg", "1e300"), ("--gamma", "inf"), ("--learning-rate", "inf")],
)
def test_options_of_a_training_that_cannot_be_meant_are_refused_before_it(
    phantom: Workspace, options: tuple[str, str]
) -> None:
    result = run("train-gan", "--workspace", phantom.root, "--preset", "quick", *options)
    assert result.exit_code == 2
    assert options[1].split("e3")[0] in last_line(result)
    assert "expected" in last_line(result)
    assert not list(phantom.root.glob("gans/*"))


def test_a_dry_run_prints_what_is_known_beforehand(phantom: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganaug.train.cost.NUM_TIMED", 1)
    common = ("train-gan", "--workspace", phantom.root, "--fold", 0, "--batch", 4, "--dry-run", "--device", "cpu")
    text = run(*common)
    assert text.exit_code == 0, text.stderr
    for start in (
        "images: the rarest class",
        "measured: ",
        "length: 40 kimg show each",
        "when to stop: a snapshot every",
    ):
        assert [line for line in text.stdout.splitlines() if line.startswith(start)], start
    advice = json.loads(run(*common, "--json").stdout)["advice"]
    assert advice["scored_snapshots"] == 4
    assert len(advice["classes"]) == 4
    assert advice["lines"][0] in text.stdout
    assert not list(phantom.root.glob("gans/*"))


def test_a_training_ends_with_what_its_curve_says(phantom: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained_classifier, "FIT", replace(trained_classifier.FIT, num_steps=2))
    short = ("--kimg", 0.032, "--batch", 4, "--snapshot-kimg", 0.004, "--extractor", "classifier", "--fold", 0)
    result = run("train-gan", "--workspace", phantom.root, *short, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    (finding,) = json.loads(result.stdout)["advice"]
    assert finding["question"] == "overall"
    assert last_line(result) == f"note: fold 0: {finding['finding']}; {finding['todo']}"
    assert "from 0.016 to 0.032 kimg" in finding["finding"]


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\3\4" + b"\0" * 99])
def test_a_file_to_begin_with_that_is_something_else_is_not_called_corrupt(
    phantom: Workspace, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "resnet50.pth"
    path.write_bytes(content)
    line = last_line(run("train-gan", "--workspace", phantom.root, "--preset", "quick", "--init", path))
    assert f"{path} is no snapshot" in line
    assert "name another file with --init" in line
    assert "remove" not in line


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A data set of the usual size, for which weights come with the tool."""
    workspace = open_workspace(tmp_path_factory.mktemp("usual") / "workspace")
    drawn = PhantomConfig(resolution_px=64, num_patients=12, images_per_patient=4)
    prepare_dataset(workspace, replace(TINY, resolution_px=64, phantom=drawn))
    return workspace


@pytest.mark.parametrize(
    ("options", "begins", "discriminator", "num_teachers"),
    [
        ((), True, "projected", 2),
        (("--init", "phantom", "--discriminator", "stylegan2"), True, "stylegan2", 1),
        (("--init", "none"), False, "projected", 1),
        (("--init", "none", "--discriminator", "stylegan2"), False, "stylegan2", 0),
    ],
)
def test_what_a_training_on_a_cpu_begins_with_and_who_teaches_it_can_be_chosen(
    usual: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    begins: bool,
    discriminator: str,
    num_teachers: int,
) -> None:
    monkeypatch.setattr("ganaug.train.cost.NUM_TIMED", 1)
    common = ("train-gan", "--workspace", usual.root, "--fold", 0, "--device", "cpu", "--dry-run", "--json")
    result = run(*common, *options)
    assert result.exit_code == 0, result.stderr
    config = json.loads(result.stdout)["config"]
    assert config["init"] == (digest_of_file(phantom_weights(64)) if begins else None)
    assert config["discriminator"] == discriminator
    assert len(config["pretrained"]) == num_teachers
    assert {digest for _, digest in config["pretrained"]} <= {frozen_digest()}


def test_weights_of_another_size_are_taken_and_said_to_be(
    usual: Workspace, phantom: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganaug.train.cost.NUM_TIMED", 1)
    for workspace, is_noted in ((phantom, True), (usual, False)):
        result = run("train-gan", "--workspace", workspace.root, "--device", "cpu", "--dry-run", "--fold", 0)
        assert result.exit_code == 0, result.stderr
        assert ("were trained at 64 px" in result.stderr) == is_noted


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [
        (signal.SIGINT, 130, "stopped; files that were finished are kept; run the same command again"),
        (signal.SIGTERM, 0, "stopped as the system asked; the state is saved; run the same command again to resume"),
        (signal.SIGUSR1, 0, "stopped as the system asked; the state is saved; run the same command again to resume"),
    ],
)
def test_an_interrupted_training_says_how_to_resume_it(
    number: signal.Signals, status: int, line: str, phantom: Workspace, wait_until: Callable[..., None]
) -> None:
    arguments = [sys.executable, "-m", "ganaug", "train-gan", "--workspace", str(phantom.root), "--preset", "quick"]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(phantom.root.glob("gans/*/config.json")) or process.poll() is not None, 180)
    assert process.poll() is None
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == status
    assert stderr.strip().splitlines()[-1] == f"ganaug: {line}"
    assert list(phantom.root.glob("gans/*/state/state-*.safetensors")) != []
