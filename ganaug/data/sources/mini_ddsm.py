"""Mini-DDSM: mammograms of normal breasts, benign findings and cancers, scanned from film, with masks of the findings.

Where it comes from: https://www.kaggle.com/datasets/cheddad/miniddsm2, the folders `MINI-DDSM-Complete-JPEG-8` and
`MINI-DDSM-Complete-PNG-16`; its user downloads it, this tool downloads nothing. Licence: none is known here; the
authors call the access free, so read the terms on the page before images are passed on. To be cited: Lekamlage,
Afzal, Westerberg and Cheddad, "Mini-DDSM: Mammography-based Automatic Age Estimation", DMIP 2020; the films are those
of the Digital Database for Screening Mammography (Heath et al. 2001).

{Normal,Benign,Cancer}/<case>/<letter>_<case>_1.<LEFT|RIGHT>_<CC|MLO>.{jpg,png}, with `_Mask` and maybe a number before
the suffix for the masks: these belong to their image and are never images. The four views of a case are of one
patient, so a patient is status and case. `DataWMask.xlsx` repeats what the names say and is not read. The two folders
hold the same mammograms at 8 and 16 bits, so one of them is a data set and both are not.
"""

import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ganaug.config import PrepareConfig
from ganaug.data.archives.files import is_image_name, open_files, printable, source_path
from ganaug.data.sources.scans.scan import Item, Scan, reading
from ganaug.data.sources.scans.skipped import why_none
from ganaug.errors import DataError, private

CLASSES = ("Normal", "Benign", "Cancer")
LICENCE = "not stated by the source: read the terms on its page"
CITATION = "Lekamlage et al., Mini-DDSM: Mammography-based Automatic Age Estimation, DMIP 2020"
_NAME = re.compile(r"(?P<image>[A-Z]_(?P<case>\d+)_\d+\.(LEFT|RIGHT)_(CC|MLO))(?P<mask>_(?i:mask)\w*)?")
_LAYOUT = "{Normal,Benign,Cancer}/<case>/A_<case>_1.LEFT_CC.jpg"


def scan(config: PrepareConfig) -> Scan:
    """List the mammograms of a folder or an archive, however nested; raises DataError where there is none."""
    source = source_path(config)
    files = open_files(source)
    items: dict[str, Item] = {}  # by image_id
    masks: dict[str, list[str]] = defaultdict(list)  # by the path of their image, less its suffix
    repeated: list[PurePosixPath] = []
    skipped, suffixes = list(files.skipped), Counter[str]()
    for path in filter(is_image_name, map(PurePosixPath, files.names)):
        match = _NAME.fullmatch(path.stem)
        if match and match["mask"]:
            masks[str(path.with_name(match["image"]))].append(str(path))
            continue
        suffixes[path.suffix.lower()] += bool(match)
        status = _status_of(path)
        image_id = f"{status}-{path.stem}"
        if reason := _objection(path, match, status):
            skipped.append((str(path), reason))
        elif image_id in items:
            repeated.append(path)
        else:
            items[image_id] = Item(str(path), CLASSES.index(status), f"{status}-{path.parent.name}", image_id)
    _require_one_tree(source, suffixes, items, skipped)
    for path in repeated:
        masks.pop(str(path.with_suffix("")), None)
    found = [_with_masks(items[image_id], masks) for image_id in sorted(items)]
    skipped += [(mask, "a mask without an image") for orphans in masks.values() for mask in orphans]
    notes = [f"{len(repeated)} files bear the name of another in a second folder and were skipped"]
    return Scan(
        class_names=CLASSES,
        items=tuple(found),
        read=reading(files),
        licence=LICENCE,
        citation=CITATION,
        skipped=tuple(skipped),
        notes=tuple(notes if repeated else ()),
        class_of=lambda path: _status_of(PurePosixPath(path)),
    )


def patient_of(path: str) -> str:
    """The patient, status and case, of a mammogram by its folder and name; empty where these are not Mini-DDSM's."""
    match, status = _NAME.fullmatch(PurePosixPath(path).stem), _status_of(PurePosixPath(path))
    return f"{status}-{match['case']}" if match and status else ""


def _status_of(path: PurePosixPath) -> str:
    return next((part for part in reversed(path.parts[:-1]) if part in CLASSES), "")


def _objection(path: PurePosixPath, match: re.Match[str] | None, status: str) -> str:
    """Why a file that is no mask is skipped, or nothing."""
    if not match:
        return "the name is not of Mini-DDSM's form A_0001_1.LEFT_CC.jpg"
    if not status:
        return "it stands in none of the folders Normal, Benign and Cancer"
    if path.parent.name != match["case"]:
        folder, case = private(printable(path.parent.name)), private(match["case"])
        return f"it stands in the folder {folder}, and its name says case {case}"
    return ""


def _require_one_tree(
    source: Path, suffixes: Counter[str], items: dict[str, Item], skipped: list[tuple[str, str]]
) -> None:
    if not items:
        raise DataError(
            f"{source} holds no mammogram of Mini-DDSM{why_none(skipped)}", expected=f"names such as {_LAYOUT}"
        )
    num_jpeg, num_png = suffixes[".jpg"] + suffixes[".jpeg"], suffixes[".png"]
    if num_jpeg and num_png:
        raise DataError(
            f"{source} holds the mammograms twice: {num_jpeg} as JPEG and {num_png} as PNG",
            todo="point --source to one of MINI-DDSM-Complete-JPEG-8 and MINI-DDSM-Complete-PNG-16",
        )


def _with_masks(item: Item, masks: dict[str, list[str]]) -> Item:
    """The image with the masks that belong to it, which are taken out of `masks`."""
    return replace(item, masks=tuple(sorted(masks.pop(str(PurePosixPath(item.path).with_suffix("")), ()))))
