"""The plan of a study and its cost, found by timing a few steps of each kind."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from classifiers.fit import fit
from classifiers.probe import fit_probe
from classifiers.transforms import NUM_ORIENTATIONS
from ganaug.classify.probes import PROBE, extractor_of, is_probe
from ganaug.classify.task import ClassifierTask
from ganaug.classify.train import build_classifier
from ganaug.config import Compute, StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageReader
from ganaug.evaluate.features import num_missing
from ganaug.generate.score_supplies import require_scorable
from ganaug.study.cells import find_cell
from ganaug.study.design import fit_config_of, plan_cells
from ganaug.study.executors.local import num_workers_of
from ganaug.study.executors.registry import EXECUTORS
from ganaug.study.guard import origins_of
from ganaug.study.request import StudyRequest, find_supplies
from ganaug.study.run import design_study, require_buildable
from ganaug.train.cost import estimate_training_cost
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace

NUM_TIMED = 3  # optimiser steps


@dataclass(frozen=True)
class StudyPlan:
    """What a study would do."""

    dataset: str
    folds: tuple[int, ...]
    generators_to_train: tuple[int, ...]  # their folds
    classifiers: tuple[str, ...]
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: int  # their number
    steps_per_cell: int
    device: str
    workers: int  # cells trained at a time
    seconds: int  # a rough estimate


def plan_study(workspace: Workspace, request: StudyRequest, compute: Compute) -> StudyPlan:
    """What `run_study` would do; where synthetic images are there, the cells still to be trained are printed.

    Nothing is written. Whatever the run would open is opened, and refused for the same reasons: synthetic files,
    generators, weights.
    """
    dataset, config = request.dataset, request.config
    require_buildable(dataset, config)
    origins_of(dataset, request.folds, config)
    supplies = find_supplies(workspace, request)
    require_scorable(dataset, supplies, extractor=request.extractor, weights_dir=compute.weights_dir)
    served = tuple(supply.fold for supply in supplies)
    if supplies:
        design = design_study(workspace, dataset, supplies, replace(config, folds=served))
        study = design.study(workspace)
        todo = [cell for cell in plan_cells(design) if find_cell(study, cell, dataset) is None]
        for _ in EXECUTORS["dry-run"](workspace, design, compute).run(todo):
            pass
    missing = tuple(fold for fold in request.folds if fold not in served) if request.missing else ()
    folds = tuple(request.folds) if request.missing else tuple(sorted(served))
    runs_per_classifier, num_workers = len(config.arms) * len(config.seeds) * len(folds), num_workers_of(compute)
    networks = [name for name in config.classifiers if not is_probe(name)]
    probes = [name for name in config.classifiers if is_probe(name)]
    of_cells = config.num_steps * sum(time_step(name, dataset, config, compute.device) for name in networks)
    of_cells += sum(time_probe(name, dataset, config) for name in probes)
    seconds = runs_per_classifier * of_cells / num_workers
    readers = [dataset.images(supply.fold) for supply in supplies]
    readers += [ImageReader(supply.synthetic) for supply in supplies]
    seconds += sum(estimate_extraction(workspace, dataset, readers, name, config, compute.device) for name in probes)
    if request.missing and missing:
        tasks = [plan_training(workspace, dataset, fold, request.missing.gan) for fold in missing]
        seconds += estimate_training_cost(tasks, compute).seconds
    return StudyPlan(
        dataset=dataset.name,
        folds=folds,
        generators_to_train=missing,
        classifiers=config.classifiers,
        arms=config.arms,
        seeds=config.seeds,
        cells=runs_per_classifier * len(config.classifiers),
        steps_per_cell=config.num_steps,
        device=compute.device,
        workers=num_workers,
        seconds=round(seconds),
    )


def estimate_classifiers(tasks: Sequence[ClassifierTask], config: StudyConfig, device: str) -> float:
    """Seconds of the training of these classifiers, which have a name in common, one after the other."""
    if not tasks:
        return 0.0
    task = tasks[0]
    if not is_probe(task.name):
        return len(tasks) * config.num_steps * time_step(task.name, task.dataset, config, device)
    sources = [source for task in tasks for source in task.training.images.sources]
    readers = [source for source in sources if isinstance(source, ImageReader)]
    extraction = estimate_extraction(task.workspace, task.dataset, readers, task.name, config, device)
    return len(tasks) * time_probe(task.name, task.dataset, config) + extraction


def time_step(classifier: str, dataset: DataSet, config: StudyConfig, device: str) -> float:
    """Seconds of one optimiser step, measured on as many threads as each of the parallel processes would have."""
    threads, weights = torch.get_num_threads(), dict(config.pretrained).get(classifier)
    model = build_classifier(dataset, classifier, seed=0, weights=Path(weights) if weights else None)
    options = fit_config_of(config, fold=0, seed=0, device=device)
    batch = dataset.train(0)[: config.batch]
    pixels, labels = dataset.images(0)[batch], dataset.table.label[batch]
    torch.set_num_threads(1 if device == "cpu" else threads)
    try:
        fit(model, pixels, labels, config=replace(options, num_steps=1))
        started = time.perf_counter()
        fit(model, pixels, labels, config=replace(options, num_steps=NUM_TIMED))
        return (time.perf_counter() - started) / NUM_TIMED
    finally:
        torch.set_num_threads(threads)


def time_probe(classifier: str, dataset: DataSet, config: StudyConfig) -> float:
    """Seconds of one probe on one thread, measured on random features of as many images as the largest arm has."""
    extractor = extractor_of(classifier, config.weights_of(classifier))
    num_features = extractor.features(dataset.images(0)[dataset.train(0)[:2]]).shape[1]
    num_train, val = round((1 + config.ratio) * len(dataset.train(0))), dataset.val(0)
    rng, num_classes = np.random.default_rng(0), dataset.table.num_classes
    rows = rng.normal(size=(num_train, num_features)).astype(np.float32)
    views = rng.normal(size=(NUM_ORIENTATIONS, len(val), num_features)).astype(np.float32)
    labels = np.arange(num_train) % num_classes
    started = time.perf_counter()
    fit_probe(rows, labels, val=(views, dataset.table.label[val]), num_classes=num_classes, config=PROBE)
    return time.perf_counter() - started


def estimate_extraction(
    workspace: Workspace,
    dataset: DataSet,
    readers: Sequence[ImageReader],
    classifier: str,
    config: StudyConfig,
    device: str,
) -> float:
    """Seconds of the extraction of all features of these files that are not stored yet, in the eight orientations."""
    extractor = extractor_of(classifier, config.weights_of(classifier), device)
    first = dataset.images(0)[dataset.train(0)[:16]]
    started = time.perf_counter()
    extractor.features(first)
    per_image = (time.perf_counter() - started) / len(first)
    missing = {
        (reader.path, reader.dataset): len(reader) * num_missing(workspace, reader, extractor, range(NUM_ORIENTATIONS))
        for reader in readers
    }
    return per_image * sum(missing.values())
