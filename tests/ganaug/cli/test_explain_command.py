"""`ganaug explain` as a user types it: what it finds, prints and writes, and how it fails."""

import html
import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganaug.classify.train_stored import train_stored
from ganaug.cli.main import main
from ganaug.config import MAP_METHODS, FoldsConfig, PhantomConfig, PrepareConfig, StudyConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.study.training_set import plan_classifiers
from ganaug.workspace import ClassifierRun, Workspace, open_workspace

STUDY = StudyConfig(classifiers=("dalaresnet50_small",), seeds=(0,), num_steps=2, batch=4)
FEW = ("--per-class", 1, "--measured", 4)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def last_line(result: Result) -> str:
    return result.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = open_workspace(tmp_path_factory.mktemp("template"))
    phantom = PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=4, um_per_px=8.0)
    prepare_dataset(workspace, PrepareConfig("phantom", resolution_px=16, phantom=phantom, folds=FoldsConfig(3)))
    (task,) = plan_classifiers(workspace, open_dataset(workspace, "phantom"), [0], STUDY)
    train_stored(task)
    return workspace.root


@pytest.fixture
def workspace(_template: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(_template, tmp_path / "workspace")
    return open_workspace(tmp_path / "workspace")


@pytest.fixture
def trained_run(workspace: Workspace) -> ClassifierRun:
    return workspace.classifiers()[0]


def test_with_nothing_said_it_explains_the_classifier_trained_last(
    workspace: Workspace, trained_run: ClassifierRun
) -> None:
    done = run("explain", "--workspace", workspace.root, "--device", "cpu", *FEW)
    assert done.exit_code == 0, done.stderr
    page = trained_run.explanations / "explanations.html"
    assert page.is_file()
    lines = done.stdout.splitlines()
    assert lines[-1] == str(page)
    assert [line.split()[0] for line in lines[2:7]] == list(MAP_METHODS)
    assert sum("random weights" in line for line in lines) == 1
    assert "these intervals are too narrow" in done.stdout


def test_the_same_as_json_of_a_folder_that_is_named(workspace: Workspace, trained_run: ClassifierRun) -> None:
    given = ("--run", trained_run.root, "--method", "gradcam", "--method", "random", "--threshold", "percentile:80")
    done = run("explain", "--workspace", workspace.root, "--device", "cpu", *FEW, *given, "--json")
    assert done.exit_code == 0, done.stderr
    value = json.loads(done.stdout)
    assert [row["method"] for row in value["rows"]] == ["gradcam", "random"]
    assert value["rows"][0]["deletion_blur"]["num_images"] == 4
    assert "--threshold percentile:80" in Path(value["page"]).read_text()


def test_a_dry_run_prints_the_plan_and_writes_nothing(workspace: Workspace, trained_run: ClassifierRun) -> None:
    before = sorted(workspace.root.rglob("*"))
    done = run("explain", "--workspace", workspace.root, "--device", "cpu", "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["fold"], plan["test_images"], plan["measured_images"]) == (0, 16, 16)
    assert plan["network_evaluations"] == 8 * 16 + 16 * 5 * 2 * 42
    assert sorted(workspace.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--threshold", "half"), "the threshold 'half'; expected otsu"),
        (("--fold", 2), "no finished classifier for fold 2"),
        (("--classifier", "efficientnet_lite0"), "efficientnet_lite0"),
        (("--dataset", "bach"), "no finished classifier for bach"),
        (("--method", "saliency"), "saliency"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_one_line(
    workspace: Workspace, trained_run: ClassifierRun, arguments: tuple[object, ...], message: str
) -> None:
    done = run("explain", "--workspace", workspace.root, "--device", "cpu", *arguments)
    assert done.exit_code == 2
    assert message in last_line(done)
    assert not trained_run.explanations.exists()


def test_a_data_set_that_was_prepared_again_under_its_name_is_refused_by_a_dry_run_too(
    workspace: Workspace, trained_run: ClassifierRun, tmp_path: Path
) -> None:
    other = open_workspace(tmp_path / "other")
    phantom = PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=4, um_per_px=8.0)
    prepare_dataset(other, PrepareConfig("phantom", resolution_px=16, phantom=phantom, folds=FoldsConfig(3, seed=1)))
    shutil.copytree(trained_run.root, other.root / "classifiers" / trained_run.root.name)
    for dry in ((), ("--dry-run",)):
        for chosen in ((), ("--run", trained_run.root)):
            done = run("explain", "--workspace", other.root, "--device", "cpu", *FEW, *chosen, *dry)
            assert done.exit_code == 2
            assert "may have seen these test patients" in last_line(done)


def test_the_printed_command_finds_the_run_among_others_of_its_name(
    workspace: Workspace, trained_run: ClassifierRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANAUG_WORKSPACE", str(workspace.root))
    (task,) = plan_classifiers(workspace, open_dataset(workspace, "phantom"), [0], replace(STUDY, num_steps=3))
    train_stored(task)
    given = ("--device", "cpu", *FEW, "--method", "random")
    assert run("explain", *given, "--run", trained_run.root.name).exit_code == 0
    page = (trained_run.explanations / "explanations.html").read_text()
    assert str(workspace.root) not in page
    (line,) = (line for line in page.splitlines() if "ganaug explain --run" in line)
    words = shlex.split(html.unescape(re.sub(r"<[^>]*>", "", line)))[1:]
    shutil.rmtree(trained_run.explanations)
    assert run(*words, "--device", "cpu").exit_code == 0
    assert (trained_run.explanations / "explanations.html").read_text() == page
    assert not task.run.explanations.exists()


def test_a_run_that_is_nowhere_is_refused_in_one_line(workspace: Workspace) -> None:
    for name in ("nothing", "classifiers/nothing", "n" * 300, "studies/../.."):
        done = run("explain", "--workspace", workspace.root, "--device", "cpu", "--run", name)
        assert done.exit_code == 2
        assert "there is no " in last_line(done)


def test_two_ways_to_choose_a_classifier_are_refused(workspace: Workspace, trained_run: ClassifierRun) -> None:
    done = run("explain", "--workspace", workspace.root, "--run", trained_run.root, "--fold", 0)
    assert (done.exit_code, "one way" in last_line(done)) == (2, True)
