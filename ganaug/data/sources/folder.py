"""A user's own images: `<root>/<class>/[<patient>/]*` of PNG, JPEG or TIFF files, in a folder or an archive, or a CSV.

The CSV has the columns `path,label[,group][,site][,magnification]`, in any order, with paths relative to its own
folder; `group` is the patient and `site` the laboratory. In a folder the levels are what `--layout` says, or else what
`layout.infer_layout` makes of them, and a note says which; the same patient name under two classes is the same patient.
An image without a known patient counts as a patient of its own, which is safe only if no patient has two: a note says
so. `x_mask.png` next to `x.png` is its mask and no image.

The data, their licence and their citation are the user's; this tool downloads nothing.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ganaug.config import PrepareConfig
from ganaug.data.archives.files import Files, files_at, is_image_name, open_files, printable, source_path
from ganaug.data.sources.dataset_zip import DATASET_JSON
from ganaug.data.sources.layout import (
    CLASS,
    MAGNIFICATION,
    PART,
    PATIENT,
    SITE,
    Layout,
    depth_of_root,
    infer_layout,
    magnification_in,
    parse_layout,
    part_of,
    parts_note,
)
from ganaug.data.sources.scans.listed import locate
from ganaug.data.sources.scans.names import plain
from ganaug.data.sources.scans.scan import Item, Scan, no_class, reading
from ganaug.data.sources.scans.skipped import why_none
from ganaug.data.tables import magnification_of, read_bytes, read_cells
from ganaug.errors import ConfigError, DataError, LeakError, private, some_of
from ganaug.workspace import PROVENANCE_BESIDE_IMAGES

SPLIT = "parts"  # the name of the split that folders train, val and test make
_LAYOUT = "<root>/<class>/[<patient>/]*.png, or a CSV with the columns path,label[,group]"
MASK_NAME = re.compile(r"(?P<stem>.+?)[ _-]mask[ _-]?\d*", re.IGNORECASE)
_MASK_FOLDERS = ("mask", "masks")


@dataclass(frozen=True)
class _Row:
    """What is known of one image before it is opened."""

    path: str
    label: str
    group: str  # the patient, empty where unknown
    site: str = ""
    magnification: int = 0
    part: str = ""  # train, val or test, where the folders say so


@dataclass
class _Listing:
    files: Files
    rows: list[_Row]
    skipped: list[tuple[str, str]]
    notes: list[str]
    class_of: Callable[[str], str] = no_class
    splits: dict[str, Mapping[str, str]] = field(default_factory=dict)
    divided: tuple[str, ...] = ()  # patients who stand in two of the parts that the folders are
    todo: str = ""  # where there are too few classes
    suggestion: str = ""  # where there are too few patients


def scan(config: PrepareConfig) -> Scan:
    """List the images of classes' folders or of a manifest; raises DataError where there are under two classes."""
    source = source_path(config)
    is_manifest = source.suffix.lower() in (".csv", ".tsv", ".txt") and not source.is_dir()
    if is_manifest and config.layout:
        raise ConfigError("--layout with a CSV", expected="a folder or an archive", todo="leave --layout out")
    listing = _manifest(source) if is_manifest else _folders(source, config.layout)
    if config.folds.fixed == SPLIT and listing.divided:
        named = some_of(list(map(private, listing.divided)))
        raise LeakError(
            f"{len(listing.divided)} patients of {source} stand in two parts ({named})",
            expected="every patient in one part, as --split parts keeps to the folders",
            todo="move their images into one part, or leave --split out: folds then keep patients together",
        )
    masks = _take_masks(listing)
    rows = listing.rows
    class_names = tuple(sorted({row.label for row in rows}))
    if len(class_names) < 2:
        raise DataError(
            f"{source} holds {len(rows)} images in {len(class_names)} classes{why_none(listing.skipped)}",
            expected=f"two classes or more in {_LAYOUT}",
            todo=listing.todo,
        )
    num_unknown = sum(not row.group for row in rows)
    if num_unknown:
        listing.notes.append(
            f"no patient is known for {num_unknown} of {len(rows)} images: each counts as a patient of its own. If "
            "several come from one patient the folds leak: give each patient a folder, or a CSV with the column group"
        )
    return Scan(
        class_names=class_names,
        items=tuple(_item(row, class_names, masks.get(row.path, ()), config.um_per_px) for row in rows),
        read=reading(listing.files),
        licence="the user's",
        citation="the user's",
        skipped=tuple(listing.skipped),
        notes=tuple(listing.notes),
        splits=listing.splits,
        suggestion=listing.suggestion,
        class_of=listing.class_of,
    )


