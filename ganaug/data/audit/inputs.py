"""What a user gives an audit: folders, archives, manifests and prepared data sets, each for a part of the split."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ganaug.data.archives.files import existing, files_at, is_image_name, open_files, printable
from ganaug.data.schema import ImageReader, read_table
from ganaug.data.sources import breakhis
from ganaug.data.sources.expression import parse_barcode
from ganaug.data.sources.folder import MASK_NAME
from ganaug.data.sources.layout import PATIENT, SITE, Layout, infer_layout
from ganaug.data.sources.scans.listed import locate
from ganaug.data.sources.scans.names import plain
from ganaug.data.tables import UNKNOWN, read_bytes, read_cells
from ganaug.errors import DataError, private

SYNTHETIC = "synthetic"
PARTS = ("train", "validation", "test", SYNTHETIC)
_TABLES = (".csv", ".tsv", ".txt")


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


def open_input(part: str, given: str) -> Input:
    """List the images of a folder, an archive, a CSV or an HDF5 file of ganaug, without reading a pixel.

    Raises DataError where it is none of these or holds no image.
    """
    path = existing(given, f"--{part}")
    if path.suffix.lower() == ".h5":
        found = _stored(part, given, path)
    elif path.suffix.lower() in _TABLES and not path.is_dir():
        found = _manifest(part, given, path)
    else:
        found = _folder(part, given, path)
    if not found.entries:
        reason = f", such as {private(found.skipped[0][0])}: {found.skipped[0][1]}" if found.skipped else ""
        raise DataError(
            f"{given} holds no image that is read ({len(found.skipped)} skipped{reason})",
            expected="PNG, JPEG or TIFF files",
            todo="name another folder or table",
        )
    return found


def _stored(part: str, given: str, path: Path) -> Input:
    table = read_table(path)
    is_real = part != SYNTHETIC
    columns = zip(table.path.tolist(), table.group_id.tolist(), table.site_id.tolist(), table.sha256.tolist())
    entries = tuple(
        Entry(part, given, row, printable(name), group if is_real else "", site if is_real else "", sha256)
        for row, (name, group, site, sha256) in enumerate(columns, 1)
    )
    return Input(entries, StoredPixels(path))


def _manifest(part: str, given: str, path: Path) -> Input:
    """The rows of a CSV with the column path, relative to its folder, and group and site where it has them."""
    table = read_cells(read_bytes(path), str(path), ("path",), ("label", "group", "site"))
    cells = [(row.line, table.values(row, "path", "group", "site")) for row in table.rows]
    here = locate((listed for _, (listed, *_) in cells), lambda name: _is_file(path.parent / name))
    entries, paths, skipped = [], [], []
    for line, (listed, group, site) in cells:
        name = here.place_of[listed]
        if not name or not _is_file(path.parent / name):
            skipped.append((printable(name), f"line {line}: there is no such file"))
            continue
        entries.append(_entry(part, given, line, name, _known(group), _known(site)))
        paths.append(name)
    return Input(tuple(entries), FilePixels(path, tuple(paths), is_manifest=True), tuple(here.notes), tuple(skipped))


def _folder(part: str, given: str, path: Path) -> Input:
    files = open_files(path)
    stems = {PurePosixPath(name).with_suffix("").as_posix() for name in files.names}
    names = [name for name in files.names if is_image_name(PurePosixPath(name)) and not _is_mask(name, stems)]
    above = [tuple(map(plain, PurePosixPath(name).parts[:-1])) for name in names]
    notes = []
    try:
        layout = infer_layout(above, given)
    except DataError as error:
        layout = Layout(())
        notes.append(f"patients are known by the names of files alone ({error.shared})")
    entries = tuple(
        _entry(part, given, row, name, layout.name(folders, PATIENT), layout.name(folders, SITE))
        for row, (name, folders) in enumerate(zip(names, above, strict=True), 1)
    )
    if part != SYNTHETIC and (unknown := sum(not entry.patient for entry in entries)):
        notes.append(f"no patient is known for {unknown} of {len(entries)} images of {given}")
    return Input(entries, FilePixels(path, tuple(names), is_manifest=False), tuple(notes), tuple(files.skipped))


def _entry(part: str, given: str, row: int, name: str, patient: str, site: str) -> Entry:
    """The entry of a file; BreakHis names and TCGA barcodes say patient and site where nothing else does."""
    shown = printable(name)
    if part == SYNTHETIC:
        return Entry(part, given, row, shown)
    known = breakhis.parse_name(f"{PurePosixPath(name).stem}.png")
    barcode = next(filter(None, map(parse_barcode, PurePosixPath(name).with_suffix("").parts)), None)
    if known:
        patient = known.accession
    elif barcode:
        patient, site = barcode.patient, site or barcode.site
    return Entry(part, given, row, shown, patient, site)


def _known(cell: str) -> str:
    return "" if cell.lower() in UNKNOWN else cell


def _is_mask(name: str, stems: set[str]) -> bool:
    match = MASK_NAME.fullmatch(PurePosixPath(name).stem)
    return match is not None and PurePosixPath(name).with_name(match["stem"]).as_posix() in stems


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that the system cannot have
        return False
