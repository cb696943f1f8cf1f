"""The folds of a data set as a CSV to publish; `ganaug.data.folds.listed` says what it holds and reads it back."""

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ganaug.data.dataset import DataSet
from ganaug.data.folds.first_line import first_line_of
from ganaug.data.folds.folds import Folds
from ganaug.data.schema import ImageTable
from ganaug.errors import DataError, private
from ganaug.files import require_output, write_text


def export_folds(dataset: DataSet, out: Path, *, with_ids: bool = False) -> int:
    """Write a row for each image of the source, or of the file where it has no names; returns how many.

    with_ids: name images and patients as the source does, and not by keyed digests, and leave the images in its order.
    Digests can be read back by whoever prepares the same images of the same patients, and by nobody else. A rule in
    other words than `ganaug`'s own, such as that of fixed folds, is withheld with the names: it may hold them.

    Raises WorkspaceError where something other than such a CSV stands at `out`, DataError where a name fits in no CSV.
    """
    require_output(out, ".csv", rb"# \{")
    table, folds = dataset.table, dataset.folds
    if not table.class_counts().any():
        raise DataError(f"{dataset.name} has no labels", expected="a data set with folds")
    about = first_line_of(folds, with_ids=with_ids)
    text = io.StringIO()
    text.write(f"# {json.dumps(about, ensure_ascii=False)}\n")
    writer = csv.writer(text, lineterminator="\n")
    names = ("image", "group") if with_ids else ("image_digest", "group_digest")
    writer.writerow([*names, "class", *fold_columns(folds)])
    rows = list(_named(table) if with_ids else _digests(table))
    parts = _parts_by_group(folds)
    writer.writerows([name, shown, table.class_names[label], *parts[group]] for name, shown, label, group in rows)
    write_text(out, text.getvalue())
    return len(rows)


def fold_columns(folds: Folds) -> list[str]:
    """The names of the columns, in the order of the folds."""
    if folds.num_repeats == 1:
        return [f"fold{fold}" for fold in range(folds.num_folds)]
    per_repeat = folds.num_folds // folds.num_repeats
    return [f"repeat{fold // per_repeat}_fold{fold % per_repeat}" for fold in range(folds.num_folds)]


def _parts_by_group(folds: Folds) -> dict[str, list[str]]:
    """The part of every group in every fold."""
    parts: dict[str, list[str]] = {group: [] for group in folds.groups}
    for fold in range(folds.num_folds):
        for part, groups in folds.parts(fold).items():
            for group in groups:
                parts[group].append(part)
    return parts


def _named(table: ImageTable) -> Iterator[tuple[str, str, int, str]]:
    """Path, patient, label and patient of every image of the source; the tiles of an image are one row."""
    _, first = np.unique(table.path, return_index=True)
    for index in np.sort(first).tolist():
        path, group = str(table.path[index]), str(table.group_id[index])
        for name in (path, group):
            if name != name.strip() or any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
                raise DataError(
                    f"the name {private(repr(name))} cannot stand in a CSV",
                    expected="no control characters, and no spaces around it",
                    todo="export without --with-ids",
                )
        yield path, group, int(table.label[index]), group


def _digests(table: ImageTable) -> Iterator[tuple[str, str, int, str]]:
    """Digests of image and patient, label and patient of every image, in the order of the digests."""
    order = table.in_shared_order(np.arange(len(table)))
    for index, digest in zip(order.tolist(), table.image_digests(order), strict=True):
        group = str(table.group_id[index])
        yield digest, table.patient_digest(group), int(table.label[index]), group
