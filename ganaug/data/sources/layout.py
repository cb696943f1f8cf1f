"""The folder levels above images: a class, a part, a magnification, a site, a patient.

The levels are named from the top, as in `class/magnification/patient`. What the user does not name is inferred from
the names at each level and from which of them recur under several classes; where two readings are equally good, none
is chosen. Of nested folders below a class the outermost counts as the patient: a grouping that is too coarse never
leaks, one that is too fine might.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ganaug.config import LAYOUT_LEVELS
from ganaug.errors import ConfigError, DataError, private, some_of

CLASS, PART, MAGNIFICATION, SITE, PATIENT, OTHER = "class", "part", "magnification", "site", "patient", "other"
_PART_OF = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "holdout", "hold-out", "hold_out"), "test"),
}
_MAGNIFICATION = re.compile(r"(?:(?:mag(?:nification)?|obj(?:ective)?)[ _-]*)?([\d.]+) ?[x×]?|x ?([\d.]+)", re.I)
_OBJECTIVES = ("1.25", "2", "2.5", "4", "5", "10", "20", "25", "40", "50", "60", "63", "100", "200", "400", "1000")
_SITE = re.compile(r"(?:site|cent(?:er|re)|lab|laboratory|hospital|clinic|institute)(?:[ _-]*\d+|[ _-]+\w+)", re.I)

Folders = tuple[str, ...]  # the folders above one image, from the top


@dataclass(frozen=True)
class Layout:
    """What each folder level is, from the top; deeper ones say nothing."""

    levels: tuple[str, ...]
    other_readings: tuple[str, ...] = ()  # to name where this one is reported

    def name(self, folders: Sequence[str], level: str) -> str:
        """The name that the folders above an image give for a level; empty where they do not reach it."""
        at = self.levels.index(level) if level in self.levels else len(folders)
        return folders[at] if at < len(folders) else ""

    @property
    def text(self) -> str:
        return "/".join(self.levels)


def parse_layout(text: str) -> Layout:
    """The layout that `PrepareConfig.layout` names, which has been checked there."""
    return Layout(tuple(text.split("/")))


def layout_of_option(text: str) -> Layout:
    """The layout that a command's --layout names, which need have no class; ConfigError where it cannot be meant."""
    levels = tuple(text.split("/"))
    named = [level for level in levels if level != OTHER]
    if not set(levels) <= set(LAYOUT_LEVELS) or len(set(named)) < len(named):
        raise ConfigError(
            f"--layout {text}",
            expected=f"the folder levels from the top with slashes between them, of {', '.join(LAYOUT_LEVELS)}, each "
            f"at most once but for {OTHER}, such as class/patient",
        )
    return Layout(levels)


def part_of(name: str) -> str:
    """train, val or test, by any usual name of theirs; empty for another name."""
    return _PART_OF.get(name.strip().casefold(), "")


def magnification_in(name: str) -> int:
    """The whole magnification that a folder's name says; 0 where it says none."""
    numbers = re.findall(r"\d+(?:\.\d+)?", name)
    whole = numbers[0].removesuffix(".0") if len(numbers) == 1 else ""
    return int(whole) if whole.isascii() and whole.isdigit() and len(whole) <= 5 else 0


def depth_of_root(paths: Sequence[PurePosixPath], num_levels: int) -> int:
    """How many folders an archive's images all lie in before their paths part: archives often hold one folder.

    Where the user names `num_levels` levels, as many stay.
    """
    depth = 0
    while (
        paths
        and all(len(path.parts) > depth + 2 for path in paths)
        and len({path.parts[depth] for path in paths}) == 1
        and max(len(path.parts) for path in paths) - 2 - depth >= num_levels
    ):
        depth += 1
    return depth


def infer_layout(images: Sequence[Folders], where: str) -> Layout:
    """The layout of the folders above each image; DataError, with the possible ones, where there is more than one."""
    depth = max(map(len, images), default=0)
    kinds = [_kind({folders[at] for folders in images if len(folders) > at}, where, at) for at in range(depth)]
    unnamed = [at for at, kind in enumerate(kinds) if not kind]
    if not unnamed:
        return Layout(tuple(kinds))
    kinds[unnamed[0]] = CLASS
    for at in unnamed[1:]:  # a level that is the same for every image, such as `images`, says nothing
        if len({folders[at : at + 1] for folders in images}) == 1:
            kinds[at] = OTHER
    varying = [at for at in unnamed[1:] if not kinds[at]]
    for at in varying:
        kinds[at] = OTHER
    if not varying:
        return Layout(tuple(kinds), _variants(kinds, [at for at in unnamed if kinds[at] == OTHER]))
    other_readings = _variants(kinds, varying[1:])
    kinds[varying[0]] = PATIENT
    reason = _ambiguity(images, unnamed[0], varying)
    if reason:
        possible = [_join(kinds), *_swap(kinds, unnamed[0], varying[0]), *other_readings]
        possible += _variants(kinds, varying[:1], MAGNIFICATION) + _variants(kinds, varying[:1], SITE)
        raise DataError(
            f"the folders of {where} can be read in several ways: {reason}",
            expected="folders of which it is clear what is a class and what a patient",
            todo=f"say which with --layout {' or '.join(dict.fromkeys(possible))}",
        )
    return Layout(tuple(kinds), other_readings)


