"""Linear probes as a user trains, keeps and asks them, and how the commands refuse what they cannot have."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from ganaug.cli.main import main
from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.workspace import Workspace, open_workspace

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
CLASSES, NAME = ("Benign", "Malignant"), "probe:torchscript"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def last_line(result: Result) -> str:
    assert result.exit_code == 2, result.stdout
    return result.stderr.strip().splitlines()[-1]


def save_pooling(path: Path, side_px: int) -> Path:
    network = torch.nn.Sequential(torch.nn.AvgPool2d(side_px), torch.nn.Flatten())
    torch.jit.save(torch.jit.script(network), str(path))
    return path


def options_of(root: Path) -> tuple[object, ...]:
    return ("--classifier", NAME, "--fold", 0, "--device", "cpu", "--workspace", root / "workspace")


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures whose class is their colour, the data set of it, a network, and a probe of fold 0."""
    root, rng = tmp_path_factory.mktemp("probes"), np.random.default_rng(3)
    for number in range(12):
        folder = root / "pictures" / CLASSES[number % 2] / f"patient {number:02d}"
        folder.mkdir(parents=True)
        for image in range(2):
            pixels = rng.integers(0, 180, (40, 40, 3), dtype=np.uint8)
            pixels[:, :, 2 * (number % 2)] += 60
            Image.fromarray(pixels).save(folder / f"{image}.png")
    config = PrepareConfig("folder", str(root / "pictures"), "lab", resolution_px=32, layout="class/patient",
                           folds=FoldsConfig(num_folds=3))  # fmt: skip
    prepare_dataset(open_workspace(root / "workspace"), config)
    program = save_pooling(root / "pooled.pt", 56)
    given = ("--pretrained", program, "--pretrained-saw", "nothing: it has no weights")
    done = run("train-classifier", *options_of(root), *given)
    assert done.exit_code == 0, done.stderr
    assert "balanced accuracy by image 1.000" in done.stdout
    return root


@pytest.fixture
def made(_made: Path, tmp_path: Path) -> Path:
    shutil.copytree(_made, tmp_path / "made")
    return tmp_path / "made"


def test_a_kept_probe_predicts_with_the_file_that_it_was_trained_with(made: Path) -> None:
    options = (*options_of(made), "--out", made / "out.csv", "--json")
    result = run("predict", made / "pictures", *options, "--pretrained", made / "pooled.pt")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["seen"] == 16
    with (made / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert all(row["image"].startswith(row["predicted"]) for row in rows)
    dataset = open_dataset(Workspace(made / "workspace"), "lab")
    unseen = made / "unseen"
    for path in dataset.table.path[dataset.test(0)].tolist():
        (unseen / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made / "pictures" / path, unseen / path)
    tested = run("predict", unseen, *options, "--test", "--pretrained", made / "pooled.pt")
    assert json.loads(tested.stdout)["scores"]["by_image"]["overall"]["balanced_accuracy"] == 1


def test_the_file_of_a_probe_is_named_as_train_classifier_names_it(made: Path, tmp_path: Path) -> None:
    options = ("predict", made / "pictures", *options_of(made), "--out", made / "out.csv", "--pretrained")
    assert run(*options, f"{NAME}={made / 'pooled.pt'}").exit_code == 0
    assert f"with {NAME}; expected FILE" in last_line(run(*options, f"dalaresnet50_small={made / 'pooled.pt'}"))
    folder = tmp_path / "a=b"
    folder.mkdir()
    shutil.copy(made / "pooled.pt", folder)
    assert run(*options, folder / "pooled.pt").exit_code == 0, "a path with = in it"


def test_no_file_another_file_and_a_file_for_a_network_are_refused(made: Path) -> None:
    options = (made / "pictures", "--out", made / "out.csv", *options_of(made))
    assert "name it with --pretrained FILE" in last_line(run("predict", *options))
    other = save_pooling(made / "other.pt", 28)
    line = last_line(run("predict", *options, "--pretrained", other))
    assert "expected the file that it was trained with" in line
    assert "no file of weights" in last_line(run("predict", *options, "--pretrained", made / "gone.pt"))
    network = ("--classifier", "dalaresnet50_small", "--device", "cpu", "--workspace", made / "workspace")
    assert run("train-classifier", *network, "--fold", 0, "--steps", 1).exit_code == 0
    for given in (("--pretrained", other), ("--weights-dir", made)):
        line = last_line(run("predict", made / "pictures", "--out", made / "out.csv", *network, *given))
        assert "with dalaresnet50_small; expected it with a probe" in line
    assert not list(made.glob("out*"))


def test_a_probe_is_not_explained_and_the_reason_is_given(made: Path) -> None:
    for options in (options_of(made), (*options_of(made), "--dry-run")):
        assert "frozen features, which have no map of the image" in last_line(run("explain", *options))
    assert not list(made.glob("workspace/classifiers/*/explanations"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--steps", 3), "--steps with probe:torchscript"),
        (("--batch", 8), "--batch with probe:torchscript"),
        (("--learning-rate", 0.1), "--learning-rate with probe:torchscript"),
        (("--body-learning-rate", 0.1), "--body-learning-rate with probe:torchscript"),
        (("--classical-augmentation", "strong"), "--classical-augmentation strong"),
    ],
)
def test_options_that_a_probe_does_not_use_are_refused_where_only_probes_are_trained(
    made: Path, given: tuple[object, ...], says: str
) -> None:
    before = sorted(made.rglob("*"))
    weights = ("--pretrained", made / "pooled.pt", "--pretrained-saw", "nothing")
    assert says in last_line(run("train-classifier", *options_of(made), *weights, *given, "--dry-run"))
    if given[0] != "--batch":  # which a study has no option for
        named = [f"{NAME}={value}" if not str(value).startswith("--") else value for value in weights]
        assert says in last_line(run("evaluate-augmentation", *options_of(made), *named, *given, "--dry-run"))
    assert sorted(made.rglob("*")) == before


def test_a_dry_run_states_the_plan_of_a_probe_and_finds_bad_weights(made: Path) -> None:
    before = sorted(made.rglob("*"))
    weights = ("--pretrained", made / "pooled.pt", "--pretrained-saw", "nothing", "--dry-run")
    planned = run("train-classifier", *options_of(made), *weights, "--seed", 3, "--json")
    assert planned.exit_code == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert len(plan["classifiers"]) == 1
    assert plan["fit"]["probe"]["num_iterations"] == 20
    assert sorted(made.rglob("*")) == before
    (made / "page.pt").write_bytes(b"<!DOCTYPE html><html>")
    for dry in ((), ("--dry-run",)):
        for given, says in (
            (("--pretrained", made / "page.pt", "--pretrained-saw", "nothing"), "is no TorchScript program"),
            (("--pretrained", made / "pooled.pt"), "--pretrained-saw probe:torchscript=TEXT"),
            (("--pretrained", made / "gone.pt"), "no file of weights"),
            ((), "probe:torchscript without weights"),
        ):
            assert says in last_line(run("train-classifier", *options_of(made), *given, *dry, "--seed", 3))
    assert len(list(made.glob("workspace/classifiers/*"))) == 1


def test_weights_may_be_named_as_the_messages_of_a_study_name_them(made: Path) -> None:
    weights = ("--pretrained", f"{NAME}={made / 'pooled.pt'}", "--pretrained-saw", f"{NAME}=nothing: it has no weights")
    again = run("train-classifier", *options_of(made), *weights)
    assert "stands, and is not trained again" in again.stdout