def _item(row: _Row, class_names: Sequence[str], masks: tuple[str, ...], um_per_px: float | None) -> Item:
    name = printable(row.path)
    label, group = class_names.index(row.label), row.group or name
    return Item(row.path, label, group, name, row.magnification, row.site, um_per_px, masks)


# ---- folders ---------------------------------------------------------------------------------------------------------


def _folders(source: Path, layout_text: str | None) -> _Listing:
    """The images below folders that are classes; in an archive the folder above all of them is gone into."""
    files = open_files(source)
    _require_folders_of_images(source, files)
    paths = [PurePosixPath(name) for name in files.names if is_image_name(PurePosixPath(name))]
    given = parse_layout(layout_text) if layout_text else None
    depth = 0 if source.is_dir() else depth_of_root(paths, len(given.levels) if given else 0)

    def above(path: PurePosixPath) -> tuple[str, ...]:
        return tuple(map(plain, path.parts[depth:-1]))

    is_mask = {path: any(name.lower() in _MASK_FOLDERS for name in above(path)) for path in paths}
    layout = given or infer_layout([above(path) for path in paths if not is_mask[path]], str(source))
    rows, skipped = [], list(files.skipped)
    for path in paths:
        label = layout.name(above(path), CLASS)
        if is_mask[path]:
            skipped.append((str(path), "stands in a folder of masks, which is no class"))
        elif not label:
            skipped.append((str(path), "stands outside of every class folder"))
        else:
            rows.append(_row_in(str(path), label, above(path), layout, source))
    listing = _Listing(files, rows, skipped, [], lambda path: layout.name(above(PurePosixPath(path)), CLASS))
    _note_layout(listing, layout, given is not None)
    return listing


def _require_folders_of_images(source: Path, files: Files) -> None:
    """Raise where the images are a generator's, or another source's."""
    if any(PurePosixPath(name).name == PROVENANCE_BESIDE_IMAGES for name in files.names):
        raise LeakError(
            f"{source} holds images that a generator made ({PROVENANCE_BESIDE_IMAGES} lies there)",
            expected="images of patients: synthetic ones would stand for patients who do not exist",
            todo="give the study the HDF5 file of `ganaug synthesize`",
        )
    if any(PurePosixPath(name).name == DATASET_JSON for name in files.names):
        raise DataError(f"{source} holds a {DATASET_JSON}", todo="read it with --dataset zip")


def _row_in(path: str, label: str, folders: tuple[str, ...], layout: Layout, source: Path) -> _Row:
    part = layout.name(folders, PART)
    if part and not part_of(part):
        raise DataError(
            f"{source} has the folder {part} where the layout {layout.text} has a part",
            expected="train, val or test, or another usual name of theirs",
            todo="move the folder, or name another --layout",
        )
    return _Row(
        path,
        label,
        layout.name(folders, PATIENT),
        layout.name(folders, SITE),
        magnification_in(layout.name(folders, MAGNIFICATION)),
        part_of(part),
    )


def _note_layout(listing: _Listing, layout: Layout, is_given: bool) -> None:
    """Note how the folders were read and what that does not settle, and offer the parts that they come in."""
    rows = listing.rows
    if len({row.label for row in rows}) < 2:
        above = os.path.commonpath([PurePosixPath(row.path).parent for row in rows]) if rows else "folder"
        example = "/".join([*("other" for _ in PurePosixPath(above).parts), CLASS, PATIENT])
        listing.todo = "" if is_given else f"name the levels from the top, as in --layout {example}"
        return
    counts = [f"{len({row.label for row in rows})} classes"]
    if PATIENT in layout.levels:
        counts.append(f"{len({row.group for row in rows} - {''})} patients")
    if MAGNIFICATION in layout.levels:
        found = Counter(row.magnification for row in rows)
        counts.append("magnifications " + ", ".join(f"{at}X" if at else "unknown" for at in sorted(found)))
    if PART in layout.levels:
        counts.append("parts " + ", ".join(sorted({row.part for row in rows} - {""})))
    if layout.other_readings:
        listing.suggestion = f"--layout {layout.other_readings[0]}"
    others = f"; other readings: --layout {' or '.join(layout.other_readings)}" if layout.other_readings else ""
    unless = "" if is_given else "; name the levels with --layout if they are something else"
    listing.notes.append(f"the folders are read as {layout.text}/image: {', '.join(counts)}{others or unless}")
    patients = Counter(row.group for row in rows if row.group)
    if len(patients) > 2 and set(patients.values()) == {1}:
        listing.notes.append(
            f"each of the {len(patients)} patient folders holds one image: if a patient has several, the folds leak"
        )
    if all(row.part for row in rows):
        parts: dict[str, set[str]] = defaultdict(set)
        classes: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            parts[row.group or printable(row.path)].add(row.part)
            classes[row.part].add(row.label)
        listing.divided = tuple(sorted(patient for patient, found in parts.items() if len(found) > 1))
        notes, split = parts_note(parts, classes)
        listing.notes += notes
        listing.splits = {SPLIT: split} if split else {}


