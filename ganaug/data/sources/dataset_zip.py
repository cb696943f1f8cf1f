"""The `dataset.zip` of the StyleGAN family: images and a `dataset.json` with the class of each; or the same unpacked.

    {"labels": [["00000/img00000000.png", 6], ...]}    a class number, or a one-hot vector, for every image
    {"labels": null}                                   images without labels

The format knows no patients. Further keys, which `ganaug export` writes and which may be written by hand, do:
`class_names`, a list; and by file name `groups` (the patient), `sites` (the laboratory), `image_ids`, `magnifications`
and `um_per_px`. An image without a group counts as a patient of its own, which is safe only if no patient has two: a
note says so. Names with backslashes, or of another machine, are matched by `scans.listed.locate`. Synthetic images are
refused: they would stand for patients who do not exist.

The data, their licence and their citation are the user's; this tool downloads nothing.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ganaug.config import PrepareConfig
from ganaug.data.archives.files import Files, Skipped, is_image_name, open_files, printable, source_path
from ganaug.data.sources.scans.listed import locate, read_listed
from ganaug.data.sources.scans.names import plain
from ganaug.data.sources.scans.scan import UNLABELLED, Item, Scan, reading
from ganaug.data.sources.scans.skipped import why_none
from ganaug.errors import DataError, LeakError, private
from ganaug.files import parse_json
from ganaug.workspace import PROVENANCE_BESIDE_IMAGES

DATASET_JSON = "dataset.json"
MAX_CLASSES = 10_000  # a class number beyond is a mistake, and would ask for as many class names
_LABELS = '{"labels": [["00000/img00000000.png", 6], ...]} or {"labels": null}'


def scan(config: PrepareConfig, *, is_generated: bool = False) -> Scan:
    """List the images that a `dataset.json` names; raises DataError where it is malformed.

    Raises LeakError where they are synthetic, unless `is_generated` says that they are meant to be.
    """
    source = source_path(config)
    files = open_files(source)
    place = _find(files, source)
    where = f"{place} in {source}"
    listed = _parse(read_listed(files, place, str(source)), where)
    if not is_generated:
        _require_real(listed, files, source)
    entries = _entries(listed.get("labels"), where)
    class_names = _class_names(listed, entries, where)
    folder = place.removesuffix(DATASET_JSON)  # names are relative to it
    images = (path for path in files.names if path.startswith(folder) and is_image_name(PurePosixPath(path)))
    paths = {path.removeprefix(folder): path for path in images}
    here = locate(_listed_names(listed, entries), paths.__contains__)
    if entries is not None:
        entries = [(here.place_of[name], label) for name, label in entries]
    labels, skipped, notes = _match(entries, paths, class_names) if entries is not None else _unlabelled(paths)
    facts = {key: _by_image(listed, key, where, here.place_of) for key in _FACTS}
    all_skipped = _paths_skipped(files, folder, skipped)
    if not labels:
        raise DataError(f"{where} lists no image that is there{why_none(all_skipped)}", expected=_LABELS)
    class_of_entry = {printable(folder + name): label for name, label in entries or ()}
    return Scan(
        class_names=class_names,
        items=tuple(_item(name, paths[name], label, facts, config) for name, label in sorted(labels.items())),
        read=reading(files),
        licence=_text(listed, "licence", where),
        citation=_text(listed, "citation", where),
        skipped=all_skipped,
        class_of=lambda path: class_names[class_of_entry[path]] if path in class_of_entry else "",
        notes=(*notes, *here.notes, *_absent(class_names, labels), *_unknown_patients(labels, facts["groups"])),
    )


def _item(name: str, path: str, label: int, facts: Mapping[str, Mapping[str, Any]], config: PrepareConfig) -> Item:
    shown = printable(name)
    return Item(
        path=path,
        label=label,
        group_id=facts["groups"].get(name, shown),
        image_id=facts["image_ids"].get(name, shown),
        magnification=facts["magnifications"].get(name, 0),
        site=facts["sites"].get(name, ""),
        um_per_px=config.um_per_px or facts["um_per_px"].get(name),
    )


def _find(files: Files, source: Path) -> str:
    found = [name for name in files.names if PurePosixPath(name).name == DATASET_JSON]
    if not found:
        raise DataError(
            f"{source} holds no {DATASET_JSON}{why_none(files.skipped)}",
            expected=_LABELS,
            todo="read folders of classes with --dataset folder",
        )
    if len(found) > 1:
        raise DataError(f"{source} holds {' and '.join(found[:3])}", expected=f"one {DATASET_JSON}")
    return found[0]


def _listed_names(listed: Mapping[str, Any], entries: Sequence[tuple[str, int]] | None) -> list[str]:
    """All file names that the list mentions."""
    facts = [values for values in map(listed.get, _FACTS) if isinstance(values, dict)]
    return [*(name for name, _ in entries or ()), *(name for values in facts for name in values)]


def _whole(digits: str) -> int | float:
    """A number of any length; Python reads thousands of digits as no int."""
    return int(digits) if len(digits) < 400 else float(digits)


def _parse(data: bytes, where: str) -> dict[str, Any]:
    try:
        listed = parse_json(data.decode(json.detect_encoding(data)), parse_int=_whole)
    except ValueError as error:
        raise DataError(f"{where} is not valid JSON ({error})", expected=_LABELS) from error
    if not isinstance(listed, dict):
        raise DataError(
            f"{where} is a {type(listed).__name__} and no object", expected=_LABELS, todo="correct the file"
        )
    return listed


def _require_real(listed: Mapping[str, Any], files: Files, source: Path) -> None:
    marked = any(PurePosixPath(name).name == PROVENANCE_BESIDE_IMAGES for name in files.names)
    if marked or listed.get("synthetic"):
        raise LeakError(
            f"{source} holds images that a generator made",
            expected="images of patients: synthetic ones would stand for patients who do not exist",
            todo="give the study the HDF5 file of `ganaug synthesize`",
        )
    origin = listed.get("origin")
    if isinstance(origin, dict) and origin.get("stained"):
        raise LeakError(
            f"the stain of {source} was normalised to the training patients of fold {origin.get('fold')}",
            expected="images as they are: with new folds, patients under test would have set the stain",
            todo="prepare the source itself with --stain",
        )


# ---- labels ----------------------------------------------------------------------------------------------------------


def _entries(labels: Any, where: str) -> list[tuple[str, int]] | None:
    """File name and class number of every entry, None where there are no labels."""
    if labels is None:
        return None
    if not isinstance(labels, list):
        raise DataError(f'"labels" of {where} is a {type(labels).__name__}', expected=_LABELS)
    for number, entry in enumerate(labels):
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise DataError(f'entry {number} of "labels" of {where} is {_format(entry)}', expected="[file name, class]")
    sizes = {len(value) if isinstance(value, list) else None for _, value in labels}
    if len(sizes) > 1:
        raise DataError(f'"labels" of {where} mixes kinds of classes', expected="numbers, or vectors of one length")
    classes = [_class_of(value) for _, value in labels]
    if None in classes:
        name, value = labels[classes.index(None)]
        raise DataError(
            f"{where} gives {printable(name)} the class {_format(value)}",
            expected=f"a whole number from 0 to {MAX_CLASSES - 1}, or a vector with a single 1 among zeros",
        )
    return [(name, number) for (name, _), number in zip(labels, classes) if number is not None]


def _class_of(value: Any) -> int | None:
    """The class number that a label means, None where it means none."""
    if isinstance(value, list):
        one_hot = all(map(_is_number, value)) and sorted(value) == [0] * (len(value) - 1) + [1]
        value = value.index(1) if one_hot else None
    return value if type(value) is int and 0 <= value < MAX_CLASSES else None


def _class_names(listed: Mapping[str, Any], entries: list[tuple[str, int]] | None, where: str) -> tuple[str, ...]:
    """The names given, else the numbers up to the highest."""
    given = listed.get("class_names")
    num_classes = 1 + max((label for _, label in entries or []), default=-1)
    if given is None:
        names = tuple(map(str, range(num_classes)))
    elif isinstance(given, list) and all(map(_is_text, given)) and len(set(given)) == len(given):
        names = tuple(map(plain, given))
    else:
        raise DataError(f'"class_names" of {where} is {_format(given)}', expected="a list of different names")
    if num_classes > len(names):
        raise DataError(f"{where} uses class {num_classes - 1} and names {len(names)} classes", expected="a name each")
    if entries is not None and len(names) < 2:
        raise DataError(
            f"{where} knows {len(names)} classes", expected="two classes or more", todo='or "labels": null for none'
        )
    return names


_Matched = tuple[dict[str, int], dict[str, str], list[str]]  # classes, what is skipped with reasons, notes


def _unlabelled(paths: Mapping[str, str]) -> _Matched:
    return dict.fromkeys(paths, UNLABELLED), {}, [f"{DATASET_JSON} gives no labels"]


def _match(entries: Sequence[tuple[str, int]], paths: Mapping[str, str], class_names: Sequence[str]) -> _Matched:
    """Match what is listed with what is there."""
    labels: dict[str, int] = {}
    repeated: dict[str, int] = {}
    skipped = dict.fromkeys(paths.keys() - {name for name, _ in entries}, f"not listed in {DATASET_JSON}")
    for name, label in entries:
        if name not in paths:
            skipped[name] = f"listed in {DATASET_JSON}, but there is no such image"
        elif name not in labels:
            labels[name] = label
        elif labels[name] == label:
            repeated[name] = label
        else:
            both = " and ".join(private(class_names[number]) for number in (labels[name], label))
            skipped[name] = f"listed under two classes, {both}"
    kept = {name: label for name, label in labels.items() if name not in skipped}
    repeated = {name: label for name, label in repeated.items() if name in kept}
    notes = []
    if repeated:
        notes.append(f"{len(repeated)} images are listed more than once, such as {private(printable(min(repeated)))}")
    return kept, skipped, notes


def _absent(class_names: Sequence[str], labels: Mapping[str, int]) -> list[str]:
    """A note of the classes without an image, where the images have classes at all."""
    seen = set(labels.values()) - {UNLABELLED}
    absent = [name for label, name in enumerate(class_names) if label not in seen]
    return [f"there is no image of the class {', '.join(map(private, absent))}"] if absent and seen else []


def _paths_skipped(files: Files, folder: str, names: Mapping[str, str]) -> Skipped:
    """What the files could not offer and what the list skipped, each once."""
    reasons = {printable(folder + name): reason for name, reason in names.items()}
    return tuple(sorted((reasons | dict(files.skipped)).items()))


# ---- the further keys ------------------------------------------------------------------------------------------------


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_magnification(value: Any) -> bool:
    return type(value) is int and 0 <= value < 100_000


def _is_scale(value: Any) -> bool:
    return _is_number(value) and 0 < value < 1e6


_FACTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "groups": (_is_text, "a name"),
    "sites": (_is_text, "a name"),
    "image_ids": (_is_text, "a name"),
    "magnifications": (_is_magnification, "a whole number such as 200"),
    "um_per_px": (_is_scale, "a positive number"),
}


def _by_image(listed: Mapping[str, Any], key: str, where: str, place_of: Mapping[str, str]) -> dict[str, Any]:
    """What a further key says of each image, by its name here; empty where it is absent."""
    values, (fits, kind) = listed.get(key), _FACTS[key]
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise DataError(f'"{key}" of {where} is {_format(values)}', expected=f"{{file name: {kind}}}")
    for name, value in values.items():
        if not fits(value):
            raise DataError(f'"{key}" of {where} gives {printable(name)} {_format(value)}', expected=kind)
    return {place_of[name]: plain(value) if isinstance(value, str) else value for name, value in values.items()}


def _text(listed: Mapping[str, Any], key: str, where: str) -> str:
    value = listed.get(key, "the user's")
    if not _is_text(value):
        raise DataError(f'"{key}" of {where} is {_format(value)}', expected="text")
    return plain(value)


def _unknown_patients(labels: Mapping[str, int], groups: Mapping[str, str]) -> list[str]:
    num_unknown = sum(name not in groups for name in labels)
    if not num_unknown:
        return []
    return [
        f"no patient is known for {num_unknown} of {len(labels)} images: each counts as a patient of its own. If "
        "several come from one patient the folds leak: name the patients in dataset.json, "
        '"groups": {"00000/img00000000.png": "patient 1", ...}'
    ]


def _format(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
