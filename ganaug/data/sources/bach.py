"""BACH: 400 H&E images of 2048×1536 px at 0.42 µm per pixel, 100 of each of four classes, and 100 without labels.

Where it comes from: the ICIAR 2018 grand challenge on breast cancer histology, https://zenodo.org/records/3632035,
`ICIAR2018_BACH_Challenge.zip` and `ICIAR2018_BACH_Challenge_TestDataset.zip`; its user downloads it, this tool
downloads nothing. Licence: CC BY-NC-ND 4.0. To be cited: Aresta et al., "BACH: Grand challenge on breast cancer
histology images", Medical Image Analysis 56, 2019.

`part="train"` reads Photos/{Benign,InSitu,Invasive,Normal}/{b,is,iv,n}NNN.tif, wherever these folders stand. Folder,
file name and `microscopy_ground_truth.csv`, where it is there, must agree on an image's label. `part="test"` reads the
organisers' testN.tif, which have no labels. The whole-slide images of the challenge are not read.

Patients are known only in part. With `patients_csv`, a CSV of `file,patient`, the images of a patient stay together;
an image without a patient counts as a patient of its own, as the organisers say that unidentified images may be taken
to come from patients other than the identified ones. The split `patient-safe` of 268 training and 132 test images
keeps the known patients apart: the benchmark eva uses it, and gives it as ranges of the sorted file names.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ganaug.config import BREAST_CLASSES, PrepareConfig
from ganaug.data.archives.files import Files, existing, is_image_name, open_files, printable, source_path
from ganaug.data.sources.scans.listed import read_listed
from ganaug.data.sources.scans.scan import UNLABELLED, Item, Scan, no_class, reading
from ganaug.data.sources.scans.skipped import why_none
from ganaug.data.tables import Row, read_bytes, read_rows, require_width
from ganaug.errors import ConfigError, DataError, private

PREFIXES = {"b": "Benign", "is": "InSitu", "iv": "Invasive", "n": "Normal"}
UM_PER_PX = 0.42
WIDTH_PX = 2048
LICENCE = "CC BY-NC-ND 4.0"
CITATION = "Aresta et al., BACH: Grand challenge on breast cancer histology images, Medical Image Analysis 56, 2019"
GROUND_TRUTH = "microscopy_ground_truth.csv"
SPLIT = "patient-safe"
_SPLIT_TRAIN = ((0, 41), (59, 60), (90, 139), (169, 240), (258, 260), (273, 345), (368, 400))
_NAME = re.compile(r"(b|is|iv|n)(\d{3})")
_TEST_NAME = re.compile(r"test(\d+)")
_LAYOUT = "Photos/{Benign,InSitu,Invasive,Normal}/{b,is,iv,n}NNN.tif"


@dataclass(frozen=True)
class Name:
    """What the name of a training image says."""

    class_name: str
    number: int  # 1 to 100

    @property
    def split_part(self) -> str:
        """The image's part in the patient-safe split, "train" or "test"."""
        place = 100 * BREAST_CLASSES.index(self.class_name) + self.number - 1
        return "train" if any(start <= place < stop for start, stop in _SPLIT_TRAIN) else "test"


def parse_name(name: str) -> Name | None:
    """What a file name says, with or without folders and suffix; None where it is not of BACH's form."""
    match = _NAME.fullmatch(_stem(name))
    if not match or not 1 <= int(match[2]) <= 100:
        return None
    return Name(PREFIXES[match[1]], int(match[2]))


@dataclass
class _Listing:
    items: list[Item]
    skipped: list[tuple[str, str]]  # path and reason
    notes: list[str]


