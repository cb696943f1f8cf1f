"""Names that mean the same: patients whom the user joins, and classes, patients and sites that are near-equal.

Near-equal classes are refused until the user says what they are, since one class more or less is another task.
Near-equal patients and sites are reported and kept apart: whether they are the same is for the user to know.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from ganaug.config import PrepareConfig
from ganaug.data.archives.files import IMAGE_SUFFIXES, existing
from ganaug.data.sources.scans.names import equal_but_for_spelling, near_patients, plain
from ganaug.data.sources.scans.scan import UNLABELLED, Item, Scan
from ganaug.data.tables import read_bytes, read_cells
from ganaug.errors import ConfigError, DataError, private, some_of

MOST_SETS_NAMED = 10  # sets of names in a note


def reconcile(scan: Scan, config: PrepareConfig) -> Scan:
    """The scan with the names joined that the user's options join, and with notes on those that are near-equal.

    Raises DataError for near-equal classes without `near_names`, and for a table of patients that does not fit.
    """
    scan = scan if config.same_patient is None else _join_patients(scan, config.same_patient)
    if config.near_names == "merge":
        scan = _merge_classes(scan)
    scan = scan.without(config.exclude_classes)
    if config.near_names is None:
        _require_distinct_classes(scan)
    known = sorted({item.group_id for item in scan.items if not _is_image(item)})
    scan = _settle(scan, config, "patients", near_patients(known), _with_groups)
    sites = equal_but_for_spelling(item.site for item in scan.items if item.site)
    scan = _settle(scan, config, "sites", sites, _with_sites)
    return replace(scan, notes=(*scan.notes, *_spanning(scan)))


def is_own_patient(group: str, image: str) -> bool:
    """Whether an image counts as a patient of its own, under its own name."""
    return group == image or PurePosixPath(group).suffix.lower() in IMAGE_SUFFIXES


def _is_image(item: Item) -> bool:
    return is_own_patient(item.group_id, item.image_id)


def _spanning(scan: Scan) -> list[str]:
    """A note on patients with images of every class, which folders that are no patients have too."""
    classes: dict[str, set[int]] = defaultdict(set)
    for item in scan.items:
        if item.label != UNLABELLED and not _is_image(item):
            classes[item.group_id].add(item.label)
    present = set().union(*classes.values())
    everywhere = sorted(group for group, found in classes.items() if found == present)
    if len(present) < 2 or not everywhere:
        return []
    named = some_of([private(group) for group in everywhere])
    return [
        f"{len(everywhere)} of {len(classes)} patients have images of all {len(present)} classes ({named}): see that "
        "they are patients, and not magnifications, slides or scanners"
    ]


# ---- near-equal names ------------------------------------------------------------------------------------------------


def _settle(
    scan: Scan,
    config: PrepareConfig,
    what: str,
    alike: Sequence[Sequence[str]],
    renamed: Callable[[Scan, Mapping[str, str]], Scan],
) -> Scan:
    """Merge near-equal names where the user asks for it; note them in any case."""
    if not alike:
        return scan
    shown = [" = ".join(map(private, names)) for names in alike]
    listed = some_of(shown, MOST_SETS_NAMED)
    if config.near_names == "merge":
        counts = Counter(name for item in scan.items for name in (item.group_id if what == "patients" else item.site,))
        scan = renamed(scan, _spellings(alike, counts))
        note = f"near-equal {what} count as one each, as --near-names merge asks: {listed}"
    else:
        leak = "a patient" if what == "patients" else "a site"
        advice = "" if config.near_names else "; --near-names merge joins them, --same-patient joins some of them"
        advice = advice if what == "patients" else advice.partition(",")[0]
        note = f"near-equal {what} are kept apart, which leaks where they are {leak}: {listed}{advice}"
    return replace(scan, notes=(*scan.notes, note))


def _spellings(alike: Iterable[Sequence[str]], counts: Mapping[str, int]) -> dict[str, str]:
    """The name that each near-equal one becomes: that of the most images, of equals the first."""
    return {name: min(names, key=lambda spelling: (-counts[spelling], spelling)) for names in alike for name in names}


def _require_distinct_classes(scan: Scan) -> None:
    alike = equal_but_for_spelling(scan.class_names)
    if alike:
        raise DataError(
            f"classes are near-equal: {some_of([' and '.join(map(repr, names)) for names in alike])}",
            expected="classes that differ in more than case, spaces, Unicode form and zeros",
            todo="make one of them with --near-names merge, or accept them as they are with --near-names keep",
        )


def _merge_classes(scan: Scan) -> Scan:
    alike = equal_but_for_spelling(scan.class_names)
    if not alike:
        return scan
    counts = Counter(scan.class_names[item.label] for item in scan.items if item.label != UNLABELLED)
    spelling, before = _spellings(alike, counts), scan.class_of
    kept = tuple(name for name in scan.class_names if spelling.get(name, name) == name)
    place = [kept.index(spelling.get(name, name)) for name in scan.class_names]

    def class_of(path: str) -> str:
        name = before(path)
        return spelling.get(name, name)

    merged = "; ".join(" = ".join(map(private, names)) for names in alike)
    return replace(
        scan,
        class_names=kept,
        items=tuple(
            item if item.label == UNLABELLED else replace(item, label=place[item.label]) for item in scan.items
        ),
        class_of=class_of,
        notes=(*scan.notes, f"near-equal classes count as one each, as --near-names merge asks: {merged}"),
    )


# ---- patients --------------------------------------------------------------------------------------------------------


def _join_patients(scan: Scan, option: str) -> Scan:
    """Give the patients of each row of a table one name."""
    path = existing(option, "--same-patient")
    table = read_cells(read_bytes(path), str(path), ("patient", "same_as"))
    known = set(scan.groups.tolist())
    joined = {name: name for name in known}

    def find(name: str) -> str:
        while joined[name] != name:
            name = joined[name]
        return name

    for row in table.rows:
        names = [name if name in known else plain(name) for name in table.values(row, "patient", "same_as")]
        for name in names:
            if name not in known:
                seen = f"names the patient {name}, who is not in the data set" if name else "lacks a name"
                raise DataError(
                    f"line {row.line} of {path} {seen}", expected="two patients of the data set", todo="correct the row"
                )
        joined[find(names[0])] = find(names[1])
    mapping = {name: find(name) for name in known}
    number = sum(name != new for name, new in mapping.items())
    stored = {str(group) for group in scan.tables.get("expression/group_id", ())}
    if any(mapping[group] != group for group in stored & known):
        raise ConfigError("--same-patient with --expression", expected="one row of expression for each patient")
    note = f"{number} patients count as another one each, as {private(path.name)} says"
    scan = _with_groups(scan, mapping)
    return replace(scan, notes=(*scan.notes, note) if number else scan.notes)


def _with_groups(scan: Scan, mapping: Mapping[str, str]) -> Scan:
    """The scan with patients renamed; a split that would part one of them is no longer on offer."""
    items = tuple(replace(item, group_id=mapping.get(item.group_id, item.group_id)) for item in scan.items)
    splits, notes = {}, []
    for name, parts in scan.splits.items():
        found: dict[str, set[str]] = defaultdict(set)
        for group, part in parts.items():
            found[mapping.get(group, group)].add(part)
        if any(len(both) > 1 for both in found.values()):
            notes.append(f"the split {name} is not on offer: it would part a patient whose names are joined")
        else:
            splits[name] = {group: part for group, (part,) in found.items()}
    return replace(scan, items=items, splits=splits, notes=(*scan.notes, *notes))


def _with_sites(scan: Scan, mapping: Mapping[str, str]) -> Scan:
    return replace(scan, items=tuple(replace(item, site=mapping.get(item.site, item.site)) for item in scan.items))
