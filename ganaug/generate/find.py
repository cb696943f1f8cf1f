"""The lookup of the generator and of the synthetic file that serve a fold: one rule, for every command.

A generator can serve a fold where its config.json names this data set and these folds; of several, the rule takes the
one configured last. Of its synthetic files it takes the last one with as many images of each class as are asked for, so
that a small file made later replaces none; where none is large enough, the largest. The order comes from the times
inside the files, never from the file system. Whether a file may be used is checked elsewhere, on its provenance.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from ganaug.checkpoint.snapshot import best_ema
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.schema import read_table
from ganaug.errors import ConfigError, UserError, WorkspaceError
from ganaug.provenance import read_provenance, require_seal
from ganaug.workspace import GanRun, Workspace, kimg_of, read_json


@dataclass(frozen=True)
class Supply:
    """The synthetic file that serves a fold, and the generator that made it."""

    fold: int
    run: GanRun
    synthetic: Path
    num_others: int = 0  # further synthetic files that could serve it

    @property
    def sentence(self) -> str:
        """Which file was taken, for a note to the user."""
        others = f" (1 of {self.num_others + 1} that could; --synthetic chooses another)" if self.num_others else ""
        return f"fold {self.fold} is served by {self.synthetic.name}{others}"


@dataclass(frozen=True)
class Choice:
    """The user's choice in place of what the rule takes."""

    gans: tuple[str, ...] = ()  # names of generators' folders
    files: tuple[Path, ...] = ()  # synthetic files


NO_CHOICE = Choice()


def generators_for(workspace: Workspace, dataset: DataSet, fold: int) -> list[GanRun]:
    """The generators that were configured for a fold of this data set, the one configured last at the end."""
    return [run for run in workspace.gans(dataset.name, fold) if serves(config_of(run), dataset)]


