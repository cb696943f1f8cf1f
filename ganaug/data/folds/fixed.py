"""Folds that were fixed by someone else: a list of groups and parts, from a CSV or offered by the source."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.config import FoldsConfig
from ganaug.data.folds.partition import partition
from ganaug.data.folds.schemes import TEST, TRAIN, VAL, Population, kept_together
from ganaug.data.tables import read_bytes, read_cells
from ganaug.errors import FoldsError, some_of
from ganaug.workspace import user_path

_COLUMNS = ("group", "part")
ROLES = {"train": TRAIN, "val": VAL, "test": TEST}
PART_NAMES = {role: name for name, role in ROLES.items()}
_OTHER_WORDS = {"validation": "val"}

Splits = Mapping[str, Mapping[str, str]]  # by name of the split: group to train, val or test


@dataclass(frozen=True)
class FixedList:
    """Which part each group is in."""

    name: str
    parts: Mapping[str, str]  # group to train, val or test
    from_user: bool  # a file of the user's, not a split of the source


def read_fixed_list(name: str, splits: Splits) -> FixedList:
    """The split of this name, or else the CSV file; raises FoldsError where there is neither or a part is unknown."""
    if name in splits:
        return FixedList(name, splits[name], from_user=False)
    path = user_path(name)
    if not path.is_file():
        offered = f", or the source's own split: {', '.join(splits)}" if splits else ""
        raise FoldsError(
            f"the list {name} cannot be read ({'it is a folder' if path.is_dir() else 'there is no such file'})",
            expected=f"a CSV of group and part{offered}",
        )
    return FixedList(path.name, _parse(read_bytes(path, FoldsError), path.name), from_user=True)


def role_of(part: str) -> int | None:
    """TRAIN, VAL or TEST, as the word says in any case; None where it says neither."""
    return ROLES.get(_OTHER_WORDS.get(part.lower(), part.lower()))


def _parse(data: bytes, name: str) -> dict[str, str]:
    table = read_cells(data, name, _COLUMNS, error=FoldsError)
    parts: dict[str, str] = {}
    for row in table.rows:
        group, part = table.values(row, *_COLUMNS)
        role = role_of(part)
        if role is None or not group:
            raise FoldsError(f"line {row.line} of {name} puts {group!r} in {part!r}", expected="train, val or test")
        if parts.setdefault(group, PART_NAMES[role]) != PART_NAMES[role]:
            raise FoldsError(
                f"the list {name} puts {group} in {parts[group]} and, in line {row.line}, in {PART_NAMES[role]}",
                expected="every patient in one part",
            )
    return parts


def require_known_groups(fixed: FixedList, groups: Collection[str]) -> None:
    """Raise FoldsError where a user's list names groups that the data set has not; a source's own may have more."""
    unknown = sorted(set(fixed.parts) - set(groups))
    if unknown and fixed.from_user:
        raise FoldsError(f"the list {fixed.name} names {some_of(unknown)}", expected="patients of the data set only")


def assign_fixed_roles(
    population: Population, class_names: Sequence[str], config: FoldsConfig, fixed: FixedList
) -> tuple[NDArray[np.int64], str]:
    """The role of every unit in the one fold, i64 [1,U], and the rule in words.

    A list without a validation part has it cut from its training part. Raises FoldsError where a group is not listed,
    a unit is in two parts, there is no test part, or a class is missing from the training or validation part.
    """
    missing = [group for group in population.groups.tolist() if group not in fixed.parts]
    if missing:
        raise FoldsError(f"the list {fixed.name} lacks {some_of(missing)}", expected="a part for every patient")
    roles = _of_units(population, fixed)
    rule = f"the parts are those of the list {fixed.name}"
    if not np.any(roles == TEST):
        raise FoldsError(f"the list {fixed.name} puts no patient in test", expected="at least one")
    if not np.any(roles == VAL):
        _validate_some(roles, population, class_names, config, fixed)
        rule += f"; it has no validation part, so about 1/{config.num_folds} of its train part validates"
    for role in (TRAIN, VAL):
        held = population.counts[roles == role].sum(axis=0)
        lacking = [name for name, number in zip(class_names, held.tolist()) if number == 0]
        if lacking:
            raise FoldsError(
                f"the {PART_NAMES[role]} part of {fixed.name} has no image of {', '.join(lacking)}",
                expected="every class in the train part and in the validation part",
            )
    gone = sorted(set(fixed.parts) - set(population.groups.tolist()))
    absent = f"; {len(gone)} of its {len(fixed.parts)} patients have no image in the data set" if gone else ""
    return roles[None], rule + absent + kept_together(config)


def _of_units(population: Population, fixed: FixedList) -> NDArray[np.int64]:
    listed = np.array([ROLES[fixed.parts[group]] for group in population.groups.tolist()])
    roles = np.full(population.unit.max() + 1, TRAIN)
    roles[population.unit] = listed
    divided = np.flatnonzero(roles[population.unit] != listed)
    if len(divided):
        first_group = divided[0]
        second_group = np.flatnonzero(
            (population.unit == population.unit[first_group]) & (listed != listed[first_group])
        )[0]
        first, second = (
            f"{population.groups[at]} ({PART_NAMES[int(listed[at])]})" for at in sorted((first_group, second_group))
        )
        raise FoldsError(
            f"the list {fixed.name} parts {first} from {second}, of one site",
            expected="whole sites in one part",
            todo="correct the list, or use --fold-by group",
        )
    return roles


def _validate_some(
    roles: NDArray[np.int64], population: Population, class_names: Sequence[str], config: FoldsConfig, fixed: FixedList
) -> None:
    """Give a fraction of the training units to validation, so that both hold every class."""
    train = np.flatnonzero(roles == TRAIN)
    counts, fraction = population.counts[train], 1 / config.num_folds
    part = partition(counts, 2, np.random.default_rng([config.seed, config.num_folds]), (fraction, 1 - fraction))
    if part is None:
        held = zip(class_names, (counts > 0).sum(axis=0).tolist())
        few = ", ".join(f"{number} of {name}" for name, number in held if number < 2)
        raise FoldsError(
            f"no validation part can be cut from the train part of {fixed.name}, which has {few or 'no suitable'} "
            f"{population.noun}s",
            expected="at least 2 of every class",
            todo="list a validation part",
        )
    roles[train[part == 0]] = VAL