def _kind(names: set[str], where: str, at: int) -> str:
    """The level that its names alone give away, or nothing; refuses names of two kinds side by side."""
    parts = {part_of(name) for name in names} - {""}
    if all(map(part_of, names)):
        return PART
    if all(map(_is_magnification, names)) and not all(map(str.isdecimal, names)):
        return MAGNIFICATION
    scaled = [name for name in names if _is_magnification(name) and name[-1] in "xX×"]  # x10 and 10 may be patients
    if len(parts) > 1 or scaled or (parts and at == 0):
        known = sorted(scaled or [name for name in names if part_of(name)])
        others = sorted(names - set(known))
        raise DataError(
            f"folder level {at + 1} of {where} mixes {some_of(known)} with {some_of(others)}",
            expected="folders of one kind at one level",
            todo="name the levels from the top with --layout, such as --layout class/patient, or move the others",
        )
    return SITE if all(_SITE.fullmatch(name.strip()) for name in names) else ""


def _is_magnification(name: str) -> bool:
    """Whether a folder is named like a magnification that microscopes have, such as 40X, x40 or 40."""
    match = _MAGNIFICATION.fullmatch(name.strip())
    return match is not None and (match[1] or match[2]) in _OBJECTIVES


def _ambiguity(images: Sequence[Folders], class_level: int, below: Sequence[int]) -> str:
    """Why the first varying level below the class need not be the patient, or nothing."""
    classes_of: dict[str, set[str]] = defaultdict(set)
    for folders in images:
        if len(folders) > below[0]:
            classes_of[folders[below[0]]].add(folders[class_level])
    classes = {folders[class_level] for folders in images if len(folders) > class_level}
    if len(classes) < 2:
        return ""
    shared = sum(len(found) > 1 for found in classes_of.values())
    everywhere = all(len(found) == len(classes) for found in classes_of.values())
    names = sorted(classes_of)
    seen = f"{some_of(names)} stand under {'every one' if everywhere else 'several'} of {some_of(sorted(classes))}"
    few = len(classes_of) <= len(classes) and shared > len(classes_of) / 2
    scales = everywhere and len(names) > 1 and all(map(_is_magnification, names))
    return seen if few or scales or (everywhere and len(below) > 1) else ""


def _variants(kinds: Sequence[str], levels: Sequence[int], kind: str = PATIENT) -> tuple[str, ...]:
    """The readings in which one of these levels is the patient, or of another kind that is not there yet."""
    found = []
    for at in levels:
        others = [OTHER if known == kind else known for known in kinds]
        deeper = [deep for deep in range(at + 1, len(kinds)) if kinds[deep] == OTHER]
        others[at] = kind
        if kind != PATIENT and deeper and PATIENT not in others:
            others[deeper[0]] = PATIENT
        found.append(_join(others))
    return tuple(found)


def _swap(kinds: Sequence[str], first: int, second: int) -> tuple[str]:
    swapped = list(kinds)
    swapped[first], swapped[second] = kinds[second], kinds[first]
    return (_join(swapped),)


def _join(kinds: Sequence[str]) -> str:
    kept = list(kinds)
    while kept and kept[-1] == OTHER:
        kept.pop()
    return "/".join(kept)


def parts_note(parts: dict[str, set[str]], classes: dict[str, set[str]]) -> tuple[list[str], dict[str, str]]:
    """Notes on images that come in parts, and the part of each patient where no patient is in two.

    `parts` are the parts of each patient, `classes` the classes of each part.
    """
    in_two = sorted(patient for patient, found in parts.items() if len(found) > 1)
    everything = set().union(*classes.values())
    notes = [
        f"the part {part} has no image of the class {', '.join(map(private, sorted(everything - found)))}"
        for part, found in sorted(classes.items())
        if found != everything
    ]
    if in_two:
        named = some_of([private(patient) for patient in in_two])
        notes.append(f"{len(in_two)} patients stand in two parts ({named}): the parts leak and are not on offer")
        return notes, {}
    if not {"train", "test"} <= set(classes):
        return [*notes, f"the source has the part {' and '.join(sorted(classes))} only; the folds are cut from it"], {}
    notes.append("the source comes in parts: --split parts keeps to them; without it folds are cut from all images")
    return notes, {patient: part for patient, (part,) in parts.items()}
