"""The lookup of the generators that serve a fold: one rule, for every command.

A generator can serve a fold where its config.json names this data set, these folds and the fraction of real images that
is asked for, by default all; of several, the rule takes the one configured last, and where more than one is asked for,
those that differ from it by their seed alone. The order comes from the times inside the files, never from the file
system.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganaug.checkpoint.snapshot import best_ema
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.errors import ConfigError, CorruptFile, UserError, WorkspaceError
from ganaug.provenance import require_seal
from ganaug.workspace import NUMBER, GanRun, Workspace, is_record, kimg_of, read_json


@dataclass(frozen=True)
class Choice:
    """The user's choice in place of what the rule takes."""

    gans: tuple[str, ...] = ()  # names of generators' folders
    files: tuple[Path, ...] = ()  # synthetic files


NO_CHOICE = Choice()
_OF_CONFIG = {"seed": (int,), "real_fraction": NUMBER}


def generators_for(workspace: Workspace, dataset: DataSet, fold: int) -> list[GanRun]:
    """The generators that were configured for a fold of this data set, the one configured last at the end."""
    return [run for run in workspace.gans(dataset.name, fold) if serves(config_of(run), dataset)]


def siblings_of(run: GanRun, runs: Sequence[GanRun]) -> list[GanRun]:
    """The generators that differ from `run` by their seed alone, itself among them, in the order of their seeds."""
    config = {other.root.name: {"real_fraction": 1.0, **config_of(other).get("config", {})} for other in runs}
    own = {**config[run.root.name], "seed": None}
    found = [other for other in runs if {**config[other.root.name], "seed": None} == own]
    return sorted(found, key=lambda other: int(config[other.root.name]["seed"]))


def find_generators(
    workspace: Workspace,
    dataset: str | None = None,
    fold: int | None = None,
    gans: Sequence[str] = (),
    real_fraction: float = 1.0,
) -> list[GanRun]:
    """The generators of each fold of the data set, or of the fold asked for; None: of the data set trained on last.

    Of each fold the one configured last on this fraction of the real images, and its siblings; or all those named in
    `gans`. Raises WorkspaceError where there is none, ConfigError where the fold asked for has none.
    """
    runs = [run for run in workspace.gans(dataset) if not gans or run.root.name in gans]
    if not runs:
        have = ", ".join(run.root.name for run in workspace.gans()) or "none"
        raise WorkspaceError(
            f"{workspace.root} holds no generator{f' of {dataset}' if dataset else ''} {' or '.join(gans)}".rstrip(),
            expected=f"one of {have}" if gans else "",
            todo="train one with `ganaug train-gan --dataset NAME`",
        )
    name = runs[-1].dataset
    serving = [run for run in runs if run.dataset == name and (gans or _fits(workspace, runs, run, real_fraction))]
    of_fold = {
        number: [run for run in serving if run.fold == number] for number in sorted({run.fold for run in serving})
    }
    if not of_fold:
        fractions = sorted({fraction_of(config_of(run)) for run in runs if run.dataset == name})
        option = "" if real_fraction == 1 else f" --real-fraction {real_fraction:g}"
        raise WorkspaceError(
            f"the {len(runs)} generators of {name} were trained on other data, other folds or other fractions of the "
            f"real images ({', '.join(f'{fraction:g}' for fraction in fractions)}) than are asked for",
            todo=f"run `ganaug train-gan --dataset {name}{option}`, or choose one with --gan {runs[-1].root.name}",
        )
    if fold is not None and fold not in of_fold:
        have = ", ".join(map(str, of_fold))
        raise ConfigError(f"fold {fold} of {name} has no generator", expected=f"one of {have}, or all")
    asked = [of_fold[fold]] if fold is not None else list(of_fold.values())
    return [run for runs in asked for run in (runs if gans else siblings_of(runs[-1], runs))]


def _fits(workspace: Workspace, runs: Sequence[GanRun], run: GanRun, real_fraction: float) -> bool:
    """Whether a generator is for the data and folds as they are; without the data set, for those of the newest run."""
    if run.dataset in workspace.datasets():
        return serves(config_of(run), open_dataset(workspace, run.dataset).reduced_to(real_fraction))
    newest, own = config_of(runs[-1]), config_of(run)
    return fraction_of(own) == real_fraction and all(
        newest.get(name) == own.get(name) for name in ("dataset_fingerprint", "folds_digest")
    )


