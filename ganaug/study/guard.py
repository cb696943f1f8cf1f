"""The refusal, before anything is trained, of synthetic images that could carry a test patient into the training."""

from pathlib import Path

import numpy as np

from ganaug.checkpoint import digest_of_tensors, load_tensors
from ganaug.data.dataset import DataSet
from ganaug.data.schema import content_digest, open_images, read_table
from ganaug.errors import DataError, LeakError
from ganaug.provenance import Provenance, read_provenance, require_content, require_no_leak
from ganaug.workspace import Workspace


def admit(workspace: Workspace, dataset: DataSet, fold: int, path: Path) -> Provenance:
    """The provenance of a synthetic file, once nothing speaks against using it for this fold.

    Checked in turn: the record's seal; the pixels and labels against it; data set, folds and the patients the generator
    saw; classes and resolution; and the generator's own snapshot where the workspace still has it.

    Raises LeakError, or DataError where the file does not fit the data set.
    """
    with open_images(path) as file:
        text = file.attrs.get("provenance")
    record = read_provenance(text, path)
    require_content(record, content_digest(path), path)
    _require_serves(dataset, fold, record, path)
    _require_fits(dataset, path)
    _require_snapshot_agrees(workspace, dataset, fold, record, path)
    return record


def _require_serves(dataset: DataSet, fold: int, record: Provenance, path: Path) -> None:
    require_no_leak(
        record,
        source=path,
        dataset_fingerprint=dataset.table.fingerprint,
        folds_digest=dataset.folds.digest,
        fold=fold,
        train_groups=dataset.folds.train_groups(fold),
    )
    if not record.groups_seen:
        raise LeakError(f"{path} does not say which patients its generator saw", todo="make it anew with ganaug")


def _require_fits(dataset: DataSet, path: Path) -> None:
    table, real = read_table(path), dataset.table
    for what, seen, expected in (
        ("the classes", ", ".join(table.class_names), ", ".join(real.class_names)),
        ("images of", f"{table.resolution_px} px", f"{real.resolution_px} px"),
    ):
        if seen != expected:
            raise DataError(f"{path} has {what} {seen}", expected=f"{expected}, as in {dataset.name}")
    if np.any((table.label < 0) | (table.label >= real.num_classes)):
        raise DataError(f"{path} has labels outside its {real.num_classes} classes", todo="make it anew")


def _require_snapshot_agrees(workspace: Workspace, dataset: DataSet, fold: int, record: Provenance, path: Path) -> None:
    """The images' record and the snapshot's own were written apart; where both are at hand they must tell the same."""
    snapshot = workspace.gan(dataset.name, fold, record.config_digest).ema(record.kimg)
    if not snapshot.exists():
        return
    tensors, metadata = load_tensors(snapshot)
    own = read_provenance(metadata.get("provenance"), snapshot)
    require_content(own, digest_of_tensors(tensors), snapshot)
    if own.content != record.generator:
        raise LeakError(
            f"{path} was made by the generator {record.generator[:12]}",
            expected=f"{own.content[:12]}, which is in {snapshot}",
            todo="synthesize anew",
        )
    _require_serves(dataset, fold, own, snapshot)
    if own.groups_seen != record.groups_seen:
        raise LeakError(
            f"{path} and its generator {snapshot} name different patients",
            expected=f"the same {len(own.groups_seen)}, not {len(record.groups_seen)}",
            todo="synthesize anew",
        )
