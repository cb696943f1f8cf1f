"""BreakHis: 7,909 images of 700×460 px of benign and malignant breast tumours at four magnifications.

Where it comes from: https://web.inf.ufpr.br/vri/databases/breast-cancer-histopathological-database-breakhis/,
`BreaKHis_v1.tar.gz`; its user downloads it, this tool downloads nothing. Licence: CC BY 4.0. To be cited: Spanhol,
Oliveira, Petitjean and Heutte, "A Dataset for Breast Cancer Histopathological Image Classification", IEEE Transactions
on Biomedical Engineering 63(7), 2016.

The mirrors nest the folders differently, so only the file name counts:
SOB_<B|M>_<TYPE>-<YEAR>-<SLIDE>-<MAGNIFICATION>-<NUMBER>.png.
A slide's letters (22549AB, 22549CD) mark parts of one accession, so a patient is year and digits (14-22549) unless
`group="folder"` asks for the slide as it is written. Slide 14-13412 stands in the collection twice, as ductal and as
lobular carcinoma with the same images, and is skipped. The published pixel sizes are nominal, see `NOMINAL`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ganaug.config import PrepareConfig
from ganaug.data.archives.files import is_image_name, open_files, source_path
from ganaug.data.sources.scans.scan import Item, Scan, reading
from ganaug.data.sources.scans.skipped import why_none
from ganaug.errors import ConfigError, DataError, private

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
UM_PER_PX = {40: 0.49, 100: 0.20, 200: 0.10, 400: 0.05}  # effective pixel sizes, Spanhol et al. 2016: nominal
NOMINAL = (
    "BreakHis' published pixel sizes, such as 0.10 µm at 200X, are nominal: nuclei there are 22 to 28 px across, which "
    "would make them 2.5 µm wide, three to four times too small; --um-per-px overrides them"
)
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
    """List the images of a folder or an archive, however nested; raises DataError where there is none."""
    source = source_path(config)
    files = open_files(source)
    skipped = list(files.skipped)
    named: dict[str, tuple[str, Name]] = {}
    notes = []
    num_repeated = 0
    for path in filter(_is_image, files.names):
        name = parse_name(PurePosixPath(path).name)
        if name is None:
            skipped.append((path, "the name is not of BreakHis' form SOB_B_A-14-22549AB-200-001.png"))
        elif PurePosixPath(path).stem in named:
            num_repeated += 1
        else:
            named[PurePosixPath(path).stem] = (path, name)
    if not named:
        raise DataError(
            f"{source} holds no BreakHis image{why_none(skipped)}",
            expected="names such as SOB_B_A-14-22549AB-200-001.png",
            todo="point --source to the folder or .tar.gz of BreaKHis_v1",
        )
    if num_repeated:
        notes.append(f"{num_repeated} files bear the name of another in a second folder and were skipped")
    chosen = _choose(named, config, source)
    notes += _notes_on_scale({name.magnification for _, name in chosen.values()}, config)
    twice = [stem for stem, (_, name) in chosen.items() if name.slide == TWICE_LABELLED]
    if twice:
        notes.append(
            f"{len(twice)} images of slide {private(TWICE_LABELLED)} were skipped: it is labelled both DC and LC"
        )
    items = tuple(_item(stem, *chosen[stem], config) for stem in sorted(set(chosen) - set(twice)))
    return Scan(
        class_names=BINARY if config.task == "binary" else tuple(SUBTYPES.values()),
        items=items,
        read=reading(files),
        licence=LICENCE,
        citation=CITATION,
        native_width_px=None if config.um_per_px else 700,
        skipped=tuple(skipped),
        notes=tuple(notes),
        suggestion=_suggestion(items, config),
        class_of=lambda path: _class_of(path, config),
    )


def _is_image(path: str) -> bool:
    return is_image_name(PurePosixPath(path))


def _choose(named: dict[str, tuple[str, Name]], config: PrepareConfig, source: Path) -> dict[str, tuple[str, Name]]:
    """Those of the magnification that was asked for."""
    found = Counter(name.magnification for _, name in named.values())
    if config.magnification in (None, "all"):
        return named
    wanted = int(config.magnification)
    if wanted not in found:
        seen = ", ".join(f"{number} at {magnification}X" for magnification, number in sorted(found.items()))
        raise DataError(
            f"{source} holds no image at {config.magnification}X ({seen})",
            todo=f"use --magnification {max(found, key=lambda key: found[key])} or all",
        )
    return {stem: entry for stem, entry in named.items() if entry[1].magnification == wanted}


def _item(stem: str, path: str, name: Name, config: PrepareConfig) -> Item:
    group = name.accession if config.group == "accession" else name.slide
    um_per_px = config.um_per_px or UM_PER_PX[name.magnification]
    return Item(path, _label(name, config), group, stem, name.magnification, um_per_px=um_per_px)


def _label(name: Name, config: PrepareConfig) -> int:
    return int(name.subtype not in BENIGN) if config.task == "binary" else list(SUBTYPES).index(name.subtype)


def _class_of(path: str, config: PrepareConfig) -> str:
    """The class of an image that is skipped, of whatever format, if it is of the magnification asked for."""
    name = parse_name(f"{PurePosixPath(path).stem}.png")
    if name is None or config.magnification not in (None, "all", str(name.magnification)):
        return ""
    return BINARY[_label(name, config)] if config.task == "binary" else SUBTYPES[name.subtype]


def _notes_on_scale(magnifications: set[int], config: PrepareConfig) -> list[str]:
    """What to say where micrometres enter; one scale for several magnifications is refused."""
    if config.um_per_px is None:
        return [NOMINAL] if config.field_um is not None else []
    if len(magnifications) > 1:
        seen = ", ".join(f"{magnification}X" for magnification in sorted(magnifications))
        raise ConfigError(
            f"--um-per-px {config.um_per_px:g} for images at {seen}",
            expected="images of one magnification",
            todo="choose one with --magnification",
        )
    return []


def _suggestion(items: Sequence[Item], config: PrepareConfig) -> str:
    """--task binary, where its patients suffice for the folds that were asked for."""
    if config.task == "binary":
        return ""
    num_benign = len({item.group_id for item in items if item.label < len(BENIGN)})
    num_malignant = len({item.group_id for item in items if item.label >= len(BENIGN)})
    return "--task binary" if min(num_benign, num_malignant) >= config.folds.num_folds else ""
