"""Defaults of what a command works on: data set, folds and generators; and the options that choose them."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganaug import presets
from ganaug.cli.common import Common
from ganaug.config import NAMED_EXTRACTORS
from ganaug.errors import ConfigError

if TYPE_CHECKING:
    from ganaug.classify.stored import StoredClassifier
    from ganaug.data.dataset import DataSet
    from ganaug.evaluate.extractors.choice import ExtractorChoice
    from ganaug.workspace import GanRun


def fold_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--fold",
        metavar="K",
        help="One fold, counted from 0, or all  [default: all; quick: the first two]",
    )(command)


def find_dataset(common: Common, name: str | None) -> "DataSet":
    """The data set of this name, or the one prepared last; a missing phantom is drawn, unless in a dry run."""
    from ganaug.data.prepare.pipeline import find_dataset

    return find_dataset(common.workspace, name, preset=common.preset, may_draw=not common.dry_run)


def choose_folds(common: Common, dataset: "DataSet", fold: str | None) -> list[int]:
    """The folds that `--fold` means, by default those of the preset; raises ConfigError for one that is not there."""
    every = list(range(dataset.folds.num_folds))
    if fold is None:
        return every[: presets.num_folds_studied(common.preset)]
    number = _fold_number(fold)
    if fold != "all" and number not in every:
        raise ConfigError(f"fold {fold} of {dataset.name}", expected=f"0 to {every[-1]}, or all")
    return every if fold == "all" else [number]


def find_generators(
    common: Common, dataset: str | None, fold: str | None, gans: tuple[str, ...] = (), real_fraction: float = 1.0
) -> list["GanRun"]:
    """The generators of the folds that `--fold` means; see `ganaug.generate.find.find_generators`."""
    from ganaug.generate import find

    if fold in (None, "all"):
        return find.find_generators(common.workspace, dataset, None, gans, real_fraction)
    number = _fold_number(fold)
    if number < 0:
        raise ConfigError(f"fold {fold}", expected="a number from 0 up, or all")
    return find.find_generators(common.workspace, dataset, number, gans, real_fraction)


def _fold_number(text: str | None) -> int:
    """The fold that a text names; -1 where it is no number."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else -1


def fraction_option(help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    fraction = click.FloatRange(0, 1, min_open=True)
    return click.option("--real-fraction", type=fraction, default=1.0, metavar="F", help=f"{help}  [default: 1]")


def gan_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--gan",
        "gans",
        multiple=True,
        metavar="NAME",
        help="Generator to use, a folder in gans/, in place of its fold's last one; repeatable",
    )(command)


def synthetic_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--synthetic",
        "files",
        multiple=True,
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="Synthetic file to use for the fold that it serves; repeatable",
    )(command)


def verify_option(command: Callable[..., None]) -> Callable[..., None]:
    def insist(context: click.Context, option: click.Parameter, value: bool) -> None:
        if value:
            from ganaug.data.hdf5 import seals

            seals.insist()

    return click.option(
        "--verify",
        is_flag=True,
        expose_value=False,
        callback=insist,
        help="Check every pixel again, even of files that were checked before",
    )(command)


def weights_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--weights-dir",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder of pretrained weights  [default: $GANAUG_WEIGHTS]",
    )(command)


def extractor_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--extractor",
        type=click.Choice(NAMED_EXTRACTORS),
        help="What turns images into features  [default: the best at hand]",
    )(command)


def extractors_option(command: Callable[..., None]) -> Callable[..., None]:
    """Several extractors, with files of weights; the command's argument `extractors` is tuple[ExtractorChoice, ...]."""

    def parse(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> "tuple[ExtractorChoice, ...]":
        from ganaug.evaluate.extractors.choice import parse_choice

        return tuple(dict.fromkeys(map(parse_choice, given)))

    return click.option(
        "--extractor",
        "extractors",
        multiple=True,
        callback=parse,
        metavar="NAME[=FILE]",
        help="What turns images into features, with its weights where they are a file of yours; repeatable  "
        "[default: the best at hand]",
    )(command)


@dataclass(frozen=True)
class ClassifierChoice:
    """The kept classifier that a command works on, by its folder or by what it is; None leaves any."""

    dataset: str | None
    fold: int | None
    name: str | None
    run_folder: Path | None

    def open(
        self,
        common: Common,
        *,
        pretrained: Path | None = None,
        weights_dir: Path | None = None,
        needs_map: bool = False,
    ) -> "StoredClassifier":
        """Open it; the other arguments are those of `ganaug.classify.stored.open_classifier_run`.

        Raises ConfigError where it is chosen in two ways, and what opening raises.
        """
        from ganaug.classify.stored import find_classifier, open_classifier_run
        from ganaug.evaluate.extractors.record import ExtractorPlace
        from ganaug.study.training_set import name_classifier

        if self.run_folder is not None and (self.dataset, self.fold, self.name) != (None, None, None):
            raise ConfigError("--run with --dataset, --fold or --classifier", expected="one way to choose a classifier")
        name = self.name and name_classifier(self.name)
        if self.run_folder is not None:
            run = _find_run_folder(common, self.run_folder)
        else:
            run = find_classifier(common.workspace, self.dataset, self.fold, name).root
        place = ExtractorPlace(pretrained, weights_dir)
        return open_classifier_run(run, common.device, place=place, needs_map=needs_map)


def _find_run_folder(common: Common, given: Path) -> Path:
    """The folder that `--run` means: a path, or the name of a folder in the workspace's classifiers/."""
    if os.path.exists(given):  # which is false, too, of a name that is too long for a file
        return given
    workspace: Path = common.workspace.root
    named = workspace / "classifiers" / given.name
    if given.parent in (Path(), Path("classifiers")) and os.path.exists(named):
        return named
    raise ConfigError(
        f"there is no {given}, and no classifier of this name in {workspace}",
        expected="a folder of classifiers/",
        todo="name it, or choose with --dataset, --fold and --classifier",
    )


def classifier_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose a kept classifier, and a `ClassifierChoice` as its argument `choice`."""

    @wraps(command)
    def with_choice(*shared: Any, **given: Any) -> None:
        chosen = {name: given.pop(name) for name in ("dataset", "fold", "name", "run_folder")}
        command(*shared, choice=ClassifierChoice(**chosen), **given)

    options = (
        click.option("--dataset", help="Data set of the classifier  [default: that of the one trained last]"),
        click.option("--fold", type=click.IntRange(0), metavar="K", help="Fold of the classifier  [default: as above]"),
        click.option("--classifier", "name", metavar="NAME", help="Name of the classifier  [default: as above]"),
        click.option(
            "--run",
            "run_folder",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="Folder of the classifier, wherever it lies, or its name in the workspace",
        ),
    )
    decorated: Callable[..., None] = with_choice
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
