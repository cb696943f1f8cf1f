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

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ganaug.config import BREAST_CLASSES, PrepareConfig
from ganaug.data.sources.files import Files, existing, is_image_name, open_files, printable, source_path
from ganaug.data.sources.scan import UNLABELLED, Item, Scan, reading
from ganaug.errors import ConfigError, DataError

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
    left_out: list[tuple[str, str]]  # path and reason
    notices: list[str]


def scan(config: PrepareConfig) -> Scan:
    """List the training or test images of a folder or an archive; raises DataError where there is none."""
    source = source_path(config)
    files = open_files(source)
    splits: dict[str, dict[str, str]] = {}
    if config.part == "test":
        if config.patients_csv:
            raise ConfigError("--patients-csv with --part test", expected="it only for the training images")
        listing = _test_images(source, files)
    else:
        listing = _training_images(source, files)
        if config.patients_csv:
            _give_patients(listing, existing(config.patients_csv, "--patients-csv"))
        splits = _splits(listing)
        listing.notices += _lone_images(listing.items, config)
    return Scan(
        class_names=BREAST_CLASSES,
        items=tuple(listing.items),
        read=reading(files),
        licence=LICENCE,
        citation=CITATION,
        native_width_px=WIDTH_PX,
        left_out=tuple(listing.left_out),
        notices=tuple(listing.notices),
        splits=splits,
    )


def _training_images(source: Path, files: Files) -> _Listing:
    """The images on whose label all witnesses agree; each counts as a patient of its own."""
    truth = _ground_truth(files)
    found: dict[str, Item] = {}
    left_out, others, repeated = list(files.left_out), [], []
    for path in _images(files):
        name, stem = parse_name(path), _stem(path)
        folder = next((part for part in reversed(PurePosixPath(path).parts[:-1]) if part in BREAST_CLASSES), "")
        if name is None and not folder:
            others.append(path)
        elif reason := _objection(name, folder, truth.get(stem, set())):
            left_out.append((path, reason))
        elif stem in found:
            repeated.append(path)
        elif name:
            found[stem] = Item(path, BREAST_CLASSES.index(name.class_name), stem, stem, um_per_px=UM_PER_PX)
    if not found:
        tests = [path for path in others if _TEST_NAME.fullmatch(_stem(path))]
        if tests:
            raise DataError(f"{source} holds the {len(tests)} test images only", todo="read them with --part test")
        such = f", such as {printable(left_out[0][0])}: {left_out[0][1]}" if left_out else ""
        raise DataError(f"{source} holds no usable image of BACH{such}", expected=_LAYOUT)
    notices = _passed_over(repeated, others, "no training images of BACH")
    return _Listing([found[stem] for stem in sorted(found)], left_out, notices)


def _test_images(source: Path, files: Files) -> _Listing:
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
            found[stem] = Item(path, UNLABELLED, stem, stem, um_per_px=UM_PER_PX)
    if not found:
        raise DataError(
            f"{source} holds no test image of BACH ({len(others)} images of other names)",
            expected="ICIAR2018_BACH_Challenge_TestDataset/Photos/testN.tif",
        )
    items = sorted(found.values(), key=lambda item: int(item.image_id.removeprefix("test")))
    return _Listing(items, list(files.left_out), _passed_over(repeated, others, "no test images of BACH"))


def _images(files: Files) -> Iterator[str]:
    return (name for name in files.names if is_image_name(PurePosixPath(name)))


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem.lower()


def _passed_over(repeated: Sequence[str], others: Sequence[str], what: str) -> list[str]:
    notices = []
    if repeated:
        notices.append(f"{len(repeated)} files bear the name of another in a second folder and were left out")
    if others:
        notices.append(f"{len(others)} images that are {what} were passed over, such as {printable(others[0])}")
    return notices


def _objection(name: Name | None, folder: str, truth: set[str]) -> str:
    """Why an image is left out, or nothing: its witnesses are its folder, its name and the ground truth."""
    if name is None:
        return "the name is not of BACH's form b001.tif"
    if not folder:
        return "it stands in none of the folders Benign, InSitu, Invasive and Normal"
    if {folder, name.class_name} | truth == {name.class_name}:
        return ""
    told = f", {GROUND_TRUTH} {' and '.join(sorted(truth))}" if truth else ""
    return f"the label is in doubt: the folder says {folder}, the name {name.class_name}{told}"


def _ground_truth(files: Files) -> dict[str, set[str]]:
    """The labels that the organisers' table, where it is there, gives each image."""
    truth: dict[str, set[str]] = defaultdict(set)
    for table in files.names:
        if PurePosixPath(table).name == GROUND_TRUTH:
            for name, label in _rows(files.table(table), table):
                if parse_name(name):
                    truth[_stem(name)].add(label)
    return truth


# ---- patients --------------------------------------------------------------------------------------------------------


def _give_patients(listing: _Listing, table: Path) -> None:
    """Give the images the patients of a CSV; an image under two patients is left out."""
    if table.is_dir():
        raise DataError(f"{table} is a folder", expected="a CSV of file,patient")
    patients: dict[str, set[str]] = defaultdict(set)
    for position, (file, patient) in enumerate(_rows(table.read_bytes(), str(table))):
        if file and patient and (position or parse_name(file)):  # the first line may be a header
            patients[_stem(file)].add(patient)
    strangers = sorted(set(patients) - {item.image_id for item in listing.items})
    if len(strangers) == len(patients):
        raise DataError(
            f"{table} gives a patient to none of the {len(listing.items)} images",
            expected="lines such as b001.tif,patient-7",
        )
    if strangers:
        listing.notices.append(
            f"{len(strangers)} images of {table.name} are not there, such as {printable(strangers[0])}"
        )
    kept = []
    for item in listing.items:
        known = sorted(patients.get(item.image_id, {item.group_id}))
        if len(known) > 1:
            listing.left_out.append((item.path, f"{table.name} gives it the patients {' and '.join(known)}"))
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
    torn = sorted(group for group, found in parts.items() if len(found) > 1)
    if torn:
        listing.notices.append(
            f"the split {SPLIT} is not on offer: it would part {len(torn)} patients, such as {torn[0]}"
        )
        return {}
    return {SPLIT: {group: part for group, (part,) in parts.items()}}


def _rows(data: bytes, name: str) -> Iterator[tuple[str, str]]:
    """The first two cells of each line, stripped of spaces."""
    try:
        text = data.decode("utf-8-sig")  # with or without a byte order mark
        delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
        for row in csv.reader(text.splitlines(), delimiter=delimiter):
            if row:
                first, second = (*row, "")[:2]
                yield first.strip(), printable(second.strip())
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{name} is no CSV in UTF-8 ({error})", expected="file and label, or file and patient"
        ) from error
