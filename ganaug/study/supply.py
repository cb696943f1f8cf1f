"""Where a study's synthetic images come from: what the workspace holds for a fold, and what is trained for want of it.

Only generators of this very data set and these very folds are looked at; whether they may be used is for the guard.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganaug.config import GanConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.synthesize import plan_synthesis, synthesize
from ganaug.train.loop import train_gans
from ganaug.train.task import plan_training
from ganaug.workspace import TEXT, GanRun, Workspace, read_json_object


@dataclass(frozen=True)
class Supply:
    """What serves one fold."""

    fold: int
    run: GanRun
    synthetic: Path


def find_supplies(workspace: Workspace, dataset: DataSet, folds: Sequence[int]) -> list[Supply]:
    """The newest synthetic file of the newest generator of each fold; folds that have none are left out."""
    return [supply for fold in folds if (supply := _newest(workspace, dataset, fold))]


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
) -> list[Supply]:
    """Train and synthesize for every fold that has no synthetic images yet, and return what then serves all of them."""
    missing = [fold for fold in folds if _newest(workspace, dataset, fold) is None]
    tasks = [plan_training(workspace, dataset, fold, gan) for fold in missing]
    for run in train_gans(tasks, jobs=jobs, device=device, progress=progress, weights_dir=weights_dir):
        synthesize(plan_synthesis(workspace, run, synthesis), device=device, progress=progress)
    return find_supplies(workspace, dataset, folds)


def _newest(workspace: Workspace, dataset: DataSet, fold: int) -> Supply | None:
    for run in reversed(workspace.gans(dataset.name, fold)):
        config = read_json_object(run.config, {"dataset_fingerprint": TEXT, "folds_digest": TEXT})
        serves = (config["dataset_fingerprint"], config["folds_digest"])
        if serves != (dataset.table.fingerprint, dataset.folds.digest):
            continue
        files = [path for path in workspace.synthetics() if path.name.startswith(f"{run.root.name}-")]
        if files:
            return Supply(fold, run, files[-1])
    return None
