"""What a user gives an audit: folders, archives, manifests and prepared data sets, each for a part of the split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ganaug.data.archives.files import existing, files_at, is_image_name, open_files, printable
from ganaug.data.audit.folders import ImageFolder, list_folder, read_layouts
from ganaug.data.copies.duplicates import JOINED
from ganaug.data.schema import ImageReader, ImageTable, read_table
from ganaug.data.sources import breakhis
from ganaug.data.sources.expression import parse_barcode
from ganaug.data.sources.layout import PATIENT, SITE, Layout, layout_of_option
from ganaug.data.sources.scans.listed import locate
from ganaug.data.sources.scans.names import plain
from ganaug.data.sources.scans.reconcile import is_own_patient
from ganaug.data.tables import UNKNOWN, read_bytes, read_cells
from ganaug.errors import ConfigError, DataError, private, some_of

SYNTHETIC = "synthetic"
PARTS = ("train", "validation", "test", SYNTHETIC)
_TABLES = (".csv", ".tsv", ".txt")
_COLUMNS = ("label", "group", "patient", "site")  # that a manifest may have


@dataclass(frozen=True)
class Entry:
    """One image before it is opened."""

    part: str  # one of PARTS
    source: str  # as the user gave it
    row: int  # line of a manifest, else the number in the sorted list of images, from 1
    name: str  # of the file, relative to the source; of a prepared data set as it was when that was prepared
    patient: str = ""  # empty where unknown
    site: str = ""
    sha256: str = ""  # of the file that a prepared data set was made of; of other images it is read off the file


@dataclass(frozen=True)
class Input:
    """One source of a part."""

    entries: tuple[Entry, ...]
    pixels: "FilePixels | StoredPixels"
    notes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()  # path and reason
    absent: tuple[Entry, ...] = ()  # rows of a manifest without a file, which still name patients and sites

    @property
    def listed(self) -> tuple[Entry, ...]:
        """All that patients and sites are compared of."""
        return (*self.entries, *self.absent)


@dataclass(frozen=True)
class FilePixels:
    """Image files that are read one after the other; the paths are those of the entries."""

    source: Path
    paths: tuple[str, ...]
    is_manifest: bool

    def read(self) -> Iterator[tuple[int, partial[tuple[bytes, ...]]]]:
        """Positions, and what gives the bytes of the file there."""
        files = files_at(self.source.parent) if self.is_manifest else open_files(self.source)
        for position, load in files.read([(path,) for path in self.paths]):
            yield position, partial(load)


@dataclass(frozen=True)
class StoredPixels:
    """The images of a prepared data set or a synthetic file."""

    path: Path

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Images u8 [n,H,W,3]."""
        return ImageReader(self.path)[np.arange(start, stop)]


def open_inputs(given: Mapping[str, Sequence[str]], layout_text: str | None = None) -> list[Input]:
    """List the images of the sources of each part, without reading a pixel.

    A source is a folder, an archive, a CSV or an HDF5 file of ganaug. layout_text: the folder levels from the top, as
    for `ganaug prepare`; None infers them. Raises DataError where a source is none of these or holds no image,
    ConfigError for a layout that cannot be meant or has no folder to be of.
    """
    layout = layout_of_option(layout_text) if layout_text is not None else None
    sources = [(part, source, existing(source, f"--{part}")) for part, own in given.items() for source in own]
    kinds = [_kind(path) for _, _, path in sources]
    if layout and "folder" not in kinds:
        raise ConfigError("--layout without a folder", expected="a folder or an archive", todo="leave --layout out")
    folders = {
        at: list_folder(source, path, layout) for at, (_, source, path) in enumerate(sources) if kinds[at] == "folder"
    }
    real = [at for at in folders if sources[at][0] != SYNTHETIC]
    layouts, notes = ([layout] * len(real), []) if layout else read_layouts([folders[at] for at in real])
    layout_at = dict(zip(real, layouts, strict=True))
    found = []
    for at, (part, source, path) in enumerate(sources):
        if kinds[at] == "stored":
            found.append(_stored(part, source, path))
        elif kinds[at] == "manifest":
            found.append(_manifest(part, source, path))
        else:
            found.append(_folder(part, path, folders[at], layout_at.get(at, Layout(())), is_given=layout is not None))
        _require_images(found[-1], source)
    found[0] = replace(found[0], notes=(*notes, *found[0].notes))
    return [replace(each, notes=(*each.notes, *_without_patient(each))) for each in found]


def _kind(path: Path) -> str:
    """stored, manifest or folder, which is an archive too."""
    if path.suffix.lower() == ".h5":
        return "stored"
    if path.suffix.lower() in _TABLES and not path.is_dir():
        return "manifest"
    if is_image_name(path) and not path.is_dir():
        raise DataError(
            f"{path} is a picture", expected="a folder, an archive, a CSV or an .h5", todo="name its folder"
        )
    return "folder"


