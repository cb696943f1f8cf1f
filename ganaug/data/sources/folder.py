"""A user's own images: `<root>/<class>/[<patient>/]*` of PNG, JPEG or TIFF files, in a folder or an archive, or a CSV.

The CSV has the columns `path,label[,group][,site][,magnification]`, in any order, with paths relative to its own
folder; `group` is the patient and `site` the laboratory. In a folder the patient is the folder below the class; the
same patient name under two classes is the same patient. An image without a known patient counts as a patient of its
own, which is safe only if no patient has two: a notice says so. `x_mask.png` beside `x.png` is its mask and no image.

The data, their licence and their citation are the user's; this tool downloads nothing.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ganaug.config import PrepareConfig
from ganaug.data.sources.dataset_zip import DATASET_JSON
from ganaug.data.sources.files import Files, files_at, is_image_name, open_files, printable, source_path
from ganaug.data.sources.scan import Item, Scan, reading
from ganaug.errors import DataError, LeakError
from ganaug.workspace import PROVENANCE_BESIDE_IMAGES

_LAYOUT = "<root>/<class>/[<patient>/]*.png, or a CSV with the columns path,label[,group]"
_MASK = re.compile(r"(?P<stem>.+?)[ _-]mask[ _-]?\d*", re.IGNORECASE)
_MASK_FOLDERS = ("mask", "masks")


@dataclass(frozen=True)
class _Row:
    """What is known of one image before it is opened."""

    path: str
    label: str
    group: str  # the patient, empty where unknown
    site: str = ""
    magnification: int = 0


@dataclass
class _Listing:
    files: Files
    rows: list[_Row]
    left_out: list[tuple[str, str]]
    notices: list[str]


def scan(config: PrepareConfig) -> Scan:
    """List the images of classes' folders or of a manifest; raises DataError where there are under two classes."""
    source = source_path(config)
    listing = _manifest(source) if source.suffix.lower() in (".csv", ".tsv", ".txt") else _folders(source)
    masks = _take_masks(listing)
    rows, notices = listing.rows, listing.notices
    class_names = tuple(sorted({row.label for row in rows}))
    if len(class_names) < 2:
        raise DataError(
            f"{source} holds {len(rows)} images in {len(class_names)} classes",
            expected=f"two classes or more in {_LAYOUT}",
        )
    num_unknown = sum(not row.group for row in rows)
    if num_unknown:
        notices.append(
            f"no patient is known for {num_unknown} of {len(rows)} images: each counts as a patient of its own. If "
            "several come from one patient the folds leak: give each patient a folder, or a CSV with the column group"
        )
    return Scan(
        class_names=class_names,
        items=tuple(_item(row, class_names, masks.get(row.path, ()), config.um_per_px) for row in rows),
        read=reading(listing.files),
        licence="the user's",
        citation="the user's",
        left_out=tuple(listing.left_out),
        notices=tuple(notices),
    )


def _item(row: _Row, class_names: Sequence[str], masks: tuple[str, ...], um_per_px: float | None) -> Item:
    name = printable(row.path)
    label, group = class_names.index(row.label), row.group or name
    return Item(row.path, label, group, name, row.magnification, row.site, um_per_px, masks)


def _folders(source: Path) -> _Listing:
    """The images below folders that are classes; the folder above all of them is gone into."""
    files = open_files(source)
    if any(PurePosixPath(name).name == PROVENANCE_BESIDE_IMAGES for name in files.names):
        raise LeakError(
            f"{source} holds images that a generator made ({PROVENANCE_BESIDE_IMAGES} lies there)",
            expected="images of patients: synthetic ones would stand for patients who do not exist",
            todo="give the study the HDF5 file of `ganaug synthesize`",
        )
    if any(PurePosixPath(name).name == DATASET_JSON for name in files.names):
        raise DataError(f"{source} holds a {DATASET_JSON}", todo="read it with --dataset zip")
    paths = [PurePosixPath(name) for name in files.names if is_image_name(PurePosixPath(name))]
    depth = 0 if source.is_dir() else _depth_of_root(paths)
    rows, left_out = [], list(files.left_out)
    for path in paths:
        below = [printable(part) for part in path.parts[depth:]]
        if len(below) < 2:
            left_out.append((str(path), "stands outside of every class folder"))
        elif below[0].lower() in _MASK_FOLDERS:
            left_out.append((str(path), "stands in a folder of masks, which is no class"))
        else:
            rows.append(_Row(str(path), below[0], below[1] if len(below) > 2 else ""))
    return _Listing(files, rows, left_out, [])


