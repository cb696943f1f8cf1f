"""The lookup of the synthetic files that serve a fold: one rule, for every command.

Of a generator's synthetic files the rule takes the last one with as many images of each class as are asked for, so
that a small file made later replaces none; where none is large enough, the largest. The order comes from the times
inside the files, never from the file system. Whether a file may be used is checked elsewhere, on its provenance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from ganaug.data.dataset import DataSet
from ganaug.data.schema import read_table
from ganaug.errors import ConfigError, UserError, WorkspaceError
from ganaug.generate.find import (
    NO_CHOICE,
    Choice,
    config_of,
    fraction_of,
    generator_for,
    generators_for,
    siblings_of,
)
from ganaug.provenance import read_provenance
from ganaug.workspace import GanRun, Workspace


@dataclass(frozen=True)
class Supply:
    """The synthetic file that serves a fold, and the generator that made it."""

    fold: int
    run: GanRun
    synthetic: Path
    num_others: int = 0  # further synthetic files that could serve it
    real_fraction: float = 1.0  # of the fold's real images, on which the generator was trained

    def data_of(self, dataset: DataSet) -> DataSet:
        """The data set with no more training images than the generator was shown."""
        return dataset.reduced_to(self.real_fraction)

    @property
    def sentence(self) -> str:
        """Which file was taken, for a note to the user."""
        others = f" (1 of {self.num_others + 1} that could; --synthetic chooses another)" if self.num_others else ""
        of = "" if self.real_fraction == 1 else f"{self.real_fraction:g} of the real images of "
        return f"{of}fold {self.fold} is served by {self.synthetic.name}{others}"


def supply_for(
    workspace: Workspace, dataset: DataSet, fold: int, *, at_least: int = 1, choice: Choice = NO_CHOICE
) -> Supply | None:
    """The synthetic file that serves a fold, if possible with `at_least` images per class; None where there is no file.

    Raises UserError where the chosen file or generator cannot serve it.
    """
    for file in choice.files:
        generator = _generator_of(workspace, dataset, file)
        if generator.fold == fold:
            return Supply(fold, generator, file, real_fraction=fraction_of_file(file))
    run = generator_for(workspace, dataset, fold, choice)
    runs = generators_for(workspace, dataset, fold) if run is None or not choice.gans else [run]
    for candidate in reversed(runs):
        files = synthetics_of(workspace, candidate)
        if files:
            enough = [file for file, fewest in files if fewest >= at_least]
            taken = enough[-1] if enough else max(reversed(files), key=lambda pair: pair[1])[0]
            return Supply(fold, candidate, taken, len(files) - 1, fraction_of_file(taken))
    return None


def supplies_for(
    workspace: Workspace,
    dataset: DataSet,
    folds: Sequence[int],
    *,
    at_least: int = 1,
    choice: Choice = NO_CHOICE,
    num_generators: int = 1,
) -> list[Supply]:
    """The supplies of each fold that has some: of up to `num_generators` generators, fold by fold.

    Raises UserError where a chosen file or generator serves none of the folds, or too many are chosen for one fold.
    """
    require_all_used(workspace, dataset, folds, choice, num_generators)
    of_folds = [_supplies_of(workspace, dataset, fold, at_least, choice, num_generators) for fold in folds]
    return [supply for of_fold in of_folds for supply in of_fold]


def _supplies_of(
    workspace: Workspace, dataset: DataSet, fold: int, at_least: int, choice: Choice, num_generators: int
) -> list[Supply]:
    """The supplies of a fold: the chosen ones; else that of the rule, with those of its generator's siblings."""
    files = [Choice(files=(file,)) for file in choice.files if _generator_of(workspace, dataset, file).fold == fold]
    runs = [run for run in workspace.gans(dataset.name, fold) if run.root.name in choice.gans]
    chosen = files or [Choice(gans=(run.root.name,)) for run in runs]
    if not chosen and num_generators > 1:
        first = supply_for(workspace, dataset, fold, at_least=at_least)
        siblings = siblings_of(first.run, generators_for(workspace, dataset, fold)) if first else []
        chosen = [Choice(gans=(run.root.name,)) for run in siblings]
    found = [supply_for(workspace, dataset, fold, at_least=at_least, choice=each) for each in chosen or [choice]]
    return [supply for supply in found if supply is not None][:num_generators]


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
    require_some(workspace, dataset, supplies, todo)
    return supplies


def require_some(workspace: Workspace, dataset: DataSet, supplies: Sequence[Supply], todo: str) -> None:
    """Raise WorkspaceError, with `todo` as the next step, where there is no supply."""
    if not supplies:
        others = len(workspace.gans(dataset.name))
        of_others = f"; {others} generators there are of other data, other folds or have made none" if others else ""
        raise WorkspaceError(
            f"{workspace.root} holds no synthetic images for the folds of {dataset.name} as it is now prepared"
            f"{of_others}",
            todo=todo,
        )


def num_drawn(dataset: DataSet, folds: Sequence[int], ratio: float) -> int:
    """The most synthetic images per class that a study draws with `ratio` of them per real training image."""
    return ceil(ratio * max(map(dataset.largest_class, folds)))


def require_all_used(
    workspace: Workspace, dataset: DataSet, folds: Sequence[int], choice: Choice, num_generators: int = 1
) -> None:
    """Raise ConfigError where a chosen file or generator serves none of the folds, or too many are chosen for one fold.

    Otherwise the choice would have no effect, and the rule would decide.
    """
    chosen = [("--synthetic", str(file), _generator_of(workspace, dataset, file)) for file in choice.files]
    chosen += [("--gan", run.root.name, run) for run in workspace.gans() if run.root.name in choice.gans]
    used: dict[tuple[str, int], set[str]] = {}
    for option, name, run in chosen:
        if run.dataset != dataset.name or run.fold not in folds:
            raise ConfigError(
                f"{option} {name} is of fold {run.fold} of {run.dataset}",
                expected=f"of fold {', '.join(map(str, folds))} of {dataset.name}",
                todo="choose another, or study that fold with --fold",
            )
        names = used.setdefault((option, run.fold), set())
        names.add(name)
        if len(names) > num_generators:
            expected = f"{num_generators} for each fold" if num_generators > 1 else "one for each fold"
            raise ConfigError(f"{option} {' and '.join(sorted(names))} are all of fold {run.fold}", expected=expected)


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


def choice_of_fraction(workspace: Workspace, choice: Choice, fraction: float) -> Choice:
    """What was chosen of generators that were trained on this fraction of the real images."""
    runs = [run for run in workspace.gans() if run.root.name in choice.gans]
    others = [name for name in choice.gans if name not in {run.root.name for run in runs}]  # refused as unknown
    gans = [run.root.name for run in runs if fraction_of(config_of(run)) == fraction]
    files = [file for file in choice.files if fraction_of_file(file) == fraction]
    return Choice((*gans, *(others if fraction == 1 else [])), tuple(files))


def fraction_of_file(file: Path) -> float:
    """The fraction of the real images that the generator of a synthetic file was trained on, as the file says."""
    return float(read_table(file).attrs.get("real_fraction", 1.0))


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
