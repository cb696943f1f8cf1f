"""Group-disjoint folds: the groups are cut into parts; fold k tests part k, validates on k + 1, trains on the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ganaug.config import FoldsConfig
from ganaug.data.partition import partition
from ganaug.data.schema import ImageTable
from ganaug.errors import DataError, FoldsError, LeakError
from ganaug.provenance import digest_of
from ganaug.workspace import read_json, write_json

FEWEST_FOLDS = 3  # train, validation and test part are disjoint


@dataclass(frozen=True)
class Folds:
    """A partition of the groups of one data set."""

    dataset_fingerprint: str
    seed: int
    parts: tuple[tuple[str, ...], ...]  # group ids, each group in exactly one part
    scheme: str = "group-k-fold"

    @property
    def num_folds(self) -> int:
        return len(self.parts)

    def test_groups(self, fold: int) -> tuple[str, ...]:
        return self.parts[fold]

    def val_groups(self, fold: int) -> tuple[str, ...]:
        return self.parts[(fold + 1) % self.num_folds]

    def train_groups(self, fold: int) -> tuple[str, ...]:
        held_out = {fold, (fold + 1) % self.num_folds}
        return tuple(group for part in range(self.num_folds) if part not in held_out for group in self.parts[part])

    @cached_property
    def digest(self) -> str:
        return digest_of([self.dataset_fingerprint, self.scheme, self.seed, [list(part) for part in self.parts]])


def make_folds(table: ImageTable, config: FoldsConfig, way_out: str = "") -> Folds:
    """Cut the groups evenly into parts that each hold every class; raises FoldsError where they do not allow it.

    `way_out` is a further offer for the message of that error.
    """
    groups, counts = _count(table.label, table.group_id, table.num_classes)
    part = _partition_or_explain(counts, table.class_names, config, way_out)
    parts = tuple(tuple(groups[part == index].tolist()) for index in range(config.num_folds))
    return Folds(dataset_fingerprint=table.fingerprint, seed=config.seed, parts=parts)


def check_feasible(
    labels: np.ndarray, groups: np.ndarray, class_names: Sequence[str], config: FoldsConfig, way_out: str = ""
) -> None:
    """Raise FoldsError, with the arithmetic and what is possible instead, where `make_folds` could not succeed.

    labels i64 [N] and groups text [N] are known before any pixel is.
    """
    _partition_or_explain(_count(labels, groups, len(class_names))[1], class_names, config, way_out)


def _count(labels: np.ndarray, groups: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The sorted group ids [G] and their images per class, i64 [G,K]."""
    names, row = np.unique(groups, return_inverse=True)
    cells = np.bincount(row * num_classes + labels, minlength=len(names) * num_classes)
    return names, cells.reshape(len(names), num_classes)


def _partition_or_explain(
    counts: np.ndarray, class_names: Sequence[str], config: FoldsConfig, way_out: str
) -> np.ndarray:
    part = partition(counts, config.num_folds, np.random.default_rng([config.seed, config.num_folds]))
    if part is not None:
        return part
    held_by = dict(zip(class_names, (counts > 0).sum(axis=0).tolist()))
    short = [
        f"{name} has {held} patient{'s' * (held != 1)}" for name, held in held_by.items() if held < config.num_folds
    ]
    offers = [*_offers(counts, class_names, config.num_folds), *([way_out] if way_out else [])]
    raise FoldsError(
        ", ".join(short) or f"no cut into {config.num_folds} parts was found in which every part holds every class",
        expected=f"at least {config.num_folds} patients of every class for {config.num_folds} folds",
        todo="use " + ", or ".join(offers) if offers else "bring images of more patients",
    )


def _offers(counts: np.ndarray, class_names: Sequence[str], num_folds: int) -> list[str]:
    """Options that do work: fewer folds, fewer classes, or fewer of both; each was tried on the groups."""
    held_by = (counts > 0).sum(axis=0)
    offers = []
    for folds, fewest in ((num_folds - 1, 0), (num_folds, num_folds), (num_folds - 1, FEWEST_FOLDS)):
        kept = held_by >= fewest
        most = min(folds, int(held_by[kept].min(initial=folds)))
        possible = next((k for k in range(most, FEWEST_FOLDS - 1, -1) if _works(counts[:, kept], k)), None)
        if kept.sum() < 2 or possible is None:
            continue
        left_out = [f"--exclude-class {name}" for name, keep in zip(class_names, kept) if not keep]
        offers.append(" ".join([f"--folds {possible}", *left_out]))
    return list(dict.fromkeys(offers))


def _works(counts: np.ndarray, num_parts: int) -> bool:
    return partition(counts[counts.any(axis=1)], num_parts, np.random.default_rng(num_parts)) is not None


def write_folds(path: Path, folds: Folds) -> None:
    """Write the folds as JSON that carries its own digest."""
    write_json(
        path,
        {
            "rule": "fold k tests part k, validates on part k + 1 and trains on the rest",
            "scheme": folds.scheme,
            "seed": folds.seed,
            "dataset_fingerprint": folds.dataset_fingerprint,
            "parts": [list(part) for part in folds.parts],
            "digest": folds.digest,
        },
    )


def read_folds(path: Path, table: ImageTable) -> Folds:
    """Read a data set's folds; LeakError where they were edited, DataError where malformed or of other data."""
    values: dict[str, Any] = read_json(path)
    try:
        folds = Folds(
            dataset_fingerprint=values["dataset_fingerprint"],
            seed=values["seed"],
            parts=tuple(tuple(part) for part in values["parts"]),
            scheme=values["scheme"],
        )
        written = values["digest"]
    except (KeyError, TypeError) as error:
        raise DataError(f"the folds {path} are malformed ({error})", todo="prepare the data set anew") from error
    if folds.digest != written:
        raise LeakError(
            f"the folds {path} were edited after they were written",
            expected=f"the digest {str(written)[:12]}, not {folds.digest[:12]}",
            todo="prepare the data set anew",
        )
    if folds.dataset_fingerprint != table.fingerprint:
        raise DataError(
            f"the folds {path} belong to another version of the data set ({folds.dataset_fingerprint[:12]})",
            expected=f"the data set {table.fingerprint[:12]}",
            todo="prepare the data set anew",
        )
    listed = [group for part in folds.parts for group in part]
    if sorted(listed) != np.unique(table.group_id).tolist():
        raise DataError(f"the folds {path} do not hold every patient once", todo="prepare the data set anew")
    return folds


def balance_table(table: ImageTable, folds: Folds) -> str:
    """What each part came to hold, as text: its patients, and its images of each class."""
    groups, counts = _count(table.label, table.group_id, table.num_classes)
    rows = [["part", "patients", *table.class_names]]
    for number, part in enumerate(folds.parts):
        images = counts[np.isin(groups, part)].sum(axis=0)
        rows.append([str(number), str(len(part)), *map(str, images)])
    rows.append(["all", str(len(groups)), *map(str, counts.sum(axis=0))])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows)