def find_generators(
    workspace: Workspace, dataset: str | None = None, fold: int | None = None, gans: Sequence[str] = ()
) -> list[GanRun]:
    """The generator of each fold of the data set, or of the fold asked for; None: of the data set trained on last.

    `gans` are names of generators to take instead. Raises WorkspaceError where there is none, ConfigError where the
    fold asked for has none.
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
    serving = {run.fold: run for run in runs if run.dataset == name and (gans or _fits(workspace, runs, run))}
    if not serving:
        raise WorkspaceError(
            f"the {len(runs)} generators of {name} were trained on other data or other folds than it has now",
            todo=f"run `ganaug train-gan --dataset {name}`, or choose one with --gan {runs[-1].root.name}",
        )
    if fold is None:
        return [serving[k] for k in sorted(serving)]
    if fold not in serving:
        have = ", ".join(map(str, sorted(serving)))
        raise ConfigError(f"fold {fold} of {name} has no generator", expected=f"one of {have}, or all")
    return [serving[fold]]


def _fits(workspace: Workspace, runs: Sequence[GanRun], run: GanRun) -> bool:
    """Whether a generator is for the data and folds as they are; without the data set, for those of the newest run."""
    if run.dataset in workspace.datasets():
        return serves(config_of(run), open_dataset(workspace, run.dataset))
    newest, own = config_of(runs[-1]), config_of(run)
    return all(newest.get(name) == own.get(name) for name in ("dataset_fingerprint", "folds_digest"))


def generator_for(workspace: Workspace, dataset: DataSet, fold: int, choice: Choice = NO_CHOICE) -> GanRun | None:
    """The generator that serves a fold, None where there is none; WorkspaceError where the chosen one cannot serve."""
    runs = generators_for(workspace, dataset, fold)
    chosen = [run for run in runs if run.root.name in choice.gans]
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


def supply_for(
    workspace: Workspace, dataset: DataSet, fold: int, *, at_least: int = 1, choice: Choice = NO_CHOICE
) -> Supply | None:
    """The synthetic file that serves a fold, if possible with `at_least` images per class; None where there is no file.

    Raises UserError where the chosen file or generator cannot serve it.
    """
    for file in choice.files:
        generator = _generator_of(workspace, dataset, file)
        if generator.fold == fold:
            return Supply(fold, generator, file)
    run = generator_for(workspace, dataset, fold, choice)
    runs = generators_for(workspace, dataset, fold) if run is None or not choice.gans else [run]
    for candidate in reversed(runs):
        files = synthetics_of(workspace, candidate)
        if files:
            enough = [file for file, fewest in files if fewest >= at_least]
            taken = enough[-1] if enough else max(reversed(files), key=lambda pair: pair[1])[0]
            return Supply(fold, candidate, taken, len(files) - 1)
    return None


def supplies_for(
    workspace: Workspace, dataset: DataSet, folds: Sequence[int], *, at_least: int = 1, choice: Choice = NO_CHOICE
) -> list[Supply]:
    """The supply of each fold that has one.

    Raises UserError where a chosen file or generator serves none of the folds, or two are chosen for one fold.
    """
    require_all_used(workspace, dataset, folds, choice)
    found = [supply_for(workspace, dataset, fold, at_least=at_least, choice=choice) for fold in folds]
    return [supply for supply in found if supply is not None]


def require_supplies(
    workspace: Workspace,
    dataset: DataSet,
    folds: Sequence[int],
    *,
    at_least: int = 1,
    choice: Choice = NO_CHOICE,
    todo: str = "run `ganaug train-gan` and `ganaug synthesize`",
) -> list[Supply]:
    """As `supplies_for`; raises WorkspaceError, with `todo` as the next step, where no fold has a supply."""
    supplies = supplies_for(workspace, dataset, folds, at_least=at_least, choice=choice)
    if not supplies:
        others = len(workspace.gans(dataset.name))
        of_others = f"; {others} generators there are of other data, other folds or have made none" if others else ""
        raise WorkspaceError(
            f"{workspace.root} holds no synthetic images for the folds of {dataset.name} as it is now prepared"
            f"{of_others}",
            todo=todo,
        )
    return supplies


def num_drawn(dataset: DataSet, folds: Sequence[int], ratio: float) -> int:
    """The most synthetic images per class that a study draws with `ratio` of them per real training image."""
    return ceil(ratio * max(map(dataset.largest_class, folds)))


def require_all_used(workspace: Workspace, dataset: DataSet, folds: Sequence[int], choice: Choice) -> None:
    """Raise ConfigError where a chosen file or generator serves none of the folds, or two are chosen for one fold.

    Otherwise the choice would have no effect, and the rule would decide.
    """
    chosen = [("--synthetic", str(file), _generator_of(workspace, dataset, file)) for file in choice.files]
    chosen += [("--gan", run.root.name, run) for run in workspace.gans() if run.root.name in choice.gans]
    used: dict[tuple[str, int], str] = {}
    for option, name, run in chosen:
        if run.dataset != dataset.name or run.fold not in folds:
            raise ConfigError(
                f"{option} {name} is of fold {run.fold} of {run.dataset}",
                expected=f"of fold {', '.join(map(str, folds))} of {dataset.name}",
                todo="choose another, or study that fold with --fold",
            )
        other = used.setdefault((option, run.fold), name)
        if other != name:
            raise ConfigError(f"{option} {other} and {name} are both of fold {run.fold}", expected="one for each fold")


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


def synthetics_of(workspace: Workspace, run: GanRun) -> list[tuple[Path, int]]:
    """The synthetic files of a generator and how many images their smallest class has, the last one made at the end.

    Files that cannot be read are skipped.
    """
    found = []
    for path in workspace.synthetics():
        if path.name.startswith(f"{run.root.name}-"):
            try:
                table = read_table(path)
            except UserError:
                continue
            found.append((str(table.attrs.get("created", "")), path.name, path, int(table.class_counts().min())))
    return [(path, fewest) for _, _, path, fewest in sorted(found)]


def _generator_of(workspace: Workspace, dataset: DataSet, file: Path) -> GanRun:
    """The generator that a synthetic file names as its own."""
    table = read_table(file)
    record = read_provenance(table.attrs.get("provenance"), file)
    if record.dataset_fingerprint != dataset.table.fingerprint:
        raise ConfigError(
            f"{file} was made for the data set {record.dataset} ({record.dataset_fingerprint[:12]})",
            expected=f"images for {dataset.name} ({dataset.table.fingerprint[:12]})",
        )
    return workspace.gan(dataset.name, record.fold, record.config_digest)


def config_of(run: GanRun) -> dict[str, Any]:
    """The configuration of a generator; empty where its config.json is missing, malformed or edited."""
    try:
        return require_seal(read_json(run.config), run.config)
    except UserError as error:
        warnings.warn(f"ganaug: {error}; {run.root.name} serves no fold until then", stacklevel=2)
        return {}


def serves(config: dict[str, Any], dataset: DataSet) -> bool:
    """Whether a generator of this configuration is for the data set and the folds as they are."""
    return (config.get("dataset_fingerprint"), config.get("folds_digest")) == (
        dataset.table.fingerprint,
        dataset.folds.digest,
    )
