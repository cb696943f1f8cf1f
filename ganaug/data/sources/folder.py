"""A user's own images: a folder `<root>/<class>/[<patient>/]*` of PNG, JPEG or TIFF files, or a CSV manifest.

The manifest has the columns `path,label[,group]`, with paths relative to its own folder; `group` is the patient. In a
folder the patient is the folder below the class; the same patient name under two classes is the same patient. An image
without a known patient counts as a patient of its own, which is safe only if no patient has two: a notice says so.

The data, their licence and their citation are the user's; this tool downloads nothing.
"""

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ganaug.config import PrepareConfig
from ganaug.data.sources.scan import Item, Load, Scan, is_image_name, printable, read_file, source_path
from ganaug.errors import DataError

_LAYOUT = "<root>/<class>/[<patient>/]*.png, or a CSV with the columns path,label[,group]"
_Row = tuple[str, str, str]  # path, class, patient or ""
_Listing = tuple[list[_Row], list[tuple[str, str]], list[str]]  # rows, left out with reasons, notices


def scan(config: PrepareConfig) -> Scan:
    """List the images of a folder of classes or of a manifest; raises DataError where there are under two classes."""
    source = source_path(config)
    if source.is_dir():
        root, (rows, left_out, notices) = source, _read_folders(source)
    else:
        root, (rows, left_out, notices) = source.parent, _read_manifest(source)
    class_names = tuple(sorted({label for _, label, _ in rows}))
    if len(class_names) < 2:
        raise DataError(
            f"{source} holds {len(rows)} images in {len(class_names)} classes",
            expected=f"two classes or more in {_LAYOUT}",
        )
    num_unknown = sum(not group for _, _, group in rows)
    if num_unknown:
        notices.append(
            f"no patient is known for {num_unknown} of {len(rows)} images: each counts as a patient of its own. If "
            "several come from one patient the folds leak: give each patient a folder, or a CSV with the column group"
        )
    return Scan(
        class_names=class_names,
        items=tuple(
            Item(path, class_names.index(label), group or printable(path), printable(path))
            for path, label, group in rows
        ),
        read=partial(_read, root),
        licence="the user's",
        citation="the user's",
        left_out=tuple(left_out),
        notices=tuple(notices),
    )


def _read(root: Path, items: Sequence[Item]) -> Iterator[tuple[int, Load]]:
    for position, item in enumerate(items):
        yield position, partial(read_file, root / item.path)


def _read_folders(root: Path) -> _Listing:
    rows = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for path in sorted(path for path in folder.rglob("*") if is_image_name(path) and path.is_file()):
            below = path.relative_to(folder).parts
            group = printable(below[0]) if len(below) > 1 else ""
            rows.append((path.relative_to(root).as_posix(), printable(folder.name), group))
    astray = sorted(path.name for path in root.iterdir() if is_image_name(path) and path.is_file())
    return rows, [(name, "stands outside of every class folder") for name in astray], []


def _read_manifest(manifest: Path) -> _Listing:
    """The rows of a CSV; a missing image or label is left out, a contradiction is refused."""
    rows: dict[str, _Row] = {}
    left_out, notices = [], []
    for number, (path, label, group) in _manifest_lines(manifest):
        if path in rows and rows[path] == (path, label, group):
            notices.append(f"line {number} of {manifest.name} repeats {path}")
        elif path in rows:
            raise DataError(
                f"line {number} of {manifest} lists {path} again, as {label} {group} after {' '.join(rows[path][1:])}",
                expected="one label and one patient for an image",
            )
        elif not label:
            left_out.append((path, f"line {number} of {manifest.name} has no label"))
        elif not (manifest.parent / path).is_file():
            left_out.append((path, "there is no such file"))
        else:
            rows[path] = (path, label, group)
    return list(rows.values()), left_out, notices


def _manifest_lines(manifest: Path) -> Iterator[tuple[int, _Row]]:
    """Line number, and path, label and group stripped of spaces, of each line with a path."""
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:  # with or without a byte order mark
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in ("path", "label") if name not in (reader.fieldnames or [])]
            if missing:
                raise DataError(
                    f"{manifest} has the columns {', '.join(reader.fieldnames or ['none'])}",
                    expected="path,label[,group]",
                )
            for row in reader:
                path, label, group = ((row.get(name) or "").strip() for name in ("path", "label", "group"))
                if path:
                    yield reader.line_num, (path, label, group)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest} is no CSV in UTF-8 ({error})", expected=_LAYOUT) from error
