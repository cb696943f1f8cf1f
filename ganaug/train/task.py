"""What one generator is trained on, how, and where it is kept; decided before anything is trained."""

import platform
from dataclasses import dataclass

import torch

from ganaug.config import GanConfig, to_dict
from ganaug.data.dataset import DataSet
from ganaug.errors import DataError
from ganaug.provenance import Provenance, digest_of
from ganaug.train.state import resumable_config
from ganaug.workspace import GanRun, Workspace, write_json


@dataclass(frozen=True)
class Task:
    """One generator to train."""

    dataset: DataSet
    fold: int
    config: GanConfig
    run: GanRun
    digest: str  # of all that decides the state, so not of how long to train

    def provenance(self, kimg: float) -> Provenance:
        """The record that the generator carries: it is shown the fold's training groups, and no others."""
        return Provenance(
            dataset=self.dataset.name,
            dataset_fingerprint=self.dataset.table.fingerprint,
            folds_digest=self.dataset.folds.digest,
            fold=self.fold,
            groups_seen=tuple(sorted(set(self.dataset.table.group_id[self.dataset.train(self.fold)].tolist()))),
            config_digest=self.digest,
            kimg=kimg,
        )


def plan_training(workspace: Workspace, dataset: DataSet, fold: int, config: GanConfig) -> Task:
    """Resolve a task: the same data, folds, fold and configuration lead to the same folder, and so to its state."""
    num_images = len(dataset.train(fold))
    if num_images < config.batch:
        raise DataError(
            f"fold {fold} of {dataset.name} has {num_images} training images",
            expected=f"at least one batch of {config.batch}",
            todo="use a smaller --batch",
        )
    digest = digest_of([resumable_config(config), dataset.table.fingerprint, dataset.folds.digest, fold])
    return Task(dataset, fold, config, workspace.gan(dataset.name, fold, digest), digest)


def describe(task: Task) -> None:
    """Write what is fixed at the start: the configuration, what it is trained on, and the environment."""
    write_json(task.run.environment, {"python": platform.python_version(), "torch": torch.__version__})
    known = task.provenance(kimg=0.0).to_dict()
    names = ("dataset", "dataset_fingerprint", "folds_digest", "fold", "config_digest")
    write_json(
        task.run.config,
        {name: known[name] for name in names}
        | {"class_names": list(task.dataset.table.class_names), "config": to_dict(task.config)},
    )