def scan(config: PrepareConfig) -> Scan:
    """List the training or test images of a folder or an archive; raises DataError where there is none."""
    source = source_path(config)
    files = open_files(source)
    splits: dict[str, dict[str, str]] = {}
    if config.part == "test":
        if config.patients_csv:
            raise ConfigError("--patients-csv with --part test", expected="it only for the training images")
        listing = _test_images(source, files, config)
    else:
        listing = _training_images(source, files, config)
        if config.patients_csv:
            _give_patients(listing, existing(config.patients_csv, "--patients-csv"))
        splits = _splits(listing)
        listing.notes += _lone_images(listing.items, config)
    return Scan(
        class_names=BREAST_CLASSES,
        items=tuple(listing.items),
        read=reading(files),
        licence=LICENCE,
        citation=CITATION,
        native_width_px=None if config.um_per_px else WIDTH_PX,
        skipped=tuple(listing.skipped),
        notes=tuple(listing.notes),
        splits=splits,
        class_of=_class_of if config.part != "test" else no_class,
    )


def _class_of(path: str) -> str:
    """The class that the name or the folder of an image says."""
    name = parse_name(path)
    return name.class_name if name else _class_folder(path)


def _class_folder(path: str) -> str:
    return next((part for part in reversed(PurePosixPath(path).parts[:-1]) if part in BREAST_CLASSES), "")


def _training_images(source: Path, files: Files, config: PrepareConfig) -> _Listing:
    """The images on whose label all witnesses agree; each counts as a patient of its own."""
    truth, notes = _ground_truth(source, files)
    found: dict[str, Item] = {}
    skipped, others, repeated = list(files.skipped), [], []
    for path in _images(files):
        name, stem = parse_name(path), _stem(path)
        folder = _class_folder(path)
        if name is None and not folder:
            others.append(path)
        elif reason := _objection(name, folder, truth.get(stem, set())):
            skipped.append((path, reason))
        elif stem in found:
            repeated.append(path)
        elif name:
            label = BREAST_CLASSES.index(name.class_name)
            found[stem] = Item(path, label, stem, stem, um_per_px=config.um_per_px or UM_PER_PX)
    if not found:
        tests = [path for path in others if _TEST_NAME.fullmatch(_stem(path))]
        if tests:
            raise DataError(f"{source} holds the {len(tests)} test images only", todo="read them with --part test")
        raise DataError(f"{source} holds no usable image of BACH{why_none(skipped)}", expected=_LAYOUT)
    notes += _notes_on_skipped(repeated, others, "no training images of BACH")
    return _Listing([found[stem] for stem in sorted(found)], skipped, notes)


def _test_images(source: Path, files: Files, config: PrepareConfig) -> _Listing:
    """The organisers' images without labels, in the order of their numbers."""
    found: dict[str, Item] = {}
    others, repeated = [], []
    for path in _images(files):
        stem = _stem(path)
        if not _TEST_NAME.fullmatch(stem):
            others.append(path)
        elif stem in found:
            repeated.append(path)
        else:
            found[stem] = Item(path, UNLABELLED, stem, stem, um_per_px=config.um_per_px or UM_PER_PX)
    if not found:
        raise DataError(
            f"{source} holds no test image of BACH ({len(others)} images of other names){why_none(files.skipped)}",
            expected="ICIAR2018_BACH_Challenge_TestDataset/Photos/testN.tif",
        )
    items = sorted(found.values(), key=lambda item: int(item.image_id.removeprefix("test")))
    return _Listing(items, list(files.skipped), _notes_on_skipped(repeated, others, "no test images of BACH"))


def _images(files: Files) -> Iterator[str]:
    return (name for name in files.names if is_image_name(PurePosixPath(name)))


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem.lower()


def _notes_on_skipped(repeated: Sequence[str], others: Sequence[str], what: str) -> list[str]:
    notes = []
    if repeated:
        notes.append(f"{len(repeated)} files bear the name of another in a second folder and were skipped")
    if others:
        notes.append(f"{len(others)} images that are {what} were passed over, such as {private(printable(others[0]))}")
    return notes


