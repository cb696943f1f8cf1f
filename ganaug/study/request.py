"""A study as it is asked for: supply every fold with synthetic images, score them, run the study."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from classifiers.names import canonical_name
from classifiers.registry import CLASSIFIERS
from ganaug import presets
from ganaug.checkpoint.builtin import default_weights
from ganaug.config import Compute, GanConfig, StudyConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, WorkspaceError
from ganaug.generate.find import NO_CHOICE, Choice
from ganaug.generate.score_supplies import require_scorable, score_images
from ganaug.generate.supplies import (
    Supply,
    choice_of_fraction,
    num_drawn,
    require_all_used,
    require_some,
    supplies_for,
    synthetics_of,
)
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.parallel.shards import WHOLE, Shard
from ganaug.study.arms.registry import draws, find_arm, most_added
from ganaug.study.run import Outcome, evaluate_augmentation, train_shard
from ganaug.train.loop import train_gans
from ganaug.train.task import Task, plan_training
from ganaug.weights import WEIGHTS, find_weights, published_name
from ganaug.workspace import Workspace


@dataclass(frozen=True)
class MissingConfig:
    """How the generators and the synthetic images of folds that have none are made."""

    gan: GanConfig
    synthesis: SynthesisConfig
    init: Path | None = None  # weights that the generators begin with


@dataclass(frozen=True)
class StudyRequest:
    """What a study is asked to do, and with what."""

    dataset: DataSet
    folds: Sequence[int]
    config: StudyConfig  # its folds are those of the request that have synthetic images
    missing: MissingConfig | None = None  # None: folds without synthetic images are left out
    needs_all: bool = False  # a fold without synthetic images is an error, where none are to be made
    num_generators: int = 1  # of each fold, at most one per seed
    needs_generators: bool = False  # fewer of a fold are an error, where none are to be made
    shard: Shard = WHOLE  # whose cells are trained; only without missing generators
    extractor: str | None = None  # of the image scores; None: the best that is available
    choice: Choice = NO_CHOICE  # of generators and synthetic files in place of what `ganaug.generate.find` takes

    @property
    def most_added(self) -> float:
        """Synthetic images per real one that the arms draw, at most."""
        return most_added(self.config.arms, self.config.ratio)

    @property
    def fractions(self) -> list[float]:
        """The fractions of the real images for which arms draw synthetic ones, the largest first."""
        arms = map(find_arm, self.config.arms)
        return sorted({arm.fraction for arm in arms if draws(arm)} - {1.0}, reverse=True)


def missing_config(preset: str, dataset: DataSet, compute: Compute, total_kimg: float | None = None) -> MissingConfig:
    """How a preset trains and synthesizes for this data set; None trains as long as the preset does."""
    resolution = dataset.table.resolution_px
    gan = presets.gan(preset, resolution, dataset.table.num_classes, compute.device)
    gan = gan if total_kimg is None else replace(gan, total_kimg=total_kimg)
    return MissingConfig(gan, presets.synthesis(preset), default_weights(preset, resolution, compute.device))


def add_published_weights(config: StudyConfig, compute: Compute) -> StudyConfig:
    """The study with the published weights of the classifiers that have some; `none` in place of a file draws them.

    Names of classifiers with switches are written in their one way, so that equal ones have equal digests. Raises
    WeightsError where weights are missing or are something else, ConfigError for a name or a switch that is unknown.
    """
    config = _with_canonical_names(config)
    given = dict(config.pretrained)
    published = {
        name: str(find_weights(compute.weights_dir, published_name(name)))
        for name in config.classifiers
        if published_name(name) in WEIGHTS and name not in given
    }
    pairs = tuple((name, file) for name, file in (given | published).items() if file != "none")
    return replace(config, pretrained=pairs)


def _with_canonical_names(config: StudyConfig) -> StudyConfig:
    def write(name: str) -> str:
        return canonical_name(name, CLASSIFIERS)

    try:
        return replace(
            config,
            classifiers=tuple(map(write, config.classifiers)),
            pretrained=tuple((write(name), file) for name, file in config.pretrained),
            pretrained_saw=tuple((write(name), text) for name, text in config.pretrained_saw),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def run_study(
    workspace: Workspace,
    request: StudyRequest,
    compute: Compute,
    print_note: Callable[[str], None] = lambda note: None,
) -> Outcome | None:
    """Do all of the request that is not done yet, and report; `print_note` gets a line on each file that serves.

    None where only a shard was asked for and cells of others lack still: the last shard to end writes the report.

    Raises WorkspaceError where no fold has synthetic images and none are to be made.
    """
    supplies = find_supplies(workspace, request)
    require_scorable(request.dataset, supplies, extractor=request.extractor, weights_dir=compute.weights_dir)
    if request.missing is not None:
        supplies = make_missing(workspace, request, request.missing, compute)
    for supply in supplies:
        print_note(f"note: {supply.sentence}")
    for fraction in unserved(request, supplies):
        print_note(f"note: {fraction:g} of the real images have no generators of their own: those of whole folds serve")
    config = replace(request.config, folds=tuple(dict.fromkeys(supply.fold for supply in supplies)))
    if request.shard != WHOLE and not train_shard(
        workspace, request.dataset, supplies, config, compute=compute, shard=request.shard
    ):
        return None
    whole = [supply for supply in supplies if supply.real_fraction == 1]
    score = partial(score_images, workspace, request.dataset, whole, extractor=request.extractor, compute=compute)
    return evaluate_augmentation(workspace, request.dataset, supplies, config, compute=compute, score=score)


def make_missing(workspace: Workspace, request: StudyRequest, config: MissingConfig, compute: Compute) -> list[Supply]:
    """Train and synthesize the generators that folds and their fractions lack, and return what then serves all."""
    dataset, folds = request.dataset, request.folds
    _require_all_used(workspace, request)
    tasks = plan_missing(workspace, request, config)
    for task, run in zip(tasks, train_gans(tasks, compute), strict=True):
        drawn = num_drawn(dataset.reduced_to(task.config.real_fraction), folds, request.most_added)
        synthesis = replace(config.synthesis, per_class=max(drawn, config.synthesis.per_class))
        synthesize(plan_synthesis(workspace, run, synthesis), compute=compute)
    return find_supplies(workspace, request)


def plan_missing(workspace: Workspace, request: StudyRequest, config: MissingConfig) -> list[Task]:
    """The trainings of the generators that lack: of one configuration, their seeds and fractions apart."""
    tasks: list[Task] = []
    for fraction in (1.0, *request.fractions):
        have = Counter(supply.fold for supply in _supplies_of(workspace, request, fraction))
        few = [fold for fold in request.folds if have[fold] < request.num_generators]
        gan = replace(config.gan, real_fraction=fraction)
        configs = [replace(gan, seed=gan.seed + k) for k in range(request.num_generators)]
        todo = [(fold, each) for fold in few for each in configs]
        tasks += [plan_training(workspace, request.dataset, fold, each, config.init) for fold, each in todo]
    return [task for task in tasks if not synthetics_of(workspace, task.run)]


def find_supplies(workspace: Workspace, request: StudyRequest) -> list[Supply]:
    """The synthetic files that serve the folds now, of as many generators for each fold where none are to be made.

    At the end those that serve fractions of the real images, where there are as many for each fold as of all of them;
    else those of all real images serve these arms as well, see `unserved`.

    Raises WorkspaceError where there are none, or too few, and none are to be made.
    """
    _require_all_used(workspace, request)
    whole = _supplies_of(workspace, request, 1.0)
    if request.missing is None:
        whole = _as_many_of_each_fold(workspace, request, whole)
    wanted = Counter(supply.fold for supply in whole)
    found = list(whole)
    for fraction in request.fractions:
        of_folds = _by_fold(_supplies_of(workspace, request, fraction))
        if all(len(of_folds.get(fold, ())) >= wanted[fold] for fold in wanted):
            found += [supply for fold in wanted for supply in of_folds[fold][: wanted[fold]]]
    return found


def unserved(request: StudyRequest, supplies: Sequence[Supply]) -> list[float]:
    """The fractions of the real images that no generator of their own serves."""
    served = {supply.real_fraction for supply in supplies}
    return [fraction for fraction in request.fractions if fraction not in served]


def _supplies_of(workspace: Workspace, request: StudyRequest, fraction: float) -> list[Supply]:
    """What serves the folds of generators that were trained on this fraction of the real images."""
    dataset, folds = request.dataset.reduced_to(fraction), request.folds
    return supplies_for(
        workspace,
        dataset,
        folds,
        at_least=num_drawn(dataset, folds, request.most_added),
        choice=choice_of_fraction(workspace, request.choice, fraction),
        num_generators=request.num_generators,
    )


def _by_fold(supplies: Sequence[Supply]) -> dict[int, list[Supply]]:
    folds = dict.fromkeys(supply.fold for supply in supplies)
    return {fold: [each for each in supplies if each.fold == fold] for fold in folds}


def _require_all_used(workspace: Workspace, request: StudyRequest) -> None:
    """Raise ConfigError where a chosen file or generator would have no effect."""
    fractions = (1.0, *request.fractions)
    used = [choice_of_fraction(workspace, request.choice, fraction) for fraction in fractions]
    for choice in used:
        require_all_used(workspace, request.dataset, request.folds, choice, request.num_generators)
    for name in (*request.choice.gans, *request.choice.files):
        if not any(name in (*choice.gans, *choice.files) for choice in used):
            raise ConfigError(
                f"{name} is of a generator of a part of the real images, which no arm asks for",
                todo="add its fraction with --real-fraction, or choose another",
            )


def _as_many_of_each_fold(workspace: Workspace, request: StudyRequest, supplies: list[Supply]) -> list[Supply]:
    """The supplies of as many generators for each fold; raises WorkspaceError where there are none, or too few."""
    dataset = request.dataset
    todo = "run `ganaug train-gan` and `ganaug synthesize`, or add --train-missing"
    require_some(workspace, dataset, supplies, todo)
    have = Counter(supply.fold for supply in supplies)
    without = [str(fold) for fold in request.folds if not have[fold]]
    if request.needs_all and without:
        raise WorkspaceError(f"fold {', '.join(without)} of {dataset.name} has no synthetic images", todo=todo)
    fewest = min(have.values())
    if request.needs_generators and fewest < request.num_generators:
        few = ", ".join(f"{number} for fold {fold}" for fold, number in have.items() if number < request.num_generators)
        raise WorkspaceError(
            f"{dataset.name} has synthetic images of too few generators: {few}",
            expected=f"{request.num_generators} for each fold, which differ by their seed alone",
            todo="train with other seeds by `ganaug train-gan --generators`, synthesize, or add --train-missing",
        )
    return [supply for of_fold in _by_fold(supplies).values() for supply in of_fold[:fewest]]
