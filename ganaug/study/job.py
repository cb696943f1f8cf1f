"""The main job from a data set to a report: supply every fold with synthetic images, score them, run the study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ganaug.config import Compute, GanConfig, StudyConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.generate.find import NO_CHOICE, Choice, Supply, num_drawn, require_supplies, supplies_for
from ganaug.generate.score_supplies import require_scorable, score_images
from ganaug.study.augmentation import Outcome, evaluate_augmentation
from ganaug.study.supply import train_missing
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
    require_scorable(
        job.dataset, existing_supplies(workspace, job), extractor=job.extractor, weights_dir=job.weights_dir
    )
    supplies = supply(workspace, job, jobs=jobs, device=device, progress=progress)
    for served in supplies:
        say(f"note: {served.sentence}")
    compute = Compute(device, weights_dir=job.weights_dir, progress=progress)
    scores = score_images(workspace, job.dataset, supplies, extractor=job.extractor, compute=compute)
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
    if job.recipe is not None:
        return supplies_for(workspace, job.dataset, job.folds, at_least=num_wanted(job), choice=job.choice)
    todo = "run `ganaug train-gan` and `ganaug synthesize`, or add --train-missing"
    at_least = num_wanted(job)
    return require_supplies(workspace, job.dataset, job.folds, at_least=at_least, choice=job.choice, todo=todo)


def num_wanted(job: Job) -> int:
    """The synthetic images per class that the arms draw at most, or as many as the recipe makes where that is more."""
    drawn = num_drawn(job.dataset, job.folds, job.config.ratio)
    return max(drawn, job.recipe[1].per_class) if job.recipe else drawn
