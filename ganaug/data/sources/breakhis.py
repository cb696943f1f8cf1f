"""BreakHis: 7,909 images of 700×460 px of benign and malignant breast tumours at four magnifications.

Where it comes from: https://web.inf.ufpr.br/vri/databases/breast-cancer-histopathological-database-breakhis/,
`BreaKHis_v1.tar.gz`; its user downloads it, this tool downloads nothing. Licence: CC BY 4.0. To be cited: Spanhol,
Oliveira, Petitjean and Heutte, "A Dataset for Breast Cancer Histopathological Image Classification", IEEE Transactions
on Biomedical Engineering 63(7), 2016.

The mirrors nest the folders differently, so only the file name counts:
SOB_<B|M>_<TYPE>-<YEAR>-<SLIDE>-<MAGNIFICATION>-<NUMBER>.png.
A slide's letters (22549AB, 22549CD) mark parts of one accession, so a patient is year and digits (14-22549) unless
`group="folder"` asks for the slide as it is written. Slide 14-13412 stands in the collection twice, as ductal and as
lobular carcinoma with the same images, and is left out.
"""

import gzip
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from ganaug.config import PrepareConfig
from ganaug.data.sources.scan import MAX_FILE_BYTES, Item, Load, Scan, is_image_name, read_file, source_path
from ganaug.errors import DataError

SUBTYPES = {
    "A": "adenosis",
    "F": "fibroadenoma",
    "PT": "phyllodes_tumor",
    "TA": "tubular_adenoma",
    "DC": "ductal_carcinoma",
    "LC": "lobular_carcinoma",
    "MC": "mucinous_carcinoma",
    "PC": "papillary_carcinoma",
}
BENIGN = ("A", "F", "PT", "TA")
BINARY = ("Benign", "Malignant")
UM_PER_PX = {"40": 0.49, "100": 0.20, "200": 0.10, "400": 0.05}  # effective pixel sizes, Spanhol et al. 2016
LICENCE = "CC BY 4.0"
CITATION = "Spanhol et al., A Dataset for Breast Cancer Histopathological Image Classification, IEEE TBME 63(7), 2016"
TWICE_LABELLED = "14-13412"
_NAME = re.compile(r"SOB_([BM])_(A|F|PT|TA|DC|LC|MC|PC)-(\d{2})-([0-9A-Za-z]+)-(40|100|200|400)-(\d+)\.(?i:png)")


@dataclass(frozen=True)
class Name:
    """What a BreakHis file name says."""

    subtype: str  # one of SUBTYPES
    slide: str  # year and slide, "14-22549AB"
    magnification: int
    number: int

    @property
    def accession(self) -> str:
        """Year and digits of the slide, "14-22549": the patient, as the letters count parts of one accession."""
        year, slide = self.slide.split("-")
        digits = re.match(r"\d+", slide)
        return f"{year}-{digits[0] if digits else slide}"


def parse_name(name: str) -> Name | None:
    """What a file name says, or None where it is no BreakHis name or calls a benign subtype malignant."""
    match = _NAME.fullmatch(name)
    if not match or (match[1] == "B") != (match[2] in BENIGN):
        return None
    return Name(match[2], f"{match[3]}-{match[4]}", int(match[5]), int(match[6]))


def scan(config: PrepareConfig) -> Scan:
    """List the images of a folder, however nested, or of the `.tar.gz`; raises DataError where there is none."""
    source = source_path(config)
    archive = source.is_file()
    paths, left_out = _list_archive(source) if archive else _list_folder(source)
    named: dict[str, tuple[str, Name]] = {}
    notices = []
    num_repeated = 0
    for path in sorted(paths):
        name = parse_name(PurePosixPath(path).name)
        if name is None:
            left_out.append((path, "the name is not of BreakHis' form SOB_B_A-14-22549AB-200-001.png"))
        elif PurePosixPath(path).stem in named:
            num_repeated += 1
        else:
            named[PurePosixPath(path).stem] = (path, name)
    if not named:
        raise DataError(
            f"{source} holds no BreakHis image ({len(left_out)} images of other names)",
            expected="names such as SOB_B_A-14-22549AB-200-001.png",
            todo="point --source to the folder or .tar.gz of BreaKHis_v1",
        )
    if num_repeated:
        notices.append(f"{num_repeated} files bear the name of another in a second folder and were left out")
    chosen = _choose(named, config, source)
    twice = [stem for stem, (_, name) in chosen.items() if name.slide == TWICE_LABELLED]
    if twice:
        notices.append(f"{len(twice)} images of slide {TWICE_LABELLED} were left out: it is labelled both DC and LC")
    items = tuple(_item(stem, *chosen[stem], config) for stem in sorted(set(chosen) - set(twice)))
    return Scan(
        class_names=BINARY if config.task == "binary" else tuple(SUBTYPES.values()),
        items=items,
        read=partial(_read_archive if archive else _read_folder, source),
        licence=LICENCE,
        citation=CITATION,
        um_per_px=UM_PER_PX.get(config.magnification),
        native_width_px=700,
        left_out=tuple(left_out),
        notices=tuple(notices),
        way_out=_way_out(items, config),
    )


