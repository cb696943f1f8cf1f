"""Defaults of what a command works on: data set, folds and generators; and the options that choose them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganaug import presets
from ganaug.cli.common import Common
from ganaug.config import EXTRACTOR_NAMES, PrepareConfig
from ganaug.errors import ConfigError, WorkspaceError

if TYPE_CHECKING:
    from ganaug.data.dataset import DataSet
    from ganaug.workspace import GanRun


def fold_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--fold",
        metavar="K",
        help="One fold, counted from 0, or all  [default: all; quick: the first two]",
    )(command)


def find_dataset(common: Common, name: str | None) -> "DataSet":
    """The data set of this name, or the one prepared last; a missing phantom is drawn, unless in a dry run."""
    from ganaug.data.dataset import default_dataset, open_dataset
    from ganaug.data.prepare.pipeline import prepare_dataset

    workspace = common.workspace
    if name == "phantom" and name not in workspace.datasets() and not common.dry_run:
        phantom, folds = presets.phantom(common.preset)
        config = PrepareConfig(name, resolution_px=phantom.resolution_px, phantom=phantom, folds=folds)
        prepare_dataset(workspace, config, progress=True)
    return open_dataset(workspace, name or default_dataset(workspace))


def choose_folds(common: Common, dataset: "DataSet", fold: str | None) -> list[int]:
    """The folds that `--fold` means, by default those of the preset; raises ConfigError for one that is not there."""
    every = list(range(dataset.folds.num_folds))
    if fold is None:
        return every[: presets.num_folds_studied(common.preset)]
    if fold == "all":
        return every
    number = fold_number(fold)
    if not 0 <= number < dataset.folds.num_folds:
        raise ConfigError(f"fold {fold} of {dataset.name}", expected=f"0 to {dataset.folds.num_folds - 1}, or all")
    return [number]


def find_generators(
    common: Common, dataset: str | None, fold: str | None, gans: tuple[str, ...] = ()
) -> list["GanRun"]:
    """The generator of each fold asked for, of the data set named or of the one trained on last.

    The rule is that of `ganaug.generate.find`; `gans` are names of generators to take instead. Raises WorkspaceError
    where there is none.
    """
    runs = [run for run in common.workspace.gans(dataset) if not gans or run.root.name in gans]
    if not runs:
        have = ", ".join(run.root.name for run in common.workspace.gans()) or "none"
        raise WorkspaceError(
            f"{common.workspace.root} holds no generator" + (f" of {dataset}" if dataset else ""),
            expected=f"one of {have}" if gans else "",
            todo="train one with `ganaug train-gan --dataset NAME`",
        )
    name = runs[-1].dataset
    serving = {run.fold: run for run in runs if run.dataset == name and (gans or _fits(common, runs, run))}
    if not serving:
        raise WorkspaceError(
            f"the {len(runs)} generators of {name} were trained on other data or other folds than it has now",
            todo=f"run `ganaug train-gan --dataset {name}`, or choose one with --gan {runs[-1].root.name}",
        )
    if fold in (None, "all"):
        return [serving[k] for k in sorted(serving)]
    number = fold_number(fold)
    if number not in serving:
        have = ", ".join(map(str, sorted(serving)))
        raise ConfigError(f"fold {fold} of {name} has no generator", expected=f"one of {have}, or all")
    return [serving[number]]


def _fits(common: Common, runs: Sequence["GanRun"], run: "GanRun") -> bool:
    """Whether a generator is for the data and folds as they are; without the data set, for those of the newest one."""
    from ganaug.data.dataset import open_dataset
    from ganaug.generate.find import config_of, serves

    if run.dataset in common.workspace.datasets():
        return serves(config_of(run), open_dataset(common.workspace, run.dataset))
    newest, own = config_of(runs[-1]), config_of(run)
    return all(newest.get(name) == own.get(name) for name in ("dataset_fingerprint", "folds_digest"))


def fold_number(text: str | None) -> int:
    """The fold that a text names; -1 where it is no number."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else -1


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
        type=click.Choice(EXTRACTOR_NAMES),
        help="What turns images into features  [default: the best at hand]",
    )(command)
