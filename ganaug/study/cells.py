"""One cell: train a classifier on an arm, predict the fold's test patients, keep both where a later run finds them."""

import shutil
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.mixture import Mixture
from ganaug.data.schema import ImageReader, read_table
from ganaug.errors import CorruptFile, LeakError, UserError
from ganaug.provenance import digest_of_bytes, digest_of_file, require_seal, sealed
from ganaug.study.arms import ARMS, Context
from ganaug.study.design import Cell, Design, recipe_of, seeds_of
from ganaug.workspace import NUMBER, TEXT, Study, Workspace, atomic_path, is_record, read_json, write_json

_OF_SCORES = {"num_images": (int,), "by_image": (dict,), "by_patient": (dict,)}
_OF_CELL = {"seconds": NUMBER, "num_steps": (int,), "best_step": (int,), "device": TEXT, "initial_weights": TEXT}


@dataclass(frozen=True)
class CellResult:
    """What a finished cell left: its record, and its predictions on test images that no training ever saw."""

    cell: Cell
    record: dict[str, Any]  # the cell's JSON: scores, steps, seconds, digest of the initial weights, class counts
    probs: np.ndarray  # f32 [N, K]
    labels: np.ndarray  # i64 [N]
    groups: np.ndarray  # text [N], keyed digests of the patients
    image_ids: np.ndarray  # text [N], keyed digests of the images


def compose(dataset: DataSet, design: Design, cell: Cell) -> Mixture:
    """The training images of a cell; raises DataError where the synthetic file has too few of a class."""
    synthetic = design.synthetic[cell.fold].path
    context = Context(
        dataset=dataset,
        fold=cell.fold,
        train=dataset.train(cell.fold),
        synthetic=ImageReader(synthetic),
        synthetic_labels=read_table(synthetic).label,
        ratio=design.config.ratio,
        rng=np.random.default_rng(seeds_of(cell.fold, cell.seed).draw),
    )
    return ARMS[cell.arm].compose(context)


def run_cell(workspace: Workspace, design: Design, cell: Cell, device: str = "cpu") -> None:
    """Train, test and write one cell; the JSON comes last, so a cell that has one is complete."""
    from classifiers.fit import fit
    from classifiers.predict import predict
    from classifiers.registry import seeded_build
    from classifiers.scores import score

    dataset, seeds = open_dataset(workspace, design.dataset), seeds_of(cell.fold, cell.seed)
    table, test = dataset.table, find_tested(dataset, cell.fold)
    mixture = compose(dataset, design, cell)
    validation = _part(dataset, cell.fold, dataset.val(cell.fold))
    weights = dict(design.config.pretrained).get(cell.classifier)
    model = seeded_build(
        cell.classifier,
        table.num_classes,
        seeds.weights,
        image_size_px=table.resolution_px,
        weights=Path(weights) if weights else None,
    )
    initial = digest_of_bytes(tensor.numpy().tobytes() for tensor in model.state_dict().values())
    recipe = recipe_of(design.config, cell.fold, cell.seed, device)
    fitted = fit(model, mixture, mixture.labels, val=(validation, validation.labels), config=recipe)
    probs = predict(model, _part(dataset, cell.fold, test), device=device)
    tested = tested_images(dataset, cell.fold)

    study = design.study(workspace)
    with atomic_path(study.predictions(cell.name)) as part, part.open("wb") as file:
        np.savez(file, probs=probs, labels=tested["labels"], groups=tested["groups"], image_ids=tested["image_ids"])
    record = {
        **vars(cell),
        "predictions": digest_of_file(study.predictions(cell.name)),
        "initial_weights": initial,
        "num_steps": recipe.num_steps,
        "best_step": fitted.best_step,
        "seconds": round(fitted.seconds, 2),
        "device": device,
        "train_images": dict(zip(table.class_names, np.bincount(mixture.labels, minlength=table.num_classes).tolist())),
        "history": fitted.history,
        "scores": score(tested["labels"], probs, tested["groups"].tolist(), table.class_names),
    }
    write_json(study.cell(cell.name), sealed(record))


def find_tested(dataset: DataSet, fold: int) -> np.ndarray:
    """The images under test in a fold, i64 [n], in the order of their digests.

    The order of the data set is mostly that of the patients' names: to whoever knows these it would tell who is who.
    """
    return dataset.table.in_shared_order(dataset.test(fold))


