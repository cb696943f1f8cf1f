"""Group-disjoint folds: in every fold each group trains, validates or tests, and never two of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.config import SCHEME_NAMES, FoldsConfig
from ganaug.data.folds.fixed import assign_fixed_roles, read_fixed_list, require_known_groups
from ganaug.data.folds.schemes import TEST, VAL, Population, cut, gather, rule_of
from ganaug.data.schema import ImageTable
from ganaug.errors import DataError, private
from ganaug.provenance import digest_of, require_equal_seal, require_signature, signature_of
from ganaug.workspace import read_json, write_text

PARTS = ("train", "val", "test")
FOLDS_LISTED = 10  # folds that the balance table shows
NO_SPLITS: Mapping[str, Mapping[str, str]] = {}


@dataclass(frozen=True)
class Split:
    """The held-out groups of one fold; all others train."""

    val: tuple[str, ...]  # group ids, sorted
    test: tuple[str, ...]


@dataclass(frozen=True)
class Folds:
    """How the groups of one data set are split, fold by fold."""

    dataset_fingerprint: str
    seed: int
    scheme: str
    groups: tuple[str, ...]  # all group ids, sorted
    splits: tuple[Split, ...]
    num_repeats: int = 1  # how many times the groups are divided; each repeat has as many folds
    rule: str = ""  # in words
    key: bytes = field(default=b"", repr=False)  # of the data set, see `ImageTable.key`

    @property
    def num_folds(self) -> int:
        """Of all repeats together."""
        return len(self.splits)

    def test_groups(self, fold: int) -> tuple[str, ...]:
        return self.splits[fold].test

    def val_groups(self, fold: int) -> tuple[str, ...]:
        return self.splits[fold].val

    def train_groups(self, fold: int) -> tuple[str, ...]:
        held_out = {*self.splits[fold].val, *self.splits[fold].test}
        return tuple(group for group in self.groups if group not in held_out)

    def repeat_of(self, fold: int) -> int:
        """The repeat that a fold belongs to; in one repeat no group is tested twice."""
        return fold // (self.num_folds // self.num_repeats)

    def parts(self, fold: int) -> dict[str, tuple[str, ...]]:
        """The groups of train, val and test."""
        return dict(zip(PARTS, (self.train_groups(fold), self.val_groups(fold), self.test_groups(fold))))

    def to_dict(self) -> dict[str, Any]:
        """All that defines the folds, as JSON values; every part is listed, so that a reader need not compute one."""
        return {
            "rule": self.rule,
            "scheme": self.scheme,
            "seed": self.seed,
            "num_repeats": self.num_repeats,
            "dataset_fingerprint": self.dataset_fingerprint,
            "folds": [
                {part: list(groups) for part, groups in self.parts(fold).items()} for fold in range(self.num_folds)
            ],
        }

    @cached_property
    def digest(self) -> str:
        """What stands for the folds outside of the data set; without its key nobody can test who is in them."""
        return digest_of([self.key.hex(), self.to_dict()])


def make_folds(
    table: ImageTable,
    config: FoldsConfig,
    *,
    suggestion: str = "",
    splits: Mapping[str, Mapping[str, str]] = NO_SPLITS,
) -> Folds:
    """Split the groups as `config` asks, evenly; raises FoldsError where they do not allow it.

    In k-fold, repeated and hold-out every part holds every class; in leave-one-out and fixed the training and
    validation parts do. `splits` are those the source offers by name; a fixed list may name groups that the table
    lacks, as their images may be skipped. `suggestion` is a further offer for the message of the error.
    """
    population = gather(table.label, table.group_id, table.site_id, table.num_classes, config.by)
    roles, rule = _roles(population, table.class_names, config, suggestion, splits)
    names, of_groups = population.groups, roles[:, population.unit]
    return Folds(
        dataset_fingerprint=table.attrs.get("fingerprint", ""),  # empty before the file is sealed
        seed=config.seed,
        scheme=config.scheme,
        groups=tuple(names.tolist()),
        splits=tuple(Split(tuple(names[row == VAL].tolist()), tuple(names[row == TEST].tolist())) for row in of_groups),
        num_repeats=config.num_repeats if config.scheme == "repeated" else 1,
        rule=rule,
        key=table.key,
    )


def check_feasible(
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    sites: NDArray[np.str_],
    class_names: Sequence[str],
    config: FoldsConfig,
    *,
    suggestion: str = "",
    splits: Mapping[str, Mapping[str, str]] = NO_SPLITS,
) -> int:
    """How many folds `make_folds` will make; raises FoldsError, with the arithmetic and what is possible instead.

    labels i64 [N], groups and sites text [N] are known before any pixel is. Here a user's fixed list may not name
    groups that are not in the data.
    """
    population = gather(labels, groups, sites, len(class_names), config.by)
    if config.scheme == "fixed":
        require_known_groups(read_fixed_list(config.fixed, splits), population.groups.tolist())
    return len(_roles(population, class_names, config, suggestion, splits)[0])


def _roles(
    population: Population,
    class_names: Sequence[str],
    config: FoldsConfig,
    suggestion: str,
    splits: Mapping[str, Mapping[str, str]],
) -> tuple[NDArray[np.int64], str]:
    """The role of every unit in every fold, i64 [F,U], and the rule in words."""
    if config.scheme == "fixed":
        return assign_fixed_roles(population, class_names, config, read_fixed_list(config.fixed, splits))
    return cut(population, class_names, config, suggestion), rule_of(config)


# ---- the file --------------------------------------------------------------------------------------------------------


def write_folds(path: Path, folds: Folds) -> None:
    """Write the folds as JSON that carries its own digest, a part a line."""
    values = folds.to_dict()
    digest = digest_of(values)
    values["digest"] = digest
    if signature := signature_of(digest):
        values["signature"] = signature
    splits = values.pop("folds")
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    listed = [
        ",\n".join(
            f"      {json.dumps(part)}: {json.dumps(groups, ensure_ascii=False)}" for part, groups in fold.items()
        )
        for fold in splits
    ]
    lines.append('  "folds": [\n' + ",\n".join(f"    {{\n{fold}\n    }}" for fold in listed) + "\n  ]")
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def read_folds(path: Path, table: ImageTable) -> Folds:
    """Read a data set's folds; LeakError where they were edited, DataError where malformed or of other data."""
    values: dict[str, Any] = read_json(path)
    try:
        folds = _parse(values, table.key)
        written = str(values["digest"])
        found = digest_of({key: value for key, value in values.items() if key not in ("digest", "signature")})
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(f"the folds {path} are malformed ({error})", todo="prepare the data set again") from error
    require_equal_seal(found, written, path)
    require_signature(written, values.get("signature"), path)
    if folds.dataset_fingerprint != table.fingerprint:
        raise DataError(
            f"the folds {path} belong to another version of the data set ({folds.dataset_fingerprint[:12]})",
            expected=f"the data set {table.fingerprint[:12]}",
            todo="prepare the data set again",
        )
    fault = _fault(values["folds"], folds, np.unique(table.group_id).tolist())
    if fault:
        raise DataError(f"the folds {path} do not hold every patient once: {fault}", todo="prepare the data set again")
    return folds