def generator_for(workspace: Workspace, dataset: DataSet, fold: int, choice: Choice = NO_CHOICE) -> GanRun | None:
    """The generator that serves a fold, None where there is none; WorkspaceError where the chosen one cannot serve."""
    runs = generators_for(workspace, dataset, fold)
    others = [run for run in workspace.gans(dataset.name, fold) if run.root.name in choice.gans]
    chosen = [run for run in others if _is_of(config_of(run), dataset)]  # whatever its fraction
    for name in choice.gans:
        run = next((run for run in workspace.gans() if run.root.name == name), None)
        if run is None:
            have = ", ".join(run.root.name for run in workspace.gans()) or "none"
            raise WorkspaceError(f"there is no generator {name}", expected=f"one of: {have}")
        if (run.dataset, run.fold) == (dataset.name, fold) and not chosen:
            raise WorkspaceError(
                f"the generator {name} was trained on other data or other folds than {dataset.name} has now",
                expected=", ".join(run.root.name for run in runs) or "a generator of these folds",
                todo=f"train one with `ganaug train-gan --dataset {dataset.name} --fold {fold}`",
            )
    return (chosen or runs)[-1] if chosen or runs else None


def find_snapshot(workspace: Workspace, name: str, kimg: float | None = None) -> Path:
    """The best snapshot of the generator of this name, a folder in gans/, or the one of `kimg`.

    `kimg` may be rounded where only one snapshot rounds to it. Raises WorkspaceError where there is none.
    """
    if kimg is not None and not 0 <= kimg < 1e9:
        raise ConfigError(f"--kimg {kimg}", expected="a number from 0 up")
    runs = {run.root.name: run for run in workspace.gans()}
    if name not in runs:
        have = ", ".join(sorted(runs)) or "none, so train one with `ganaug train-gan`"
        raise WorkspaceError(f"{name} is no file, nor a generator in {workspace.root}", expected=f"one of: {have}")
    run = runs[name]
    found = best_ema(run) if kimg is None else _snapshot_at(run, kimg)
    if found is None or not found.exists():
        have = ", ".join(path.name for path in run.snapshots()) or "none yet"
        asked = "a snapshot" if kimg is None else f"a snapshot of {kimg:g} kimg"
        raise WorkspaceError(f"{name} has not {asked}", expected=f"one of its own: {have}")
    return found


def _snapshot_at(run: GanRun, kimg: float) -> Path | None:
    """The snapshot of exactly so many kimg, else the only one that rounds to them."""
    if run.ema(kimg).exists():
        return run.ema(kimg)
    near = [path for path in run.snapshots() if round(kimg_of(path)) == kimg]
    return near[0] if len(near) == 1 else None


def config_of(run: GanRun) -> dict[str, Any]:
    """The configuration of a generator; empty where its config.json is missing, malformed or edited."""
    try:
        values = require_seal(read_json(run.config), run.config)
        fields = values.get("config")
        is_whole = isinstance(fields, dict) and is_record({"real_fraction": 1.0, **fields}, _OF_CONFIG)
        if not (is_whole and 0 < fraction_of(values) <= 1):
            raise CorruptFile(f"{run.config} is no configuration of a generator", todo="train it again")
        return values
    except UserError as error:
        warnings.warn(f"ganaug: {error}; {run.root.name} serves no fold until then", stacklevel=2)
        return {}


def serves(config: dict[str, Any], dataset: DataSet) -> bool:
    """Whether a generator of this configuration is for the data set, its fraction, and the folds as they are."""
    return _is_of(config, dataset) and fraction_of(config) == dataset.real_fraction


def fraction_of(config: dict[str, Any]) -> float:
    """The fraction of the real images that a generator of this configuration is trained on."""
    return float(config.get("config", {}).get("real_fraction", 1.0))


def _is_of(config: dict[str, Any], dataset: DataSet) -> bool:
    return (config.get("dataset_fingerprint"), config.get("folds_digest")) == (
        dataset.table.fingerprint,
        dataset.folds.digest,
    )
