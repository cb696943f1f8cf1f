"""What is trained and synthesized for want of it, before a study: the folds that no synthetic images serve yet."""

from collections.abc import Sequence
from pathlib import Path

from ganaug.config import Compute, GanConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.generate.find import NO_CHOICE, Choice, Supply, require_all_used, supplies_for, supply_for
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.train.loop import train_gans
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace


def train_missing(
    workspace: Workspace,
    dataset: DataSet,
    folds: Sequence[int],
    gan: GanConfig,
    synthesis: SynthesisConfig,
    *,
    jobs: int | None = None,
    device: str = "cpu",
    weights_dir: Path | None = None,
    progress: bool = False,
    choice: Choice = NO_CHOICE,
) -> list[Supply]:
    """Train and synthesize for every fold that has no synthetic images yet, and return what then serves all of them."""
    require_all_used(workspace, dataset, folds, choice)
    missing = [fold for fold in folds if supply_for(workspace, dataset, fold, choice=choice) is None]
    tasks = [plan_training(workspace, dataset, fold, gan) for fold in missing]
    compute = Compute(device, jobs, weights_dir, progress)
    for run in train_gans(tasks, compute):
        synthesize(plan_synthesis(workspace, run, synthesis), compute=compute)
    return supplies_for(workspace, dataset, folds, at_least=synthesis.per_class, choice=choice)
