"""The main job from a data set to a report: supply every fold with synthetic images, score them, run the study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from ganaug.config import GanConfig, StudyConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.data.synthetic import admit_synthetic
from ganaug.errors import WorkspaceError
from ganaug.evaluate.extractors.extractor import Setting
from ganaug.evaluate.extractors.registry import available, open_extractor
from ganaug.evaluate.gan import evaluate_gan
from ganaug.generate.find import NO_CHOICE, Choice, Supply, supplies_for
from ganaug.study.run import Outcome, evaluate_augmentation
from ganaug.study.supply import train_missing
from ganaug.weights import find_weights
from ganaug.workspace import Workspace


@dataclass(frozen=True)
class Job:
    """What the study is to be done with; `recipe` says how to train what is missing, or is None to do without."""

    dataset: DataSet
    folds: Sequence[int]
    config: StudyConfig
    recipe: tuple[GanConfig, SynthesisConfig] | None = None
    extractor: str | None = None
    weights_dir: Path | None = None
    choice: Choice = NO_CHOICE  # of generators and synthetic files in place of what `ganaug.generate.find` takes


def run_job(
    workspace: Workspace,
    job: Job,
    *,
    jobs: int | None = None,
    device: str = "cpu",
    progress: bool = False,
    say: Callable[[str], None] = lambda note: None,
) -> Outcome:
    """Do what is not done yet of the whole job, and report.

    Without a recipe the study is of the folds that have synthetic images. `say` is told which files serve. Raises
    WorkspaceError where no fold has any.
    """
    require_scorable(job, existing_supplies(workspace, job))
    supplies = supply(workspace, job, jobs=jobs, device=device, progress=progress)
    for served in supplies:
        say(f"note: {served.sentence}")
    scores = score_images(workspace, job, supplies, device=device, progress=progress)
    config = replace(job.config, folds=tuple(supply.fold for supply in supplies))
    synthetic = {supply.fold: supply.synthetic for supply in supplies}
    return evaluate_augmentation(
        workspace, job.dataset, synthetic, config, image_scores=scores, jobs=jobs, device=device, progress=progress
    )


def supply(
    workspace: Workspace, job: Job, *, jobs: int | None = None, device: str = "cpu", progress: bool = False
) -> list[Supply]:
    """What serves each fold; trained and synthesized now where the job has a recipe and it is missing."""
    if job.recipe is None:
        return existing_supplies(workspace, job)
    gan, synthesis = job.recipe
    return train_missing(
        workspace,
        job.dataset,
        job.folds,
        gan,
        replace(synthesis, per_class=num_wanted(job)),
        jobs=jobs,
        device=device,
        weights_dir=job.weights_dir,
        progress=progress,
        choice=job.choice,
    )


def existing_supplies(workspace: Workspace, job: Job) -> list[Supply]:
    """What serves the folds already; raises WorkspaceError where that is nothing and the job trains nothing either."""
    supplies = supplies_for(workspace, job.dataset, job.folds, at_least=num_wanted(job), choice=job.choice)
    if not supplies and job.recipe is None:
        others = len(workspace.gans(job.dataset.name))
        of_others = f"; {others} generators there are of other data, other folds or have made none" if others else ""
        raise WorkspaceError(
            f"{workspace.root} holds no synthetic images for the folds of {job.dataset.name} as it is now prepared"
            f"{of_others}",
            todo="run `ganaug train-gan` and `ganaug synthesize`, or add --train-missing",
        )
    return supplies


def num_wanted(job: Job) -> int:
    """The synthetic images per class that the arms draw at most, or as many as the recipe makes where that is more."""
    drawn = ceil(job.config.ratio * max(map(job.dataset.largest_class, job.folds)))
    return max(drawn, job.recipe[1].per_class) if job.recipe else drawn


def require_scorable(job: Job, supplies: Sequence[Supply]) -> None:
    """Raise what `score_images` would raise of a synthetic file or of missing weights, before hours of training."""
    extractor = job.extractor or available(job.weights_dir)[0]
    if extractor != "classifier":  # which is trained when it is needed
        find_weights(job.weights_dir, extractor)
    for supply in supplies:
        admit_synthetic(job.dataset, supply.synthetic, supply.fold)


def score_images(
    workspace: Workspace, job: Job, supplies: Sequence[Supply], *, device: str, progress: bool
) -> list[dict[str, Any]]:
    """The scores of every fold's synthetic images, all with the same kind of extractor."""
    rows = []
    for supply in supplies:
        setting = Setting(job.dataset, supply.fold, supply.run, job.weights_dir, device)
        extractor = open_extractor(job.extractor, setting)
        rows += evaluate_gan(
            workspace,
            job.dataset,
            supply.synthetic,
            supply.run,
            extractor=extractor,
            weights_dir=job.weights_dir,
            progress=progress,
        )
    return rows
