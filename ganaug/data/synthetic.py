"""The refusal of synthetic images that do not fit a data set, or could carry a held-out patient into its training."""

from pathlib import Path

import numpy as np

from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageTable, content_digest, read_table
from ganaug.errors import ConfigError, DataError, LeakError
from ganaug.provenance import Provenance, read_provenance, require_content, require_no_leak


def admit_synthetic(dataset: DataSet, path: Path, fold: int | None = None) -> tuple[ImageTable, Provenance]:
    """The table and provenance of a synthetic file, once nothing in them speaks against using it for a fold.

    Checked in turn: the record's seal; the pixels and labels against it; data set, folds and the patients the generator
    saw; those that filters of its images were fitted on; classes and resolution. Without `fold`, the fold is the one
    that the record names.

    Raises LeakError, or DataError where the file does not fit the data set.
    """
    table = read_table(path)
    record = read_provenance(table.attrs.get("provenance"), path)
    require_content(record, content_digest(path), path)
    served = record.fold if fold is None else fold
    require_serves(dataset, served, record, path)
    _require_filters_serve(dataset, served, table, path)
    _require_fits(dataset, table, path)
    return table, record


def require_serves(dataset: DataSet, fold: int, record: Provenance, path: Path | str) -> None:
    """Raise where a generator, as its record tells, may not serve the fold."""
    if not 0 <= fold < dataset.folds.num_folds:
        raise ConfigError(f"{path} is for fold {fold}", expected=f"a fold from 0 to {dataset.folds.num_folds - 1}")
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


def _require_filters_serve(dataset: DataSet, fold: int, table: ImageTable, path: Path) -> None:
    """Images may have been picked by training patients only."""
    asked = [name for name, _ in table.attrs.get("synthesis", {}).get("reject", [])]
    filters = table.attrs.get("filters", {})
    if sorted(asked) != sorted(filters):
        raise LeakError(
            f"{path} was filtered by {', '.join(asked) or 'nothing'}",
            expected=f"the records of these filters, not of {', '.join(filters) or 'none'}",
            todo="make it anew",
        )
    for name, told in filters.items():
        source = f"the filter {name} of {path}"
        require_serves(dataset, fold, read_provenance(told.get("provenance"), source), source)


def _require_fits(dataset: DataSet, table: ImageTable, path: Path) -> None:
    real = dataset.table
    for what, seen, expected in (
        ("the classes", ", ".join(table.class_names), ", ".join(real.class_names)),
        ("images of", f"{table.resolution_px} px", f"{real.resolution_px} px"),
    ):
        if seen != expected:
            raise DataError(f"{path} has {what} {seen}", expected=f"{expected}, as in {dataset.name}")
    if np.any((table.label < 0) | (table.label >= real.num_classes)):
        raise DataError(f"{path} has labels outside its {real.num_classes} classes", todo="make it anew")
