"""A tiny trained workspace, made once through the commands, and the copy of it in which one leak is planted."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from ganaug.cli.main import main
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.hdf5 import seals
from ganaug.workspace import ClassifierRun, GanRun, Study, Workspace

NAME = "phantom"  # of the data set
PATIENTS, IMAGES_EACH, FOLDS = 12, 6, 3
QUICK = ("--preset", "quick")
KIMG = "0.016"

# The options that every run of a command has here: they make it short, and decide nothing about leaks.
ALWAYS: dict[str, tuple[str, ...]] = {
    "train-gan": (*QUICK, "--workers", "1", "--device", "cpu"),
    "synthesize": (*QUICK, "--device", "cpu"),
    "evaluate-gan": (*QUICK, "--device", "cpu"),
    "evaluate-augmentation": (*QUICK, "--steps", "2", "--seeds", "1", "--workers", "1", "--device", "cpu"),
    "train-classifier": (*QUICK, "--device", "cpu"),
    "predict": ("--device", "cpu"),
    "explain": ("--device", "cpu"),
}
WITHOUT_WORKSPACE = ("audit", "inspect", "import-gan")
CHEAP = ("--extractor", "pixels_pca")  # features of a study's image scores that need no network


@dataclass(frozen=True)
class Command:
    """A command as a user types it, less the options of ALWAYS and the workspace."""

    verb: str
    options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        words = " ".join(["ganaug", self.verb, *(f'"{word}"' if " " in word else word for word in self.options)])
        return words.replace(f" {' '.join(CHEAP)}", "")


def command(verb: str, *options: object) -> Command:
    return Command(verb, tuple(map(str, options)))


def study(*options: object, fold: object = 0) -> Command:
    """The study of one fold; None: of the preset's two."""
    chosen = () if fold is None else ("--fold", fold)
    return command("evaluate-augmentation", *chosen, *CHEAP, *options)


@dataclass
class Scene:
    """A folder with `workspace`, and `tissue`: pictures of 64 px as <class>/<patient>/<number>.png."""

    root: Path
    env: dict[str, str | None] = field(default_factory=lambda: {"GANAUG_KEY": None})

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root / "workspace")

    @property
    def tissue(self) -> Path:
        return self.root / "tissue"

    @property
    def dataset(self) -> DataSet:
        return open_dataset(self.workspace, NAME)

    def gan(self, fold: int) -> GanRun:
        return self.workspace.gans(NAME, fold)[0]

    def snapshot(self, fold: int) -> Path:
        return self.gan(fold).snapshots()[0]

    def synthetic(self, fold: int) -> Path:
        name = self.gan(fold).root.name
        return next(path for path in self.workspace.synthetics() if path.name.startswith(f"{name}-"))

    def classifier(self, fold: int) -> ClassifierRun:
        return next(run for run in self.workspace.classifiers() if f"-fold{fold}-" in run.root.name)

    def study(self) -> Study:
        return Study(next((self.workspace.root / "studies").iterdir()))

    def cell(self, arm: str) -> str:
        """The name of the finished cell of an arm."""
        (path,) = self.study().root.glob(f"cells/dalaresnet50_small-{arm}-fold0-*.json")
        return path.stem

    def run(self, asked: Command, workspace: Path | None = None) -> Result:
        """Run a command in this process, as a process of its own would begin."""
        arguments = [asked.verb, *ALWAYS.get(asked.verb, ()), *asked.options]
        if asked.verb not in WITHOUT_WORKSPACE:
            arguments += ["--workspace", str(workspace or self.workspace.root)]
        settled = dict(seals._how)
        try:
            return CliRunner().invoke(main, arguments, env=self.env)
        finally:
            seals._how.update(settled)

    def do(self, verb: str, *options: object, workspace: Path | None = None) -> None:
        """Run a command that is part of the planting, and has to go well."""
        result = self.run(command(verb, *options), workspace)
        if result.exit_code:
            raise RuntimeError(f"{verb} ended with {result.exit_code}: {result.output[-500:]}")

    def files(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file by its place, but for the workspace's cache."""
        found = (path for path in self.root.rglob("*") if path.is_file())
        places = {path.relative_to(self.root).as_posix(): path.stat() for path in found}
        return {
            place: (status.st_size, status.st_mtime_ns)
            for place, status in places.items()
            if not place.startswith("workspace/cache/")
        }


def make_base(root: Path, *, with_study: bool = True) -> Path:
    """Make the workspace that all leaks are planted in: two generators, their images, two classifiers, a study."""
    scene = Scene(root)
    size = ("--patients", PATIENTS, "--images-per-patient", IMAGES_EACH, "--folds", FOLDS)
    scene.do("prepare", "--dataset", "phantom", "--resolution", 16, *size)
    scene.do("train-gan", "--kimg", KIMG)
    scene.do("synthesize", "--per-class", 24)
    for fold in (0, 1):
        scene.do("train-classifier", "--fold", fold, "--steps", 2)
    if with_study:
        scene.do(study().verb, *study().options)
    make_tissue(root)
    return root


def make_tissue(root: Path) -> None:
    """Pictures of drawn patients whom the workspace does not know, as files in folders."""
    scene, other = Scene(root), root / "drawn"
    drawn = ("--dataset", "phantom", "--resolution", 64, "--seed", 5, "--patients", 20, "--images-per-patient", 2)
    scene.do("prepare", *drawn, "--folds", FOLDS, workspace=other)
    write_pictures(open_dataset(Workspace(other), NAME), scene.tissue)
    shutil.rmtree(other)


def write_pictures(
    dataset: DataSet,
    folder: Path,
    indices: NDArray[np.int64] | None = None,
    *,
    change: Callable[[Image.Image], Image.Image] = lambda picture: picture,
    rename: Callable[[str], str] = lambda name: name,
    suffix: str = ".png",
) -> None:
    """Images of a data set as <class>/<patient>/<image>.png, perhaps changed and under other names."""
    table = dataset.table
    for index in np.arange(len(table)) if indices is None else indices:
        patient, name = str(table.group_id[index]), str(table.image_id[index])
        path = folder / table.class_names[table.label[index]] / rename(patient) / f"{rename(name)}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        change(Image.fromarray(dataset.reader[np.array([index])][0])).save(path)