def tested_images(dataset: DataSet, fold: int) -> dict[str, np.ndarray]:
    """The images under test in a fold: their labels, and their patients and themselves by keyed digests."""
    table, test = dataset.table, find_tested(dataset, fold)
    names, position = np.unique(table.group_id[test], return_inverse=True)
    patients = np.array([table.patient_digest(name) for name in names.tolist()])
    return {
        "labels": table.label[test],
        "groups": patients[position],
        "image_ids": np.array(table.image_digests(test)),
    }


def load_cell(study: Study, cell: Cell, dataset: DataSet) -> CellResult | None:
    """A finished cell, or None where it is missing, corrupt, edited, or of another cell or other test images.

    What is there and is not what was written is also said, as it will be trained again.
    """
    path = study.predictions(cell.name)
    if not study.cell(cell.name).exists():
        return None
    try:
        record = require_seal(read_json(study.cell(cell.name)), study.cell(cell.name))
        told = {name: record[name] for name in vars(cell)}
        if told != vars(cell) or record["predictions"] != digest_of_file(path):
            raise LeakError(f"{study.cell(cell.name)} is of another cell or other predictions")
        _require_record(record, dataset, study.cell(cell.name))
        return CellResult(cell, record, **_predictions(path, dataset, cell.fold))
    except (UserError, OSError, KeyError, TypeError) as error:
        warnings.warn(f"ganaug: {error}; this cell is trained again", stacklevel=2)
        return None


def _require_record(record: dict[str, Any], dataset: DataSet, path: Path) -> None:
    """Raise CorruptFile where a cell's record lacks something that the report shows, or has it of another kind."""
    scores, images = record.get("scores"), record.get("train_images")
    sides = [scores[side] for side in ("by_image", "by_patient")] if scores and is_record(scores, _OF_SCORES) else []
    are_scores = bool(sides) and all(is_record(side, {"overall": (dict, NoneType)}) for side in sides)
    are_counts = is_record(images, dict.fromkeys(dataset.table.class_names, (int,)))
    if not (is_record(record, _OF_CELL) and are_scores and are_counts):
        raise CorruptFile(f"{path} is no record of a cell as ganaug writes it", todo="remove it")


def _predictions(path: Path, dataset: DataSet, fold: int) -> dict[str, np.ndarray]:
    """The arrays of a cell, once they are the probabilities of the images that the fold tests.

    Raises CorruptFile, LeakError where they are of other images.
    """
    expected = tested_images(dataset, fold)
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                raise CorruptFile(f"{path} is packed, as no file of predictions is", todo="remove it")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name]) for name in ("probs", *expected)}
    except (UserError, OSError):
        raise
    except Exception as error:  # NumPy parses the headers as Python literals, which fails in many ways
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CorruptFile(f"{path} is truncated or corrupt ({reason})", todo="remove it") from error
    if any(not np.array_equal(arrays[name], values) for name, values in expected.items()):
        raise LeakError(f"{path} is of other test images than fold {fold} has")
    probs, shape = arrays["probs"], (len(expected["labels"]), dataset.table.num_classes)
    if probs.shape != shape or probs.dtype != np.float32 or not _are_probabilities(probs):
        raise CorruptFile(f"{path} holds {probs.dtype} {list(probs.shape)}", expected=f"probabilities {list(shape)}")
    return arrays


def _are_probabilities(probs: np.ndarray) -> bool:
    return bool(np.isfinite(probs).all() and (probs >= 0).all() and np.allclose(probs.sum(1), 1, atol=1e-3))


def adopt_cell(workspace: Workspace, study: Study, cell: Cell, dataset: DataSet) -> CellResult | None:
    """A finished cell of this study, else a copy of the one from an earlier study whose digest says it is the same."""
    found = load_cell(study, cell, dataset)
    if found is not None:
        return found
    for twin in study.root.parent.glob(f"*/cells/{cell.name}.json"):
        other = Study(twin.parent.parent)
        if other.root == study.root or load_cell(other, cell, dataset) is None:
            continue
        for source, target in (
            (other.predictions(cell.name), study.predictions(cell.name)),
            (other.cell(cell.name), study.cell(cell.name)),
        ):
            with atomic_path(target) as part:
                shutil.copyfile(source, part)
        return load_cell(study, cell, dataset)
    return None


def _part(dataset: DataSet, fold: int, indices: np.ndarray) -> Mixture:
    return Mixture.of([(dataset.images(fold), indices, dataset.table.label[indices])])
