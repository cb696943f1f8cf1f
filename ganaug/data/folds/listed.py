"""Folds that a CSV lists, as a paper publishes them: a row for each image, and in a column for each fold its part.

    # {"scheme": "k-fold", "seed": 0, "num_repeats": 1, "rule": "...", "folds_digest": "..."}
    image,group,class,fold0,fold1,fold2
    benign/patient 1/1.png,patient 1,benign,test,val,train

The first line may be absent. Whose row it is says the first of these columns that is there: `image` (path below the
source, or as much of its end as one image alone has), `image_digest` (keyed, see `ganaug.provenance`) and `group` (the
patient). Of the others only the folds are read. Folds of several repeats are named repeat0_fold0, repeat0_fold1, and
so on.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.config import MOST_FOLDS, FoldsConfig
from ganaug.data.folds.first_line import read_first_line, require_scheme
from ganaug.data.folds.fixed import PART_NAMES, ROLES, role_of
from ganaug.data.folds.folds import PARTS, Folds, Split
from ganaug.data.folds.schemes import TEST, TRAIN, VAL, gather
from ganaug.data.schema import ImageTable
from ganaug.data.tables import Table, read_bytes, read_cells
from ganaug.errors import FoldsError, LeakError, private, some_of
from ganaug.workspace import user_path

KEYS = ("image", "image_digest", "group")  # columns that say whose row it is, the first one that is there
_FOLD = re.compile(r"(?:repeat(?P<repeat>\d{1,3})_)?fold(?P<fold>\d{1,3})")
_BOM = b"\xef\xbb\xbf"

Roles = NDArray[np.int64]  # TRAIN, VAL or TEST of every fold and image, [F,N]


@dataclass(frozen=True)
class ListedFolds:
    """What a CSV of folds says."""

    name: str  # of the file
    key: str  # of KEYS
    parts: Mapping[str, tuple[int, ...]]  # by image or group: its role in every fold
    num_repeats: int
    about: Mapping[str, Any]  # of the first line, where there is one: see `ganaug.data.folds.first_line`

    @property
    def num_folds(self) -> int:
        """Of all repeats together."""
        return len(next(iter(self.parts.values())))


def read_listed_folds(name: str) -> ListedFolds:
    """Read a CSV of folds; raises FoldsError where it is none, or a fold of it lacks a part."""
    path = user_path(name)
    if not path.is_file():
        raise FoldsError(
            f"the list {name} cannot be read ({'it is a folder' if path.is_dir() else 'there is no such file'})",
            expected="a CSV of image and folds, as `ganaug export --folds-csv` writes it",
        )
    data = read_bytes(path, FoldsError).removeprefix(_BOM)
    about: dict[str, Any] = {}
    if data.lstrip(b'"').startswith(b"#"):
        line, _, data = data.partition(b"\n")
        about, data = read_first_line(line.lstrip(b"#"), path.name), b"\n" + data  # so that lines keep their numbers
    table = read_cells(data, path.name, (), KEYS, FoldsError)
    columns, num_repeats = _fold_columns(table)
    key = next((name for name in KEYS if name in table.columns), None)
    if key is None:
        raise FoldsError(
            f"{path.name} has the columns {', '.join(table.columns[:4])}", expected=f"one of {', '.join(KEYS)}"
        )
    if about.get("num_repeats", num_repeats) != num_repeats:
        raise FoldsError(
            f"{path.name} has {num_repeats} repeats and says {about['num_repeats']}",
            expected="columns such as repeat0_fold0 for each repeat",
        )
    listed = ListedFolds(path.name, key, _rows(table, key, columns), num_repeats, about)
    for fold, column in enumerate(columns):
        lacking = set(ROLES.values()) - {roles[fold] for roles in listed.parts.values()}
        if lacking:
            parts = " and ".join(PART_NAMES[role] for role in sorted(lacking))
            raise FoldsError(f"{column} of {path.name} has no {parts} part", expected="train, val and test")
    return listed


def _fold_columns(table: Table) -> tuple[list[str], int]:
    """The columns of the folds in order, and the number of repeats."""
    found = [(match, column) for column in table.columns if (match := _FOLD.fullmatch(column))]
    places = sorted((int(match["repeat"] or 0), int(match["fold"]), column) for match, column in found)
    repeats = [repeat for repeat, _, _ in places]
    num_repeats, rest = divmod(len(places), max(Counter(repeats).values(), default=1))
    per_repeat = len(places) // max(num_repeats, 1)
    expected = [(repeat, fold) for repeat in range(num_repeats) for fold in range(per_repeat)]
    if not places or rest or [place[:2] for place in places] != expected or len(places) > MOST_FOLDS:
        seen = ", ".join(column for _, _, column in places[:5]) or "none"
        raise FoldsError(
            f"{table.name} has the fold columns {seen} ({len(places)})",
            expected=f"fold0, fold1, and so on, or repeat0_fold0, repeat0_fold1, and so on; at most {MOST_FOLDS}",
        )
    return [column for _, _, column in places], num_repeats


def _rows(table: Table, key: str, columns: Sequence[str]) -> dict[str, tuple[int, ...]]:
    parts: dict[str, tuple[int, ...]] = {}
    for row in table.rows:
        name, *cells = table.values(row, key, *columns)
        unknown = [cell for cell in cells if role_of(cell) is None]
        if unknown or not name:
            raise FoldsError(
                f"line {row.line} of {table.name} puts {private(repr(name))} in {(unknown or cells)[0]!r}",
                expected="a name, and train, val or test",
            )
        roles = tuple(role for cell in cells if (role := role_of(cell)) is not None)
        if parts.setdefault(name, roles) != roles:
            raise FoldsError(
                f"line {row.line} of {table.name} puts {private(name)} elsewhere than a line before",
                expected="one row for each",
            )
    return parts


# ---- the images that are meant ---------------------------------------------------------------------------------------


def check_listed(listed: ListedFolds, paths: NDArray[np.str_], groups: NDArray[np.str_]) -> None:
    """Raise FoldsError for what can be seen before a pixel is read: images or patients that the source has not."""
    if listed.key != "image_digest":
        _place(listed, paths if listed.key == "image" else groups)


def make_listed_folds(table: ImageTable, config: FoldsConfig, listed: ListedFolds) -> Folds:
    """The folds that a list says, once it names every image of the table and no other.

    Raises LeakError where a patient is in two parts of a fold, or tested twice in a repeat; FoldsError where images are
    missing or unknown, a class is missing from a train or val part, a site is divided that is to stay together, or the
    folds are not of the scheme that the list says.
    """
    roles = _roles(table, listed)
    _require_whole(table.group_id, roles, listed, "patient")
    population = gather(table.label, table.group_id, table.site_id, table.num_classes, config.by)
    if config.by == "site":
        unit = population.unit[np.searchsorted(population.groups, table.group_id)]
        _require_whole(table.site_id, roles, listed, "site", unit)
    _require_parts(table, roles, listed)
    names, first = np.unique(table.group_id, return_index=True)
    splits = tuple(
        Split(tuple(names[row == VAL].tolist()), tuple(names[row == TEST].tolist())) for row in roles[:, first]
    )
    _require_tested_once(splits, listed)
    folds = Folds(
        dataset_fingerprint=table.attrs.get("fingerprint", ""),
        seed=listed.about.get("seed", config.seed),
        scheme=listed.about.get("scheme", "fixed"),
        groups=tuple(names.tolist()),
        splits=splits,
        num_repeats=listed.num_repeats,
        rule=listed.about.get("rule") or f"the folds are those of the list {listed.name}",
        key=table.key,
    )
    require_scheme(folds, _units(table), listed.name)
    return folds


def _units(table: ImageTable) -> dict[str, int]:
    """The site of each group where all sites are known, by number; else the number of the group."""
    by = "site" if (table.site_id != "").all() else "group"
    population = gather(table.label, table.group_id, table.site_id, table.num_classes, by)
    return dict(zip(population.groups.tolist(), population.unit.tolist()))


def _roles(table: ImageTable, listed: ListedFolds) -> Roles:
    names = {
        "image": table.path,
        "image_digest": np.array(table.image_digests(np.arange(len(table)))),
        "group": table.group_id,
    }[listed.key]
    row_of = _place(listed, names)
    missing = [name for name in dict.fromkeys(names.tolist()) if name not in row_of]
    if missing:
        example = missing[0] if listed.key != "image_digest" else table.image_id[names == missing[0]][0]
        what = "patient" if listed.key == "group" else "image"
        raise FoldsError(
            f"the list {listed.name} lacks {len(missing)} of the data set's {what}s, such as {private(example)}",
            expected=f"a row for every {what}",
            todo="prepare with the options of those who made the list",
        )
    return np.array([listed.parts[row_of[name]] for name in names.tolist()]).T


def _place(listed: ListedFolds, names: NDArray[np.str_]) -> dict[str, str]:
    """The row, by its name in the list, of each of these names that has one; FoldsError where a row is of none."""
    known = {name.strip(): name for name in names.tolist()}
    by_end = defaultdict(list)
    for name in known:
        by_end[name.rpartition("/")[2]].append(name)
    row_of: dict[str, str] = {}
    unknown = []
    for row in listed.parts:
        found = _find(row, known, by_end if listed.key == "image" else {})
        if found is None:
            unknown.append(row)
        elif row_of.setdefault(known[found], row) != row:
            raise FoldsError(
                f"{private(row_of[known[found]])} and {private(row)} of {listed.name} are the same image here",
                expected="one row for each image",
            )
    if unknown:
        what = "patients" if listed.key == "group" else "images"
        raise FoldsError(
            f"the list {listed.name} names {some_of([private(row) for row in unknown])}",
            expected=f"{what} of the data set only",
            todo="prepare from the source, and with the options, of those who made the list",
        )
    return row_of


def _find(row: str, known: Mapping[str, str], by_end: Mapping[str, Sequence[str]]) -> str | None:
    """The known name that a row means: the same, or the only one that ends as the row does or the row as it."""
    if row in known:
        return row
    plain = row.replace("\\", "/").strip("/")
    if plain in known:
        return plain
    ends = [name for name in by_end.get(plain.rpartition("/")[2], ()) if f"/{name}".endswith(f"/{plain}")
            or f"/{plain}".endswith(f"/{name}")]  # fmt: skip
    return ends[0] if len(ends) == 1 else None


# ---- what makes them folds -------------------------------------------------------------------------------------------


def _require_whole(
    names: NDArray[np.str_], roles: Roles, listed: ListedFolds, noun: str, unit: NDArray[np.int64] | None = None
) -> None:
    """Raise LeakError where images of one patient or site (`unit`, by default those of one name) are in two parts."""
    which = np.unique(names, return_inverse=True)[1] if unit is None else unit
    first = np.unique(which, return_index=True)[1]
    divided = np.argwhere(roles != roles[:, first[which]])
    if len(divided):
        fold, image = divided[0].tolist()
        parts = " and ".join(PART_NAMES[int(roles[fold, at])] for at in (first[which[image]], image))
        raise LeakError(
            f"the list {listed.name} puts {noun} {private(names[image])} in {parts} of fold {fold}",
            expected=f"every {noun} in one part",
            todo="correct the list" + (", or use --fold-by group" if noun == "site" else ""),
        )


def _require_parts(table: ImageTable, roles: Roles, listed: ListedFolds) -> None:
    """Raise FoldsError where a train or val part lacks a class, or a test part has no labelled image."""
    for fold, row in enumerate(roles):
        counts = {role: table.class_counts(np.flatnonzero(row == role)) for role in (TRAIN, VAL, TEST)}
        for role in (TRAIN, VAL):
            lacking = [name for name, number in zip(table.class_names, counts[role].tolist()) if number == 0]
            if lacking:
                raise FoldsError(
                    f"the {PARTS[role]} part of fold {fold} of {listed.name} has no image of {', '.join(lacking)}",
                    expected="every class in the train part and in the val part",
                )
        if not counts[TEST].any():
            raise FoldsError(f"the test part of fold {fold} of {listed.name} is empty", expected="at least one patient")


def _require_tested_once(splits: Sequence[Split], listed: ListedFolds) -> None:
    per_repeat = len(splits) // listed.num_repeats
    for repeat in range(listed.num_repeats):
        own = splits[repeat * per_repeat : (repeat + 1) * per_repeat]
        group, number = Counter(group for split in own for group in split.test).most_common(1)[0]
        if number > 1:
            raise LeakError(
                f"the list {listed.name} tests patient {private(group)} in {number} folds of a repeat",
                expected="each patient once per repeat",
                todo="name folds that overlap repeat0_fold0, repeat1_fold0, and so on",
            )