def _take_masks(listing: _Listing) -> dict[str, tuple[str, ...]]:
    """Take the masks out of the rows; returns them by the path of their image."""
    image_of = {PurePosixPath(row.path).with_suffix("").as_posix(): row.path for row in listing.rows}
    masks: dict[str, tuple[str, ...]] = defaultdict(tuple)
    images = []
    for row in listing.rows:
        path = PurePosixPath(row.path)
        match = MASK_NAME.fullmatch(path.stem)
        owner = image_of.get(path.with_name(match["stem"]).as_posix()) if match else None
        if owner:
            masks[owner] += (row.path,)
        elif match:
            listing.skipped.append((row.path, "named like a mask, and there is no image it belongs to"))
        else:
            images.append(row)
    listing.rows = images
    return masks


# ---- a CSV -----------------------------------------------------------------------------------------------------------


def _manifest(manifest: Path) -> _Listing:
    """The rows of a CSV; images that are missing, without a label, or listed in two ways are skipped."""
    found: dict[str, _Row] = {}
    skipped: dict[str, str] = {}
    label_of: dict[str, str] = {}
    lines = _lines(manifest)
    here = locate((row.path for _, row in lines), lambda name: _is_file(manifest.parent / name))
    notes = here.notes
    for number, listed in lines:
        row = replace(listed, path=here.place_of[listed.path])
        label_of.setdefault(printable(row.path), row.label)
        if row.path in skipped:
            continue
        first = found.get(row.path)
        if first == row:
            notes.append(f"line {number} of {private(manifest.name)} repeats {private(printable(row.path))}")
        elif first:
            ways = [" ".join(private(name) for name in (entry.label, entry.group) if name) for entry in (first, row)]
            skipped[row.path] = (
                f"line {number} of {private(manifest.name)} lists it as {ways[1]}, an earlier one as {ways[0]}"
            )
            del found[row.path]
        elif not row.label:
            skipped[row.path] = f"line {number} of {private(manifest.name)} has no label"
        elif not is_image_name(PurePosixPath(row.path)):
            skipped[row.path] = "the name is not of a PNG, JPEG or TIFF file"
        elif not _is_file(manifest.parent / row.path):
            skipped[row.path] = "there is no such file"
        else:
            found[row.path] = row
    files = files_at(manifest.parent)
    rows = [found[name] for name in sorted(found)]  # as the files of a folder are: the order of the rows says nothing
    return _Listing(files, rows, sorted(skipped.items()), notes, lambda path: label_of.get(printable(path), ""))


def _is_file(path: Path) -> bool:
    with suppress(OSError, ValueError):  # a name that the system cannot have
        return path.is_file()
    return False


def _lines(manifest: Path) -> list[tuple[int, _Row]]:
    """Line number and content of each line."""
    table = read_cells(read_bytes(manifest), str(manifest), ("path", "label"), ("group", "site", "magnification"))
    found = []
    for row in table.rows:
        path, label, group, site, magnification = table.values(row, "path", "label", "group", "site", "magnification")
        if not path:
            raise DataError(f"line {row.line} of {manifest} has no path", expected=_LAYOUT, todo="remove the line")
        scale = magnification_of(magnification, f"line {row.line} of {manifest}")
        found.append((row.line, _Row(path, label, group, site, scale)))
    return found
