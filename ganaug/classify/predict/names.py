"""Classes and patients that the names of files and folders give by the rules of the sources that are known by them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from ganaug.data.archives.files import printable
from ganaug.data.sources import breakhis, mini_ddsm
from ganaug.data.sources.expression import parse_barcode


def parse_breakhis(path: str) -> breakhis.Name | None:
    """What the name of a BreakHis image says, in whatever format and folder it is; None where it is none."""
    return breakhis.parse_name(f"{PurePosixPath(path).stem}.png")


def breakhis_class(name: breakhis.Name, class_names: Sequence[str]) -> str:
    """The one of the classes that a BreakHis name says, by its tumour's kind or subtype; empty where it is none."""
    words = (breakhis.BINARY[name.subtype not in breakhis.BENIGN], breakhis.SUBTYPES[name.subtype], name.subtype)
    own = {label.casefold(): label for label in class_names}
    return next((own[label.casefold()] for label in words if label.casefold() in own), "")


def patients_in(path: str) -> set[str]:
    """The names that a path gives its patient: BreakHis' accession and slide, a TCGA barcode, Mini-DDSM's case."""
    name, case = parse_breakhis(path), mini_ddsm.patient_of(path)
    barcodes = [parse_barcode(part) for part in PurePosixPath(path).parts]
    return {
        *((name.accession, name.slide) if name else ()),
        *(barcode.patient for barcode in barcodes if barcode),
        *((case,) if case else ()),
    }


def patient_in(path: str) -> str:
    """The name of the patient to count by where a path gives one by rules that hold anywhere; empty where it does not.

    Mini-DDSM's are left out, as folders of classes and patients give them as well.
    """
    name = parse_breakhis(path)
    barcodes = filter(None, map(parse_barcode, PurePosixPath(path).parts))
    return name.accession if name else next((barcode.patient for barcode in barcodes), "")


def are_named_as(paths: Sequence[str], seen: Iterable[str], every: Iterable[str]) -> list[bool]:
    """Which files bear the name of one that was seen, whatever its suffix and case.

    every: all files of the data set. Equal are whole paths with folders, and names of files that hold letters and
    digits and that no other file of the data set bears: `0.png` and `image.png` name many.
    """
    count = Counter(PurePosixPath(key).name for key in set(map(_key, every)))
    known = set(map(_key, seen))
    names = {name for name in (PurePosixPath(key).name for key in known) if count[name] == 1 and _is_distinct(name)}
    return [("/" in key and key in known) or PurePosixPath(key).name in names for key in map(_key, paths)]


def _key(path: str) -> str:
    return printable(PurePosixPath(path).with_suffix("").as_posix()).casefold()


def _is_distinct(name: str) -> bool:
    return any(map(str.isalpha, name)) and any(map(str.isdigit, name))