def _objection(name: Name | None, folder: str, truth: set[str]) -> str:
    """Why an image is skipped, or nothing: its witnesses are its folder, its name and the ground truth."""
    if name is None:
        return "the name is not of BACH's form b001.tif"
    if not folder:
        return "it stands in none of the folders Benign, InSitu, Invasive and Normal"
    if {folder, name.class_name} | truth == {name.class_name}:
        return ""
    truth_says = f", {GROUND_TRUTH} {' and '.join(map(private, sorted(truth)))}" if truth else ""
    return f"the label is in doubt: the folder says {folder}, the name {name.class_name}{truth_says}"


def _ground_truth(source: Path, files: Files) -> tuple[dict[str, set[str]], list[str]]:
    """The labels that the organisers' table, where it is there, gives each image; a note where it is empty."""
    notes: list[str] = []
    truth: dict[str, set[str]] = defaultdict(set)
    for table in files.names:
        if PurePosixPath(table).name == GROUND_TRUTH:
            data = read_listed(files, table, str(source))
            rows = _rows(data, table, "file,label") if data.strip() else []
            if not rows:
                notes.append(f"{private(printable(table))} lists no image, so folder and name alone say the labels")
            for row in rows:
                name, label = row.cells[:2]
                if parse_name(name):
                    truth[_stem(name)].add(label)
    return truth, notes


# ---- patients --------------------------------------------------------------------------------------------------------


def _give_patients(listing: _Listing, table: Path) -> None:
    """Give the images the patients of a CSV; an image under two patients is skipped."""
    patients: dict[str, set[str]] = defaultdict(set)
    for row in _rows(read_bytes(table), str(table), "file,patient"):
        file, patient = row.cells[:2]
        if file and patient:
            patients[_stem(file)].add(printable(patient))
    unknown = sorted(set(patients) - {item.image_id for item in listing.items})
    if len(unknown) == len(patients):
        raise DataError(
            f"{table} gives a patient to none of the {len(listing.items)} images",
            expected="lines such as b001.tif,patient-7",
        )
    if unknown:
        listing.notes.append(
            f"{len(unknown)} images of {private(table.name)} are not there, such as {private(printable(unknown[0]))}"
        )
    kept = []
    for item in listing.items:
        known = sorted(patients.get(item.image_id, {item.group_id}))
        if len(known) > 1:
            several = " and ".join(map(private, known))
            listing.skipped.append((item.path, f"{private(table.name)} gives it the patients {several}"))
        else:
            kept.append(replace(item, group_id=known[0]))
    listing.items = kept


def _lone_images(items: Sequence[Item], config: PrepareConfig) -> list[str]:
    """What to say of images that count as patients of their own."""
    num_alone = sum(item.group_id == item.image_id for item in items)
    if not num_alone:
        return []
    alone = f"no patient is known for {num_alone} of {len(items)} images: each counts as a patient of its own"
    if config.patients_csv or config.folds.fixed == SPLIT:
        return [alone]
    return [
        f"{alone}. Where several come from one patient the folds leak: give a CSV of file and patient with "
        f"--patients-csv, or keep to the split that is known to be safe with --split {SPLIT}"
    ]


def _splits(listing: _Listing) -> dict[str, dict[str, str]]:
    """The patient-safe split, unless it would part a patient of the CSV."""
    parts: dict[str, set[str]] = defaultdict(set)
    for item in listing.items:
        name = parse_name(item.image_id)
        assert name is not None
        parts[item.group_id].add(name.split_part)
    divided = sorted(group for group, found in parts.items() if len(found) > 1)
    if divided:
        listing.notes.append(
            f"the split {SPLIT} is not on offer: it would part {len(divided)} patients, such as {private(divided[0])}"
        )
        return {}
    return {SPLIT: {group: part for group, (part,) in parts.items()}}


def _rows(data: bytes, name: str, columns: str) -> list[Row]:
    """The rows of a table of two columns, less its header if it has one; with a header it may have more columns."""
    first, *others = read_rows(data, name, columns.split(","))
    is_header = parse_name(first.cells[0]) is None
    if not is_header or len(first.cells) < 2:
        require_width(first.cells, 2, f"line {first.line} of {name}")
    return others if is_header else [first, *others]
