"""Classifiers to be trained and kept: their images composed as an arm of a study, their weights admitted as there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.names import canonical_name
from classifiers.registry import CLASSIFIERS
from ganaug.checkpoint.snapshot import load_tensors
from ganaug.classify.task import ClassifierTask, InitialWeights, TrainingSet, plan_classifier, require_trainable
from ganaug.classify.train import images_of
from ganaug.config import StudyConfig
from ganaug.config.choices import TREATMENT
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError
from ganaug.generate.supplies import Supply
from ganaug.provenance import Seen, digest_of_file, read_provenance
from ganaug.study.admission.admit import require_buildable
from ganaug.study.admission.guard import admit, has_record, origins_of
from ganaug.study.arms.compose import Context
from ganaug.study.arms.registry import ARMS
from ganaug.study.design import fit_config_of, seeds_of
from ganaug.workspace import Workspace


def name_classifier(name: str) -> str:
    """The one way to write the name of a classifier that can be trained and kept; raises ConfigError."""
    try:
        canonical = canonical_name(name, CLASSIFIERS)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    require_trainable(canonical)
    return canonical


def plan_classifiers(
    workspace: Workspace,
    dataset: DataSet,
    folds: Sequence[int],
    config: StudyConfig,
    supplies: Sequence[Supply] = (),
) -> list[ClassifierTask]:
    """The classifier of each fold, once nothing speaks against its images and weights; nothing is written.

    `config` holds one classifier and one seed: what a cell of a study with these options would train. With `supplies`,
    one for each fold, the images are those of the arm real+synthetic, else real ones alone.

    Raises ConfigError, DataError or LeakError as a study would, for weights that do not fit as well.
    """
    (name,), (seed,) = config.classifiers, config.seeds
    require_trainable(name)
    file = dict(config.pretrained).get(name)
    require_buildable(dataset, config)
    origins = origins_of(dataset, folds, config)
    served = {supply.fold: supply for supply in supplies}
    missing = [str(fold) for fold in folds if supplies and fold not in served]
    if missing:
        raise ConfigError(
            f"no synthetic images for fold {', '.join(missing)} of {dataset.name}",
            todo="make them with `ganaug train-gan --fold K` and `ganaug synthesize`, or choose a fold with --fold",
        )
    sha256 = digest_of_file(Path(file)) if file else ""
    tasks = []
    for fold in folds:
        seeds = seeds_of(fold, seed)
        weights = InitialWeights(seeds.weights, Path(file) if file else None, sha256, origins.get(name, ""))
        training = _compose(workspace, dataset, fold, config, served.get(fold))
        training = _add_weights(training, weights.path, sha256, dict(config.pretrained_saw).get(name))
        fit = fit_config_of(config, fold, seed)
        tasks.append(plan_classifier(workspace, dataset, fold, name, training=training, weights=weights, fit=fit))
    return tasks


def _compose(
    workspace: Workspace, dataset: DataSet, fold: int, config: StudyConfig, supply: Supply | None
) -> TrainingSet:
    """The images of a fold, with those of the synthetic file that serves it once that is admitted."""
    if supply is None:
        return TrainingSet(images_of(dataset, fold, dataset.train(fold)))
    admitted, arm = admit(workspace, dataset, supply), ARMS[TREATMENT]
    context = Context(
        dataset=dataset,
        train=dataset.train(fold),
        supply=admitted,
        ratio=arm.ratio_of(config.ratio),
        rng=np.random.default_rng(seeds_of(fold, config.seeds[0]).draw),
    )
    record = admitted.provenance
    about: dict[str, Any] = {"file": admitted.file_name, "content": record.content, "ratio": config.ratio}
    return TrainingSet(arm.compose(context), arm.name, record.seen, record.declared, about)


def _add_weights(training: TrainingSet, path: Path | None, sha256: str, saw: str | None) -> TrainingSet:
    """The training set with what the initial weights had seen: by their record, and by the user's word."""
    if path is None:
        return training
    seen, declared = Seen(), list(training.declared)
    if has_record(path):
        record = read_provenance(load_tensors(path)[1].get("provenance"), path)
        seen, declared = record.seen, [*declared, *record.declared]
    if saw:
        declared.append(f"weights {sha256[:12]}: {' '.join(saw.split())}")
    return TrainingSet(training.images, training.kind, training.seen | seen, tuple(declared), training.about)