def _depth_of_root(paths: Sequence[PurePosixPath]) -> int:
    """How many folders an archive's images all lie in before their paths part: archives often hold one folder."""
    depth = 0
    while paths and all(len(path.parts) > depth + 2 for path in paths) and len({p.parts[depth] for p in paths}) == 1:
        depth += 1
    return depth


def _take_masks(listing: _Listing) -> dict[str, tuple[str, ...]]:
    """Take the masks out of the rows; returns them by the path of their image."""
    image_of = {PurePosixPath(row.path).with_suffix("").as_posix(): row.path for row in listing.rows}
    masks: dict[str, tuple[str, ...]] = defaultdict(tuple)
    images = []
    for row in listing.rows:
        path = PurePosixPath(row.path)
        match = _MASK.fullmatch(path.stem)
        owner = image_of.get(path.with_name(match["stem"]).as_posix()) if match else None
        if owner:
            masks[owner] += (row.path,)
        elif match:
            listing.left_out.append((row.path, "named like a mask, and there is no image it belongs to"))
        else:
            images.append(row)
    listing.rows = images
    return masks


# ---- a CSV -----------------------------------------------------------------------------------------------------------


def _manifest(manifest: Path) -> _Listing:
    """The rows of a CSV; images that are missing, without a label, or listed in two ways are left out."""
    found: dict[str, _Row] = {}
    left_out: dict[str, str] = {}
    notices = []
    for number, row in _lines(manifest):
        if row.path in left_out:
            continue
        first = found.get(row.path)
        if first == row:
            notices.append(f"line {number} of {manifest.name} repeats {printable(row.path)}")
        elif first:
            ways = f"{first.label} {first.group}".strip(), f"{row.label} {row.group}".strip()
            left_out[row.path] = f"line {number} of {manifest.name} lists it as {ways[1]}, an earlier one as {ways[0]}"
            del found[row.path]
        elif not row.label:
            left_out[row.path] = f"line {number} of {manifest.name} has no label"
        elif not is_image_name(PurePosixPath(row.path)):
            left_out[row.path] = "the name is not of a PNG, JPEG or TIFF file"
        elif not (manifest.parent / row.path).is_file():
            left_out[row.path] = "there is no such file"
        else:
            found[row.path] = row
    return _Listing(files_at(manifest.parent), list(found.values()), list(left_out.items()), notices)


def _lines(manifest: Path) -> Iterator[tuple[int, _Row]]:
    """Line number and content, stripped of spaces, of each line with a path."""
    try:
        text = manifest.read_text(encoding="utf-8-sig")  # with or without a byte order mark
        delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
        missing = [name for name in ("path", "label") if name not in reader.fieldnames]
        if missing:
            raise DataError(
                f"{manifest} has the columns {', '.join(reader.fieldnames) or 'none'}", expected="path,label[,group]"
            )
        for line in reader:
            cells = {name: (line.get(name) or "").strip() for name in ("path", "label", "group", "site")}
            if cells["path"]:
                magnification = (line.get("magnification") or "").strip().rstrip("xX×")
                known = magnification.isdecimal()
                yield reader.line_num, _Row(**cells, magnification=int(magnification) if known else 0)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest} is no CSV in UTF-8 ({error})", expected=_LAYOUT) from error