def _require_images(found: Input, source: str) -> None:
    if not found.listed:
        reason = f", such as {private(plain(found.skipped[0][0]))}: {found.skipped[0][1]}" if found.skipped else ""
        raise DataError(
            f"{source} holds no image that is read ({len(found.skipped)} skipped{reason})",
            expected="PNG, JPEG or TIFF files",
            todo="name another folder or table",
        )


def _without_patient(found: Input) -> Iterator[str]:
    """A note where patients are unknown."""
    entries = [entry for entry in found.listed if entry.part != SYNTHETIC]
    if unknown := sum(not entry.patient for entry in entries):
        yield f"no patient is known for {unknown} of {len(entries)} images of {entries[0].source}"


def _stored(part: str, given: str, path: Path) -> Input:
    table = read_table(path)
    is_real = part != SYNTHETIC
    columns = zip(table.path.tolist(), table.group_id.tolist(), table.image_id.tolist(), table.site_id.tolist())
    entries = tuple(
        Entry(
            part,
            given,
            row,
            printable(name),
            plain(group) if is_real and not is_own_patient(group, image) else "",
            plain(site) if is_real else "",
            sha256,
        )
        for row, ((name, group, image, site), sha256) in enumerate(zip(columns, table.sha256.tolist(), strict=True), 1)
    )
    return Input(entries, StoredPixels(path), notes=tuple(_joined(table, given)) if is_real else ())


def _joined(table: ImageTable, given: str) -> Iterator[str]:
    """Notes on patients who had several names before the data set was prepared, which it does not keep."""
    group_of = dict(zip(table.image_id.tolist(), table.group_id.tolist()))
    pairs = [(copy["a"], copy["b"]) for copy in table.attrs.get("duplicates", []) if JOINED in copy["done"].split("; ")]
    groups = {group_of[image] for pair in pairs for image in pair if image in group_of}
    if groups:
        yield (
            f"data set {given} joined patients who share a picture; {len(groups)} of its patients may stand under "
            "other names elsewhere"
        )
    options = table.attrs.get("options", {})
    is_asked = {
        "--same-patient": options.get("same_patient"),
        "--near-names merge": options.get("near_names") == "merge",
    }
    if flags := " and ".join(flag for flag, is_set in is_asked.items() if is_set):
        yield f"data set {given} was prepared with {flags}; patients and sites may stand under other names elsewhere"


def _manifest(part: str, given: str, path: Path) -> Input:
    """The rows of a CSV with the column path, relative to its folder, and group and site where it has them."""
    table = read_cells(read_bytes(path), str(path), ("path",), _COLUMNS)
    if {"group", "patient"} <= set(table.columns):
        raise DataError(f"{path} has the columns group and patient", expected="one of them", todo="remove the other")
    cells = [(row.line, table.values(row, "path", "group", "patient", "site")) for row in table.rows]
    here = locate((listed for _, (listed, *_) in cells), lambda name: _is_file(path.parent / name))
    entries, paths, absent, skipped = [], [], [], []
    for line, (listed, group, patient, site) in cells:
        name = here.place_of[listed]
        entry = _entry(part, given, line, name, _known(group or patient), _known(site), is_certain=True)
        if name and _is_file(path.parent / name):
            entries.append(entry)
            paths.append(name)
        else:
            absent.append(entry)
            skipped.append((printable(name), f"line {line}: there is no such file"))
    notes = list(here.notes)
    ignored = [column for column in table.columns if column and column not in ("path", "magnification", *_COLUMNS)]
    if ignored:
        columns = some_of([private(column) for column in ignored], 10)
        notes.append(f"the columns {columns} of {given} are ignored; patients stand in group or patient, sites in site")
    pixels = FilePixels(path, tuple(paths), is_manifest=True)
    return Input(tuple(entries), pixels, tuple(notes), tuple(skipped), tuple(absent))


def _folder(part: str, path: Path, folder: ImageFolder, layout: Layout, *, is_given: bool) -> Input:
    entries = tuple(
        _entry(part, folder.source, row, name, layout.name(above, PATIENT), layout.name(above, SITE), is_given)
        for row, (name, above) in enumerate(zip(folder.names, folder.above, strict=True), 1)
    )
    return Input(entries, FilePixels(path, folder.names, is_manifest=False), skipped=tuple(folder.skipped))


def _entry(part: str, given: str, row: int, name: str, patient: str, site: str, is_certain: bool) -> Entry:
    """The entry of a file.

    What its user says of patient and site is certain; of what the folders seem to say, BreakHis names and TCGA barcodes
    know better: there the folders are subtypes, slides and magnifications.
    """
    shown = printable(name)
    if part == SYNTHETIC:
        return Entry(part, given, row, shown)
    known = breakhis.parse_name(f"{PurePosixPath(name).stem}.png")
    barcode = next(filter(None, map(parse_barcode, PurePosixPath(name).with_suffix("").parts)), None)
    named = known.accession if known else barcode.patient if barcode else ""
    site = site or (barcode.site if barcode and not known else "")
    patient = (patient or named) if is_certain else (named or patient)
    return Entry(part, given, row, shown, plain(patient), plain(site))


def _known(cell: str) -> str:
    return "" if cell.lower() in UNKNOWN else cell


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that the system cannot have
        return False
