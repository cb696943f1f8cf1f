"""The refusal of synthetic images that do not fit a data set, or could carry a held-out patient into its training."""

from pathlib import Path

import numpy as np

from ganaug.data.dataset import DataSet
from ganaug.data.hdf5.seals import is_noted, take_note
from ganaug.data.held_out import find_seen, require_none_shown
from ganaug.data.schema import ImageReader, ImageTable, read_table, require_arrays, resolve_patients
from ganaug.errors import ConfigError, DataError, LeakError, private, some_of
from ganaug.provenance import Provenance, Seen, digest_of, read_provenance, require_content
from ganaug.workspace import Workspace

COMPARISON_VERSION = 1  # raise it when the comparison would find more


def admit_synthetic(dataset: DataSet, path: Path, fold: int | None = None) -> tuple[ImageTable, Provenance]:
    """The table and provenance of a synthetic file, once nothing in them speaks against using it for a fold.

    Checked in turn: the record's seal; the pixels and labels against it; data set, folds and the patients the generator
    saw; those that filters of its images were fitted on; classes and resolution. Without `fold`, the fold is the one
    that the record names.

    Raises LeakError, or DataError where the file does not fit the data set.
    """
    table = read_table(path)
    record = read_provenance(table.attrs.get("provenance"), path)
    require_content(record, require_arrays(path, table), path)
    served = record.fold if fold is None else fold
    require_serves(dataset, served, record, path)
    _require_filters_serve(dataset, served, table, path)
    _require_fits(dataset, table, path)
    return table, record


def require_compared(workspace: Workspace, dataset: DataSet, fold: int, path: Path, content: str) -> None:
    """Raise LeakError where an admitted file shows a picture that the fold holds back.

    The comparison takes minutes. It is made once for the same images (`content`), data set and folds, and noted.
    """
    compared = [COMPARISON_VERSION, content, dataset.table.fingerprint, dataset.folds.digest, fold]
    note, values = workspace.checked(digest_of(["held out", *compared])), {"shows_nothing_held_out": compared}
    if not is_noted(note, values):
        require_none_shown(
            dataset,
            fold,
            ImageReader(path),
            path,
            expected="images that the generator made from training patients",
            todo="find out where the file comes from; train the generator and synthesize again",
        )
        take_note(note, values)


def require_serves(dataset: DataSet, fold: int, record: Provenance, path: Path | str) -> None:
    """Raise where a generator may not serve the fold: by its data set, its folds, or by what its record says it saw.

    Patients and images are compared by their keyed digests. Pictures are compared too, by their perceptual hashes, as a
    generator may have begun from one that knew the same pictures under other names.
    """
    if not 0 <= fold < dataset.folds.num_folds:
        raise ConfigError(f"{path} is for fold {fold}", expected=f"a fold from 0 to {dataset.folds.num_folds - 1}")
    if record.dataset_fingerprint != dataset.table.fingerprint:
        raise LeakError(
            f"{path} comes from another data set ({record.dataset}, {record.dataset_fingerprint[:12]})",
            expected=f"the data set {dataset.table.fingerprint[:12]}",
            todo="train its generator on this data set",
        )
    if not record.groups_seen:
        raise LeakError(f"{path} does not say which patients its generator saw", todo="make it again with ganaug")
    require_unseen(dataset, fold, record.seen, path)
    _require_within_fraction(dataset, fold, record.seen, path)
    if record.folds_digest != dataset.folds.digest:
        raise LeakError(
            f"{path} was made for other folds ({record.folds_digest[:12]})",
            expected=f"the folds {dataset.folds.digest[:12]}",
            todo="train its generator on these folds",
        )


