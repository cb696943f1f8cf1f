"""The plan of a study and its cost, found by timing a few steps of each kind."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from classifiers.fit import fit
from classifiers.models.cross_attention import CrossAttention, PatientSamples
from classifiers.predict import predict
from classifiers.probe import fit_probe
from classifiers.registry import build_seeded
from classifiers.transforms import NUM_ORIENTATIONS
from ganaug.classify.patients import Patients, choose_tiles, digest_of_extractor, images_of_tiles
from ganaug.classify.probes import PROBE, extractor_of, is_probe
from ganaug.classify.task import ClassifierTask
from ganaug.classify.train import build_classifier
from ganaug.config import Compute, StudyConfig, SubtypeConfig
from ganaug.data.dataset import DataSet
from ganaug.data.expression_table import read_expression_table
from ganaug.data.schema import ImageReader
from ganaug.evaluate.extractors.extractor import ExtractorInputs
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.evaluate.features import num_missing
from ganaug.generate.score_supplies import require_scorable
from ganaug.study.admission.admit import design_study, require_buildable
from ganaug.study.admission.guard import origins_of
from ganaug.study.cells import find_cell
from ganaug.study.design import fit_config_of, plan_cells
from ganaug.study.executors.local import num_workers_of
from ganaug.study.executors.registry import EXECUTORS
from ganaug.study.plan.prospect import foresee
from ganaug.study.request import StudyRequest, find_supplies, plan_missing, unserved
from ganaug.study.subtypes import ARMS, Trainings, parts_of
from ganaug.study.subtypes import fit_config_of as fit_config_of_arms
from ganaug.train.cost import estimate_training_cost
from ganaug.workspace import Workspace

NUM_TIMED = 3  # optimiser steps


@dataclass(frozen=True)
class StudyPlan:
    """What a study would do."""

    dataset: str
    folds: tuple[int, ...]
    generators_to_train: tuple[int, ...]  # the fold of each
    classifiers: tuple[str, ...]
    arms: tuple[str, ...]
    unserved_fractions: tuple[float, ...]  # of the real images, whose arms draw from generators of whole folds
    seeds: tuple[int, ...]
    cells: int  # their number
    steps_per_cell: int
    device: str
    workers: int  # cells trained at a time
    seconds: int  # a rough estimate
    smallest_gain: float | None  # of the metric, that four of five such studies would show; None: it cannot answer


def plan_study(workspace: Workspace, request: StudyRequest, compute: Compute) -> StudyPlan:
    """What `run_study` would do; where synthetic images are there, the cells still to be trained are printed.

    Nothing but caches is written. Whatever the run would open is opened, and refused for the same reasons: synthetic
    files, generators, weights.
    """
    dataset, config = request.dataset, request.config
    require_buildable(dataset, config)
    origins_of(dataset, request.folds, config)
    supplies = find_supplies(workspace, request)
    require_scorable(dataset, supplies, extractor=request.extractor, weights_dir=compute.weights_dir)
    served = tuple(dict.fromkeys(supply.fold for supply in supplies))
    if supplies:
        design = design_study(workspace, dataset, supplies, replace(config, folds=served))
        study = design.study(workspace)
        todo = [cell for cell in plan_cells(design) if find_cell(study, cell, dataset) is None]
        for _ in EXECUTORS["dry-run"](workspace, design, compute).run(todo):
            pass
    missing = plan_missing(workspace, request, request.missing) if request.missing else []
    folds = tuple(request.folds) if request.missing else tuple(sorted(served))
    num_workers = num_workers_of(compute)
    networks = [name for name in config.classifiers if not is_probe(name)]
    probes = [name for name in config.classifiers if is_probe(name)]
    per_fold = len(config.arms) * len(config.seeds)
    times = [time_network(name, dataset, config, compute.device) for name in networks]
    of_cells = sum(network.of_training(dataset, config, fold) for network in times for fold in folds)
    of_cells += len(folds) * sum(time_probe(name, dataset, config) for name in probes)
    seconds = per_fold * of_cells / num_workers
    readers = [dataset.images(supply.fold) for supply in supplies]
    readers += [ImageReader(supply.synthetic) for supply in supplies]
    seconds += sum(estimate_extraction(workspace, dataset, readers, name, config, compute.device) for name in probes)
    if missing:
        seconds += estimate_training_cost(missing, compute).seconds
    prospect = foresee(dataset, folds, config, min(request.num_generators, len(config.seeds)))
    return StudyPlan(
        dataset=dataset.name,
        folds=folds,
        generators_to_train=tuple(task.fold for task in missing),
        classifiers=config.classifiers,
        arms=config.arms,
        unserved_fractions=() if missing else tuple(unserved(request, supplies)),
        seeds=config.seeds,
        cells=(per_fold * len(config.classifiers) + len(config.shortcuts)) * len(folds),
        steps_per_cell=config.num_steps,
        device=compute.device,
        workers=num_workers,
        seconds=round(seconds),
        smallest_gain=round(prospect.smallest_gain, 4) if prospect else None,
    )


def estimate_classifiers(tasks: Sequence[ClassifierTask], config: StudyConfig, device: str) -> float:
    """Seconds of these classifiers, which have a name in common, one after the other.

    They are trained, calibrated on the validation images and scored on the test images, both in eight orientations.
    """
    if not tasks:
        return 0.0
    task = tasks[0]
    if not is_probe(task.name):
        network = time_network(task.name, task.dataset, config, device)
        return sum(network.of_training(task.dataset, config, task.fold, is_kept=True) for task in tasks)
    sources = [source for task in tasks for source in task.training.images.sources]
    readers = [source for source in sources if isinstance(source, ImageReader)]
    extraction = estimate_extraction(task.workspace, task.dataset, readers, task.name, config, device)
    return len(tasks) * time_probe(task.name, task.dataset, config) + extraction


@dataclass(frozen=True)
class NetworkTime:
    """Seconds that a network takes."""

    step: float  # one optimiser step
    image: float  # the prediction of one image in one orientation

    def of_training(self, dataset: DataSet, config: StudyConfig, fold: int, *, is_kept: bool = False) -> float:
        """Of a training on a fold: its steps, the validation every few steps, and the test.

        is_kept: as `ganaug.classify.train_stored` does it, which predicts validation and test images once more in the
        eight orientations; else as a cell of a study, which predicts the test images as they lie.
        """
        num_val, num_test = len(dataset.val(fold)), len(dataset.test(fold))
        num_validations = math.ceil(config.num_steps / fit_config_of(config, fold, seed=0).eval_every)
        of_end = NUM_ORIENTATIONS * (num_val + num_test) if is_kept else num_test
        return config.num_steps * self.step + (num_validations * num_val + of_end) * self.image


def time_network(classifier: str, dataset: DataSet, config: StudyConfig, device: str) -> NetworkTime:
    """Time a network, on as many threads as each of the parallel processes would have."""
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
        of_step = (time.perf_counter() - started) / NUM_TIMED
        predict(model, pixels, device=device)
        started = time.perf_counter()
        predict(model, pixels, device=device)
        return NetworkTime(of_step, (time.perf_counter() - started) / len(pixels))
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


# ---- models of tiles and expression ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SubtypeCost:
    """What a comparison of arms would do beyond what is stored."""

    tiles: int  # whose features are to be extracted
    models: int  # to be trained
    seconds: float  # a rough estimate


def estimate_subtypes(
    workspace: Workspace, dataset: DataSet, folds: Sequence[int], config: SubtypeConfig, compute: Compute, keep: str
) -> SubtypeCost:
    """What `compare_arms` would do with these arguments, timed on a batch of tiles and on a few steps of each arm.

    Raises what `read_patients` raises for an extractor or a data set.
    """
    expression, tiles_of = read_expression_table(dataset), choose_tiles(dataset, config.max_tiles)
    taken = np.sort(np.concatenate(list(tiles_of.values())))
    extractor = open_extractor(config.extractor, ExtractorInputs(dataset, folds[0], compute=compute))
    pixels = dataset.images(folds[0])[taken[:16]]
    extractor.features(pixels[:2])
    started = time.perf_counter()
    num_features = extractor.features(pixels).shape[1]
    seconds, tiles = (time.perf_counter() - started) / len(pixels), 0
    for fold in folds if dataset.table.attrs.get("stain") else folds[:1]:
        images = images_of_tiles(workspace, dataset.images(fold), taken, extractor)
        tiles += len(images) * num_missing(workspace, images, extractor, (0,))
    noise = np.random.default_rng(0).normal(size=(config.max_tiles, num_features)).astype(np.float32)
    patients = Patients(
        groups=tuple(tiles_of),
        labels=np.array([dataset.table.label[tiles[0]] for tiles in tiles_of.values()], np.int64),
        samples=PatientSamples(
            [noise[: len(tiles)] for tiles in tiles_of.values()], expression.rows_of(list(tiles_of))
        ),
        class_names=dataset.table.class_names,
        genes=expression.genes,
        extractor=extractor.name,
        extractor_digest=digest_of_extractor(extractor),
    )
    trainings, seconds, models = Trainings(workspace, dataset, config, keep), seconds * tiles, 0
    for arm in ARMS:
        todo = [fold for fold in folds for seed in config.seeds if trainings.find(patients, fold, seed, arm) is None]
        models += len(todo)
        seconds += sum(_time_arm(dataset, patients, fold, arm, config, compute.device) for fold in todo[:1]) * len(todo)
    return SubtypeCost(tiles, models, seconds)


def _time_arm(dataset: DataSet, patients: Patients, fold: int, arm: str, config: SubtypeConfig, device: str) -> float:
    """Seconds of one training of an arm on a fold, with its validations and its test."""
    parts, samples = parts_of(dataset, patients, fold), patients.samples
    shape = {"num_features": samples.tiles[0].shape[1], "num_genes": len(patients.genes)}
    model = build_seeded(ARMS[arm], len(patients.class_names), 0, **shape)
    train, labels = samples.take(parts.train), patients.labels[parts.train]
    assert isinstance(model, CrossAttention)
    model.set_scales(train)
    options = fit_config_of_arms(config, 0, device)
    options = replace(options, batch=max(2, min(config.batch, len(train))))
    fit(model, train, labels, config=replace(options, num_steps=1))
    started = time.perf_counter()
    fit(model, train, labels, config=replace(options, num_steps=NUM_TIMED))
    of_step = (time.perf_counter() - started) / NUM_TIMED
    started = time.perf_counter()
    predict(model, train, device=device)
    of_patient = (time.perf_counter() - started) / len(train)
    num_predicted = math.ceil(config.num_steps / options.eval_every) * len(parts.val) + len(parts.test)
    return config.num_steps * of_step + num_predicted * of_patient
