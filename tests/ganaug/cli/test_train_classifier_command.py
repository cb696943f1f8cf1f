"""`ganaug train-classifier` as a user types it: what it trains, refuses, plans and resumes."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from classifiers.registry import build_seeded
from ganaug.classify.stored import open_classifier_run
from ganaug.cli.main import main
from ganaug.config import SynthesisConfig
from ganaug.data.dataset import open_dataset
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.workspace import GanRun, Workspace, read_json

QUICK = ("train-classifier", "--preset", "quick", "--device", "cpu")
SHORT = (*QUICK, "--fold", 2, "--steps", 2)


def run(workspace: Workspace, *arguments: object) -> Result:
    given = [str(argument) for argument in (*arguments, "--workspace", workspace.root)]
    return CliRunner().invoke(main, given)


def last_line(result: Result) -> str:
    assert result.exit_code == 2, result.stdout
    return result.stderr.strip().splitlines()[-1]


@pytest.fixture
def home(trained: GanRun) -> Workspace:
    """A workspace with the tiny phantom and a generator of fold 2."""
    return Workspace(trained.root.parents[1])


def test_it_trains_each_fold_keeps_it_and_says_what_is_no_test(home: Workspace) -> None:
    result = run(home, *QUICK, "--fold", "all", "--steps", 1, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["classifiers"]
    assert [row["fold"] for row in found] == [0, 1, 2]
    for row in found:
        assert open_classifier_run(Path(row["file"])).name == "dalaresnet50_small"
        assert "no test" in row["validation"]["note"]
        assert "one fold" in row["test"]["note"]
    again = run(home, *QUICK, "--fold", 1, "--steps", 1)
    assert "stands, and is not trained again" in again.stdout
    assert "no test" in again.stdout
    validation = found[1]["validation"]
    assert f"{validation['nll_before']:.3f} -> {validation['nll_after']:.3f}" in again.stdout
    assert "minimises the negative log-likelihood" in again.stdout
    assert found[1]["file"] in again.stdout


def test_real_and_synthetic_images_carry_what_their_generator_saw(home: Workspace, trained: GanRun) -> None:
    synthesize(plan_synthesis(home, trained, SynthesisConfig(per_class=8)))
    result = run(home, *SHORT, "--images", "real+synthetic", "--ratio", 0.5, "--json")
    assert result.exit_code == 0, result.stderr
    assert "fold 2 is served by" in result.stderr
    stored = open_classifier_run(Path(json.loads(result.stdout)["classifiers"][0]["file"]))
    config, dataset = read_json(stored.run.config)["config"], open_dataset(home, "phantom")
    assert config["images"] == "real+synthetic"
    assert config["synthetic"]["ratio"] == 0.5
    seen = {*dataset.folds.train_groups(2), *dataset.folds.val_groups(2)}
    assert set(stored.provenance.groups_seen) == set(map(dataset.table.patient_digest, seen))
    real = run(home, *SHORT, "--json")
    assert json.loads(real.stdout)["classifiers"][0]["weights"] != stored.provenance.content


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--ratio", 1), "--images real"),
        (("--synthetic", __file__), "--images real"),
        (("--images", "real+synthetic"), "no synthetic images"),
        (("--classifier", "nobody"), "nobody"),
        (("--classifier", ""), "the classifier ''; expected name"),
        (("--classifier", "dalaresnet50_small[off=on]"), "off"),
        (("--pretrained-saw", "photographs"), "--pretrained-saw without --pretrained"),
        (("--pretrained", "gone.pth"), "gone.pth"),
        (("--fold", 7), "fold 7"),
        (("--dataset", "bach"), "prepare"),
        (("--learning-rate", 0), "learning rate 0"),
        (("--body-learning-rate", 1e-3), "--body-learning-rate without pretrained layers"),
        (("--batch", 1), "--batch"),
        (("--classifier", "cross_attention", "--learning-rate", 0), "--learning-rate with cross_attention"),
        (("--classifier", "cross_attention", "--body-learning-rate", 1), "--body-learning-rate with cross_attention"),
        (("--classifier", "cross_attention", "--batch", 8), "--batch with cross_attention"),
    ],
)
def test_what_would_be_ignored_or_cannot_be_meant_is_refused_before_anything_is_written(
    home: Workspace, options: tuple[object, ...], says: str
) -> None:
    assert says in last_line(run(home, *SHORT, *options))
    assert not (home.root / "classifiers").exists()


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry-run"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("other classes", "does not fit this model"),
        ("unknown origin", "--pretrained-saw"),
        ("nan", "NaN"),
    ],
)
def test_bad_weights_are_found_by_a_dry_run_too(
    home: Workspace, tmp_path: Path, content: bytes | str, says: str, dry: tuple[str, ...]
) -> None:
    path = tmp_path / "weights.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        num_classes = 3 if content == "other classes" else 4
        state = build_seeded("dalaresnet50_small", num_classes, 0, image_size_px=16).state_dict()
        if content == "nan":
            state["classify.weight" if "classify.weight" in state else next(iter(state))].fill_(torch.nan)
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    line = last_line(run(home, *SHORT, "--pretrained", path, *dry))
    assert says in line
    assert "weights_only" not in line
    assert not (home.root / "classifiers").exists()


def test_rates_and_batch_are_those_that_were_chosen_and_lead_to_another_classifier(
    home: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    state = build_seeded("dalaresnet50_small", 4, 9, image_size_px=16).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    weights = ("--pretrained", path, "--pretrained-saw", "nothing", "--dry-run", "--json")
    base, other = (
        json.loads(run(home, *SHORT, *weights, *given).stdout)
        for given in ((), ("--learning-rate", 1e-3, "--body-learning-rate", 1e-4, "--batch", 7))
    )
    names = ("learning_rate", "body_learning_rate", "batch")
    assert [base["fit"][name] for name in names] == [3e-3, 3e-3, 32]
    assert [other["fit"][name] for name in names] == [1e-3, 1e-4, 7]
    assert base["classifiers"] != other["classifiers"]


def test_declared_weights_are_named_by_their_digest_and_the_users_word(home: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "Netz von Frau Muster.safetensors"
    state = build_seeded("dalaresnet50_small", 4, 9, image_size_px=16).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    result = run(home, *SHORT, "--pretrained", path, "--pretrained-saw", "photographs of ImageNet", "--json")
    assert result.exit_code == 0, result.stderr
    stored = open_classifier_run(Path(json.loads(result.stdout)["classifiers"][0]["file"]))
    assert "photographs of ImageNet" in stored.provenance.declared[0]
    text = stored.run.config.read_text()
    assert "photographs of ImageNet" in text
    assert "Muster" not in text
    drawn = run(home, *SHORT, "--pretrained", "none", "--json")
    assert json.loads(drawn.stdout)["classifiers"][0]["weights"] != stored.provenance.content


def test_a_dry_run_writes_nothing_and_says_what_stands(home: Workspace) -> None:
    assert run(home, *SHORT).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*")}
    result = run(home, *QUICK, "--fold", "all", "--steps", 2, "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    plan = json.loads(result.stdout)
    assert len(plan["classifiers"]) == 2
    assert len(plan["finished"]) == 1
    assert sum(plan["training_images"].values()) == len(open_dataset(home, "phantom").train(0))
    assert {path: path.stat().st_mtime_ns for path in home.root.rglob("*")} == before


def test_an_edited_classifier_is_refused_and_not_trained_over(home: Workspace) -> None:
    assert run(home, *SHORT).exit_code == 0
    (path,) = home.root.glob("classifiers/*/classifier.safetensors")
    damaged = path.read_bytes()[:-4] + b"\1\2\3\4"
    path.write_bytes(damaged)
    assert "was changed after its provenance was sealed" in last_line(run(home, *SHORT))
    assert path.read_bytes() == damaged


def test_an_interrupted_training_resumes_to_the_same_bytes(
    home: Workspace, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    options = [str(option) for option in (*QUICK, "--fold", 2, "--steps", 32, "--workspace", home.root)]
    other = tmp_path / "other"
    shutil.copytree(home.root, other)
    assert run(Workspace(other), *QUICK, "--fold", 2, "--steps", 32).exit_code == 0
    process = subprocess.Popen([sys.executable, "-m", "ganaug", *options], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(home.root.glob("classifiers/*/history.jsonl")) or process.poll() is not None)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "stopped" in stderr.strip().splitlines()[-1]
    assert len(list(home.root.glob("classifiers/*/state.safetensors"))) == 1
    assert CliRunner().invoke(main, options).exit_code == 0
    (resumed,), (whole,) = (root.glob("classifiers/*/classifier.safetensors") for root in (home.root, other))
    assert resumed.read_bytes() == whole.read_bytes()
    assert not list(home.root.glob("classifiers/*/state.safetensors"))
