"""One training run of a study: composed, trained, tested, and kept where a later run finds it."""

import shutil
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from classifiers.scores import score
from ganaug.classify.fold import train_and_test
from ganaug.classify.predictions import Predictions, read_predictions, write_predictions
from ganaug.classify.probes import PROBE, is_probe
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.folds.by_image import divide_by_image
from ganaug.data.mixture import Mixture
from ganaug.errors import CorruptFile, LeakError, UserError
from ganaug.provenance import require_seal, sealed
from ganaug.study.arms.compose import Context
from ganaug.study.arms.registry import find_arm
from ganaug.study.design import Cell, Design, fit_config_of, seeds_of
from ganaug.study.maps import keeps_maps, write_maps
from ganaug.workspace import NUMBER, TEXT, Study, Workspace, atomic_path, is_record, read_json, write_json

_OF_SCORES = {"num_images": (int,), "by_image": (dict,), "by_patient": (dict,)}
_OF_CELL = {"seconds": NUMBER, "num_steps": (int,), "best_step": (int,), "device": TEXT, "initial_weights": TEXT}


@dataclass(frozen=True)
class CellRecord:
    """How a cell went: with the cell's own fields, the content of its JSON."""

    predictions: str  # digest of the file of predictions
    initial_weights: str  # digest of the weights that the training began with
    num_steps: int
    best_step: int  # the step whose weights were tested
    seconds: float
    device: str
    train_images: dict[str, int]  # by class
    history: list[dict[str, float]]  # the course of the training, see `classifiers.fit.FitResult`
    scores: dict[str, Any]  # of the predictions, see `classifiers.scores.score`


@dataclass(frozen=True)
class CellResult:
    """A finished cell: its record, and its predictions on test images that no training ever saw."""

    cell: Cell
    record: CellRecord
    predictions: Predictions


def compose(dataset: DataSet, design: Design, cell: Cell) -> Mixture:
    """The training images of a cell; raises DataError where the synthetic file has too few of a class."""
    arm = find_arm(cell.arm)
    reduced = dataset.reduced_to(arm.fraction)
    context = Context(
        dataset=dataset,
        train=reduced.train(cell.fold),
        rest=reduced.rest(cell.fold),
        supply=design.supply_of(cell.fold, cell.seed, arm.fraction),
        external=design.external.get(cell.fold),
        leaky=design.leaky.get((cell.fold, cell.seed)),
        ratio=arm.ratio_of(design.config.ratio),
        rng=np.random.default_rng(seeds_of(cell.fold, cell.seed).draw),
    )
    return arm.compose(context)


def run_cell(workspace: Workspace, design: Design, cell: Cell, device: str = "cpu") -> None:
    """Train, test and write one cell; the JSON comes last, so a cell that has one is complete."""
    dataset, study = open_dataset(workspace, design.dataset), design.study(workspace)
    dataset = divide_by_image(dataset) if design.by_image else dataset
    table, images = dataset.table, compose(dataset, design, cell)
    config = fit_config_of(design.config, cell.fold, cell.seed, device, arm=cell.arm)
    trained, tested = train_and_test(
        workspace,
        dataset,
        cell.fold,
        cell.classifier,
        images,
        config,
        seed=seeds_of(cell.fold, cell.seed).weights,
        weights=design.config.weights_of(cell.classifier),
    )
    if keeps_maps(design, cell):
        write_maps(study.maps(cell.name), trained.model, dataset, cell, tested)
    counts = np.bincount(images.labels, minlength=table.num_classes).tolist()
    record = CellRecord(
        predictions=write_predictions(study.predictions(cell.name), tested),
        initial_weights=trained.initial_weights,
        num_steps=PROBE.num_steps if is_probe(cell.classifier) else config.num_steps,
        best_step=trained.result.best_step,
        seconds=round(trained.result.seconds, 2),
        device=device,
        train_images=dict(zip(table.class_names, counts, strict=True)),
        history=trained.result.history,
        scores=score(tested.labels, tested.probs, tested.groups.tolist(), table.class_names),
    )
    write_json(study.cell(cell.name), sealed({**vars(cell), **vars(record)}))


def load_cell(study: Study, cell: Cell, dataset: DataSet) -> CellResult | None:
    """A finished cell, or None where it is missing, corrupt, edited, or of another cell or other test images.

    Where it is there and is refused, a warning says why, as it will be trained again.
    """
    path, predictions = study.cell(cell.name), study.predictions(cell.name)
    if not path.exists():
        return None
    try:
        values = require_seal(read_json(path), path)
        stored = {name: values[name] for name in vars(cell)}
        if stored != vars(cell):
            raise LeakError(f"{path} is of another cell")
        record = _read_record(values, dataset, path)
        return CellResult(cell, record, read_predictions(predictions, dataset, cell.fold, record.predictions))
    except (UserError, OSError, KeyError, TypeError) as error:
        warnings.warn(f"ganaug: {error}; this cell is trained again", stacklevel=2)
        return None


def _read_record(values: dict[str, Any], dataset: DataSet, path: Path) -> CellRecord:
    """The record of a cell; raises CorruptFile where it lacks something that the report shows, or has another type."""
    scores, images = values.get("scores"), values.get("train_images")
    sides = [scores[side] for side in ("by_image", "by_patient")] if scores and is_record(scores, _OF_SCORES) else []
    are_scores = bool(sides) and all(is_record(side, {"overall": (dict, NoneType)}) for side in sides)
    are_counts = is_record(images, dict.fromkeys(dataset.table.class_names, (int,)))
    if not (is_record(values, _OF_CELL) and are_scores and are_counts):
        raise CorruptFile(f"{path} is no record of a cell as ganaug writes it", todo="remove it")
    return CellRecord(**{field.name: values[field.name] for field in fields(CellRecord)})


def find_cell(study: Study, cell: Cell, dataset: DataSet) -> tuple[Study, CellResult] | None:
    """A finished cell and the study that holds it: this one, else an earlier one; the digest says it is the same."""
    earlier = (Study(path.parent.parent) for path in study.root.parent.glob(f"*/cells/{cell.name}.json"))
    for holder in (study, *(other for other in earlier if other.root != study.root)):
        result = load_cell(holder, cell, dataset)
        if result is not None:
            return holder, result
    return None


def adopt_cell(study: Study, cell: Cell, dataset: DataSet) -> CellResult | None:
    """A finished cell, which is copied from an earlier study where this one has none."""
    found = find_cell(study, cell, dataset)
    if found is None or found[0].root == study.root:
        return found and found[1]
    other, _ = found
    for file in ("maps", "predictions", "cell"):
        source, target = getattr(other, file)(cell.name), getattr(study, file)(cell.name)
        if source.exists():
            with atomic_path(target) as part:
                shutil.copyfile(source, part)
    return load_cell(study, cell, dataset)