def _parse(values: dict[str, Any], key: bytes) -> Folds:
    """The folds that a file's values describe, once these are of the right kind."""
    listed = [{part: _texts(fold[part]) for part in PARTS} for fold in values["folds"]]
    seed, num_repeats = values["seed"], values["num_repeats"]
    if type(seed) is not int or type(num_repeats) is not int or values["scheme"] not in SCHEME_NAMES:
        raise ValueError(f"scheme {values['scheme']}, seed {seed}, {num_repeats} repeats")
    if not listed or num_repeats < 1 or len(listed) % num_repeats:
        raise ValueError(f"{len(listed)} folds in {num_repeats} repeats")
    _texts([values["dataset_fingerprint"], values["rule"]])
    return Folds(
        dataset_fingerprint=values["dataset_fingerprint"],
        seed=seed,
        scheme=values["scheme"],
        groups=tuple(sorted({group for part in listed[0].values() for group in part})),
        splits=tuple(Split(fold["val"], fold["test"]) for fold in listed),
        num_repeats=num_repeats,
        rule=values["rule"],
        key=key,
    )


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{str(values)[:40]} where a list of texts belongs")
    return tuple(values)


def _fault(listed: list[dict[str, list[str]]], folds: Folds, groups: list[str]) -> str:
    """What is wrong with the parts, if anything: a group in two parts or in none, or tested twice in a repeat."""
    for number, fold in enumerate(listed):
        if sorted(group for part in PARTS for group in fold[part]) != groups:
            return f"in fold {number} one is in two parts or in none"
        if not all(fold[part] for part in PARTS):
            return f"a part of fold {number} is empty"
    tested = [(folds.repeat_of(number), group) for number, fold in enumerate(listed) for group in fold["test"]]
    return "" if len(set(tested)) == len(tested) else "one is tested by two folds of a repeat"


# ---- what came out ---------------------------------------------------------------------------------------------------


def balance_table(table: ImageTable, folds: Folds) -> str:
    """What each part came to hold, as text: its patients and its labelled images of each class.

    For k-fold a row a part; else the three parts of each fold, of the first ten and, where there are more, the range
    over all. Notes on what the folds do not promise follow.
    """
    tally = _tally(table, folds)
    if folds.scheme == "k-fold":
        rows = [["part"], *([str(number), *map(str, row)] for number, row in enumerate(tally[:, 2]))]
        rows += [["all", *map(str, tally[0].sum(axis=0))]]
    else:
        rows = [["fold", "part"]]
        for number, fold in enumerate(tally[:FOLDS_LISTED]):
            rows += [[str(number), part, *map(str, row)] for part, row in zip(PARTS, fold)]
        if len(tally) > FOLDS_LISTED:
            ranges = zip(PARTS, tally.min(axis=0), tally.max(axis=0))
            rows += [[f"all {len(tally)}", part, *map("{}–{}".format, low, high)] for part, low, high in ranges]
        rows += [["all", "", *map(str, tally[0].sum(axis=0))]]
    rows[0] += ["patients", *table.class_names]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
    return "\n".join([*lines, *(f"note: {note}" for note in _notes(table, tally))])


def _tally(table: ImageTable, folds: Folds) -> NDArray[np.int64]:
    """Patients, then images of each class, of every fold and part: i64 [F,3,1+K]."""
    population = gather(table.label, table.group_id, table.site_id, table.num_classes, "group")
    columns = np.column_stack([np.ones(len(population.groups), dtype=np.int64), population.images])
    row_of = {group: row for row, group in enumerate(population.groups.tolist())}
    parts = [folds.parts(fold).values() for fold in range(folds.num_folds)]
    return np.array([[columns[[row_of[group] for group in part]].sum(axis=0) for part in fold] for fold in parts])


def _notes(table: ImageTable, tally: NDArray[np.int64]) -> list[str]:
    tested = tally[:, 2, 1:]
    untested = [name for name, number in zip(table.class_names, tested.sum(axis=0).tolist()) if number == 0]
    if untested:
        return [
            f"no image of {', '.join(map(private, untested))} is tested, so scores that need every class will not exist"
        ]
    short = int(np.any(tested == 0, axis=1).sum())
    return [f"the test part of {short} of {len(tested)} folds lacks a class: judge all folds together"] if short else []