def _choose(named: dict[str, tuple[str, Name]], config: PrepareConfig, source: Path) -> dict[str, tuple[str, Name]]:
    found = Counter(name.magnification for _, name in named.values())
    if config.magnification == "all":
        return named
    if int(config.magnification) not in found:
        seen = ", ".join(f"{number} at {magnification}X" for magnification, number in sorted(found.items()))
        raise DataError(
            f"{source} holds no image at {config.magnification}X ({seen})",
            todo=f"use --magnification {max(found, key=lambda key: found[key])} or all",
        )
    return {stem: entry for stem, entry in named.items() if entry[1].magnification == int(config.magnification)}


def _item(stem: str, path: str, name: Name, config: PrepareConfig) -> Item:
    label = int(name.subtype not in BENIGN) if config.task == "binary" else list(SUBTYPES).index(name.subtype)
    group = name.accession if config.group == "accession" else name.slide
    return Item(path, label, group, stem, name.magnification)


def _way_out(items: Sequence[Item], config: PrepareConfig) -> str:
    """--task binary, where its patients suffice for the folds that were asked for."""
    if config.task == "binary":
        return ""
    num_benign = len({item.group_id for item in items if item.label < len(BENIGN)})
    num_malignant = len({item.group_id for item in items if item.label >= len(BENIGN)})
    return "--task binary" if min(num_benign, num_malignant) >= config.folds.num_folds else ""


def _list_folder(root: Path) -> tuple[list[str], list[tuple[str, str]]]:
    found = (path.relative_to(root) for path in root.rglob("*") if is_image_name(path) and path.is_file())
    return [path.as_posix() for path in found], []


def _read_folder(root: Path, items: Sequence[Item]) -> Iterator[tuple[int, Load]]:
    for position, item in enumerate(items):
        yield position, partial(read_file, root / item.path)


def _list_archive(archive: Path) -> tuple[list[str], list[tuple[str, str]]]:
    paths, left_out = [], []
    with _members(archive) as tar:
        for member in tar:
            if not is_image_name(PurePosixPath(member.name)):
                continue
            reason = _objection(member)
            if reason:
                left_out.append((_path(member), reason))
            else:
                paths.append(_path(member))
        while tar.fileobj and tar.fileobj.read(2**20):
            pass  # to the very end, where the checksum of the whole is
    return paths, left_out


def _path(member: tarfile.TarInfo) -> str:
    return PurePosixPath(member.name).as_posix()


def _objection(member: tarfile.TarInfo) -> str:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        return "the path leads out of the archive"
    if not member.isfile():
        return "a link or a special file in the archive"
    return "the file is too large" if member.size > MAX_FILE_BYTES else ""


def _read_archive(archive: Path, items: Sequence[Item]) -> Iterator[tuple[int, Load]]:
    """The wanted images in the archive's own order, as a compressed archive can only be read forwards."""
    wanted = {item.path: position for position, item in enumerate(items)}
    with _members(archive) as tar:
        for member in tar:
            position = wanted.pop(_path(member), None)
            file = None if position is None or _objection(member) else tar.extractfile(member)
            if file is not None and position is not None:
                yield position, partial(bytes, file.read())


@contextmanager
def _members(archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive, to be read forwards; a truncated, damaged or foreign file becomes a DataError."""
    try:
        with tarfile.open(archive, "r:*") as tar:
            yield tar
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{archive} is truncated, damaged or no tar archive ({error})",
            expected="BreaKHis_v1.tar.gz",
            todo="download it again",
        ) from error
