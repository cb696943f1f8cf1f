"""What a command works on when little or nothing is said: the data set, its folds, and their generators."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganaug import presets
from ganaug.cli.common import Common
from ganaug.config import PrepareConfig
from ganaug.errors import ConfigError, WorkspaceError
from ganaug.workspace import GanRun

if TYPE_CHECKING:
    from ganaug.data.dataset import DataSet


def fold_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--fold",
        metavar="K",
        help="One fold, counted from 0, or all  [default: all; quick: the first two]",
    )(command)


def find_dataset(common: Common, name: str | None) -> "DataSet":
    """The data set of this name, or the one prepared last; a missing phantom is drawn, unless in a dry run."""
    from ganaug.data.dataset import default_dataset, open_dataset
    from ganaug.data.prepare import prepare_dataset

    workspace = common.workspace
    if name == "phantom" and name not in workspace.datasets() and not common.dry_run:
        phantom, folds = presets.phantom(common.preset)
        config = PrepareConfig(name, resolution_px=phantom.resolution_px, phantom=phantom, folds=folds)
        prepare_dataset(workspace, config, progress=True)
    return open_dataset(workspace, name or default_dataset(workspace))


def chosen_folds(common: Common, dataset: "DataSet", fold: str | None) -> list[int]:
    """The folds that `--fold` means, by default those of the preset; raises ConfigError for one that is not there."""
    every = list(range(dataset.folds.num_folds))
    if fold is None:
        return every[: presets.num_folds_studied(common.preset)]
    if fold == "all":
        return every
    if not fold.isdigit() or int(fold) >= dataset.folds.num_folds:
        raise ConfigError(f"fold {fold} of {dataset.name}", expected=f"0 to {dataset.folds.num_folds - 1}, or all")
    return [int(fold)]


def find_generators(common: Common, dataset: str | None, fold: str | None) -> list[GanRun]:
    """The newest generator of each fold asked for, of the data set named or of the one trained on last.

    Raises WorkspaceError where there is none.
    """
    runs = common.workspace.gans(dataset)
    if not runs:
        raise WorkspaceError(
            f"{common.workspace.root} holds no generator" + (f" of {dataset}" if dataset else ""),
            todo="train one with `ganaug train-gan --dataset NAME`",
        )
    newest = {run.fold: run for run in runs if run.dataset == runs[-1].dataset}
    if fold in (None, "all"):
        return [newest[k] for k in sorted(newest)]
    if fold is None or not fold.isdigit() or int(fold) not in newest:
        have = ", ".join(map(str, sorted(newest)))
        raise ConfigError(f"fold {fold} of {runs[-1].dataset} has no generator", expected=f"one of {have}, or all")
    return [newest[int(fold)]]


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
        metavar="NAME",
        help="What turns images into features: inception, squeezenet or classifier  [default: the best at hand]",
    )(command)