def require_unseen(
    dataset: DataSet, fold: int, seen: Seen, path: Path | str, *, unknown_is_refused: bool = True, todo: str = ""
) -> None:
    """Raise LeakError where a patient or a picture was seen that the fold holds back, whatever its name was.

    unknown_is_refused: whether patients are refused whom the data set does not know. todo: the advice; by default that
    for a generator.
    """
    todo = todo or f"use a generator of fold {fold} that began without them (ganaug train-gan --fold {fold})"
    _require_patients(dataset, fold, seen, path, unknown_is_refused, todo)
    _require_pictures(dataset, fold, seen, path, todo)


def _require_patients(
    dataset: DataSet, fold: int, seen: Seen, path: Path | str, unknown_is_refused: bool, todo: str
) -> None:
    """Raise LeakError where a patient outside of the fold's training part was seen, with the names the data set has."""
    name_of = resolve_patients(dataset.table, seen.groups)
    held_out = sorted(set(name_of.values()) - set(dataset.folds.train_groups(fold)))
    if held_out:
        raise LeakError(
            f"{path} comes from a training that saw {some_of([private(name) for name in held_out])}, "
            f"of the validation or test part of fold {fold}",
            expected=f"only training patients of fold {fold}",
            todo=todo,
        )
    unknown = sum(digest not in name_of for digest in seen.groups)
    if unknown and unknown_is_refused:
        raise LeakError(
            f"{path} comes from a training that saw {unknown} patients whom {dataset.name} does not know",
            expected=f"only training patients of fold {fold}",
            todo="train it on this data set alone, or say with train-gan --init-saw what else it began with",
        )


def _require_pictures(dataset: DataSet, fold: int, seen: Seen, path: Path | str, todo: str) -> None:
    """Raise LeakError where a picture of the validation or test part was seen, whatever its patient was called."""
    found = find_seen(dataset, fold, seen)
    if len(found):
        names = [private(name) for name in dataset.table.image_id[found].tolist()]
        raise LeakError(
            f"{path} comes from a training that saw {len(found)} pictures of the validation or test part of fold "
            f"{fold} ({some_of(names)}), maybe under other names",
            expected=f"only pictures of training patients of fold {fold}",
            todo=todo,
        )


def _require_within_fraction(dataset: DataSet, fold: int, seen: Seen, path: Path | str) -> None:
    """Raise LeakError where training images were seen that the data set's fraction of the real images leaves out."""
    digests = dataset.table.image_digests(dataset.rest(fold)) if dataset.real_fraction < 1 else []
    num_known = len(set(digests) & set(seen.images))
    if num_known:
        raise LeakError(
            f"{path} comes from a training that saw {num_known} training images of fold {fold} that the fraction "
            f"{dataset.real_fraction:g} leaves out",
            expected=f"only images of {dataset.title(fold)}",
            todo=f"train a generator with `ganaug train-gan --real-fraction {dataset.real_fraction:g}`",
        )


def _require_filters_serve(dataset: DataSet, fold: int, table: ImageTable, path: Path) -> None:
    """Images may have been picked by training patients only."""
    asked = [name for name, _ in table.attrs.get("synthesis", {}).get("reject", [])]
    filters = table.attrs.get("filters", {})
    if sorted(asked) != sorted(filters):
        raise LeakError(
            f"{path} was filtered by {', '.join(asked) or 'nothing'}",
            expected=f"the records of these filters, not of {', '.join(filters) or 'none'}",
            todo="make it again",
        )
    for name, entry in filters.items():
        source = f"the filter {name} of {path}"
        require_serves(dataset, fold, read_provenance(entry.get("provenance"), source), source)


def _require_fits(dataset: DataSet, table: ImageTable, path: Path) -> None:
    real = dataset.table
    for what, seen, expected in (
        ("the classes", ", ".join(table.class_names), ", ".join(real.class_names)),
        ("images of", f"{table.resolution_px} px", f"{real.resolution_px} px"),
    ):
        if seen != expected:
            raise DataError(f"{path} has {what} {seen}", expected=f"{expected}, as in {dataset.name}")
    if np.any((table.label < 0) | (table.label >= real.num_classes)):
        raise DataError(f"{path} has labels outside its {real.num_classes} classes", todo="make it again")
