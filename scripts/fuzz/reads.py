"""The calls with which ganaug reads a file: each takes a copy of a template and the mutated file in it."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from custom_ops.native import cache
from fuzz.artefacts import CLASSIFIER, EXTRACTOR, FOLD, GAN, STUDY
from ganaug.checkpoint.initial_weights import load_pretrained
from ganaug.checkpoint.snapshot import best_ema, load_snapshot
from ganaug.classify.predict.predict import predict_images
from ganaug.classify.predict.seen import dataset_of
from ganaug.classify.predict.tables import write_tables
from ganaug.classify.predict.user_images import list_images
from ganaug.classify.stored import find_classifier, open_classifier_run
from ganaug.classify.train_stored import train_stored
from ganaug.config import Compute, FoldsConfig, PrepareConfig
from ganaug.data import schema
from ganaug.data.dataset import DataSet, TrainingImages, default_dataset, open_dataset
from ganaug.data.export import export_zip, select
from ganaug.data.folds.folds import balance_table
from ganaug.data.prepare.pipeline import plan_preparation, prepare_dataset
from ganaug.data.synthetic_file import read_record, read_rows
from ganaug.errors import UserError, WeightsError
from ganaug.evaluate.extractors.trained_classifier import open_classifier
from ganaug.evaluate.features import features_of
from ganaug.evaluate.judge_file import open_case, score_case
from ganaug.generate.find import Choice, config_of, generator_for
from ganaug.generate.supplies import Supply, supply_for
from ganaug.inspect import describe, write_sheet
from ganaug.provenance import require_seal, sealed
from ganaug.study.admission.admit import design_study, require_buildable
from ganaug.study.admission.guard import admit, origins_of
from ganaug.study.cells import load_cell
from ganaug.study.design import plan_cells
from ganaug.study.looks import other_looks, warning_of
from ganaug.study.run import evaluate_augmentation
from ganaug.study.training_set import plan_classifiers
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.saving.lock import run_lock
from ganaug.train.saving.publish import sample_row
from ganaug.train.saving.resume import drop_lines_after, resume_latest
from ganaug.train.state import new_state
from ganaug.train.task import plan_training
from ganaug.weights import find_weights, read_weights, survey
from ganaug.workspace import GanRun, Workspace, creation_time, moment, open_workspace, read_json, read_jsonl

Read = Callable[[Path, Path], object]  # the copy of the template, the mutated file in it


def prepare_source(dataset: str, source: str = "", *, pixels: bool = True, **options: Any) -> Read:
    """`ganaug prepare` of a source in the copy; options that are paths begin with a slash, and lie in the copy too."""

    def read(root: Path, path: Path) -> object:
        given: dict[str, Any] = {
            name: str(root / value[1:]) if str(value)[:1] == "/" else value for name, value in options.items()
        }
        split, listed = given.pop("split", ""), given.pop("folds_csv", "")
        folds = FoldsConfig(num_folds=3, scheme="fixed" if split else "k-fold", fixed=split, folds_csv=listed)
        config = PrepareConfig(dataset, str(root / source), resolution_px=16, folds=folds, **given)
        if not pixels:
            return plan_preparation(config)
        prepared = prepare_dataset(open_workspace(root.with_name("prepared")), config)
        return prepared.folds and balance_table(prepared.table, prepared.folds)

    return read


def _world(root: Path) -> tuple[Workspace, DataSet, GanRun, Path]:
    workspace = open_workspace(root)
    run, synthetic = next(iter(workspace.gans()), None), next(iter(workspace.synthetics()), None)
    if run is None or synthetic is None:
        raise UserError("the generator or its images are gone, for whoever looks for them")
    return workspace, open_dataset(workspace, "phantom"), run, synthetic


def read_dataset(root: Path, path: Path) -> object:
    workspace = open_workspace(root)
    workspace.datasets(), default_dataset(workspace)
    dataset = open_dataset(workspace, "phantom")
    balance_table(dataset.table, dataset.folds)
    for fold in range(dataset.folds.num_folds):
        if len(dataset.train(fold)):
            TrainingImages(dataset, fold, 4, 0).batch_at(1)
        dataset.table.seen(dataset.test(fold)), dataset.val(fold), dataset.largest_class(fold)
    plan_training(workspace, dataset, FOLD, GAN).provenance(0.0)
    export_zip(select(dataset.path, 0, "train"), root / "out.zip")
    return dataset.reader[np.arange(len(dataset.table))]


def read_synthetic(root: Path, path: Path) -> object:
    workspace, dataset, run, _ = _world(root)
    supply_for(workspace, dataset, FOLD, at_least=2)
    for rows in read_rows(path):
        len(rows)
    read_record(path, schema.read_table(path))
    supply_for(workspace, dataset, FOLD, choice=Choice(files=(path,)))
    admit(workspace, dataset, Supply(FOLD, run, path))
    return score_case(open_case(workspace, dataset, path, run), EXTRACTOR)


def read_snapshot(root: Path, path: Path) -> object:
    workspace, dataset, run, synthetic = _world(root)
    load_pretrained(path)
    snapshot = load_snapshot(path)
    for label in range(min(snapshot.config.network.num_classes, 2)):
        sample_row(snapshot.generator, label, torch.device("cpu"))
    plan_training(workspace, dataset, FOLD, GAN, init=path)
    return admit(workspace, dataset, Supply(FOLD, run, synthetic))


def read_state(root: Path, path: Path) -> object:
    workspace, dataset, run, _ = _world(root)
    task = plan_training(workspace, dataset, FOLD, GAN)
    with run_lock(run, ProcessGroup()):
        state = new_state(GAN, ProcessGroup())
        resume_latest(task, state)
    drop_lines_after(run, state.num_images)
    return state.p


def read_run(root: Path, path: Path) -> object:
    workspace, dataset, run, _ = _world(root)
    config_of(run), creation_time(run.config), best_ema(run), read_jsonl(run.metrics), workspace.gans()
    generator_for(workspace, dataset, FOLD), supply_for(workspace, dataset, FOLD)
    drop_lines_after(run, 16)
    with run_lock(run, ProcessGroup()):
        return best_ema(run)


def read_study(root: Path, path: Path) -> object:
    """The study again: what is done is read, not done again. A cell that was refused would be trained: it is not."""
    workspace, dataset, run, synthetic = _world(root)
    supplies = [Supply(FOLD, run, synthetic)]
    design = design_study(workspace, dataset, supplies, STUDY)
    if any(load_cell(design.study(workspace), cell, dataset) is None for cell in plan_cells(design)):
        raise UserError(f"a cell, {path.name}, is refused")
    return evaluate_augmentation(workspace, dataset, supplies, STUDY, compute=Compute(num_workers=1))


def read_looks(root: Path, path: Path) -> object:
    workspace, dataset, _, _ = _world(root)
    tested = [dataset.table.patient_digest(group) for group in dataset.folds.groups]
    looks = other_looks(workspace, "another", tested)
    return warning_of(looks, moment(after=map(creation_time, workspace.root.glob("studies/*/design.json"))))


def read_start_weights(root: Path, path: Path) -> object:
    dataset = open_dataset(Workspace(root.parent.parent / "templates" / "workspace"), "phantom")
    with suppress(WeightsError):
        read_weights(path)
    config = replace(STUDY, pretrained=((CLASSIFIER, str(path)),), pretrained_saw=((CLASSIFIER, "nothing"),))
    origins_of(dataset, [FOLD], config)
    require_buildable(dataset, config)
    return config


def read_recorded(root: Path, path: Path) -> object:
    _, dataset, _, _ = _world(root)
    config = replace(STUDY, pretrained=((CLASSIFIER, str(path)),))
    origins_of(dataset, [FOLD], config)
    require_buildable(dataset, config)
    return config


def read_published(root: Path, path: Path) -> object:
    survey(root)
    return find_weights(root, "squeezenet")


def read_extractor(root: Path, path: Path) -> object:
    _, dataset, _, _ = _world(root)
    if not path.exists():
        raise UserError(f"there is no file {path}")
    classifier = open_classifier(path, dataset, FOLD)
    return classifier.embed(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


def read_classifier(root: Path, path: Path) -> object:
    """The classifier opened and found finished. One that was refused would be trained again: it is not."""
    workspace, dataset, _, _ = _world(root)
    (task,) = plan_classifiers(workspace, dataset, [FOLD], STUDY)
    opened = open_classifier_run(find_classifier(workspace))
    images = dataset.images(FOLD)[np.arange(2)]
    return opened.probabilities(images), train_stored(task).scores


def predict_source(source: str = "", patients: str = "") -> Read:
    """`ganaug predict` of images in the copy, with the classifier of the templates."""

    def read(root: Path, path: Path) -> object:
        stored = open_classifier_run(find_classifier(Workspace(root.parent.parent / "templates" / "workspace")))
        table = root / patients if patients else None
        found = list_images(root / source, stored.class_names, layout="class/patient", patients=table)
        return write_tables(root / "out" / "predictions.csv", predict_images(stored, found, dataset=dataset_of(stored)))

    return read


def read_caches(root: Path, path: Path) -> object:
    workspace, dataset, _, _ = _world(root)
    dataset.reader[np.arange(2)]
    return features_of(workspace, dataset.images(FOLD), EXTRACTOR)


def read_operators(root: Path, path: Path) -> object:
    os.environ["GANAUG_OPS_CACHE"] = str(root)
    target: Any = SimpleNamespace(name="cpu-0123")
    built = cache.find(target)
    return built and built.age


def read_signed(root: Path, path: Path) -> object:
    os.environ["GANAUG_KEY"] = str(root.parent.parent / "templates" / "keys" / "ganaug.key")
    try:
        return require_seal(read_json(path), path)
    finally:
        del os.environ["GANAUG_KEY"]


def read_key(root: Path, path: Path) -> object:
    os.environ["GANAUG_KEY"] = str(path)
    try:
        return require_seal(sealed({"a": 1}), path)
    finally:
        del os.environ["GANAUG_KEY"]


def inspect_file(root: Path, path: Path) -> object:
    description = describe(path)
    if path.suffix in (".h5", ".safetensors"):
        write_sheet(path, root / "sheet.png")
    return description
