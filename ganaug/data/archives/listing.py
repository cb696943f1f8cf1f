"""The kinds of a source's files, by name and first bytes: images, tables, or skipped with a reason.

PNG, JPEG and TIFF files are read. Whatever else looks like an image, a slide or an archive is reported, so that no
file vanishes before it is counted. Hidden files and those that systems leave behind (Thumbs.db, __MACOSX) stay silent.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Generic, TypeVar

from ganaug.data.images.decode import format_of
from ganaug.errors import DataError, UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff")
TABLE_SUFFIXES = (".csv", ".json")
MAX_FILE_BYTES = 512 * 2**20
MAX_TABLE_BYTES = 64 * 2**20  # of one table, and of all tables of an archive that can only be read forwards
MAX_NAME = 4096  # characters of a path within an archive, as long as systems take
# fmt: off
_UNREAD_IMAGES = {
    ".bmp", ".dib", ".gif", ".webp", ".jp2", ".j2k", ".j2c", ".jpf", ".jpx", ".jxl", ".jxr", ".avif", ".heic", ".heif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".psd", ".eps", ".svg", ".exr", ".dng", ".nef", ".cr2", ".arw", ".pcx",
    ".xcf", ".apng", ".mng", ".fits",
}
_SLIDES = {
    ".svs", ".svslide", ".ndpi", ".ndpis", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".czi", ".dcm", ".dicom", ".zvi",
    ".isyntax", ".i2syntax", ".qptiff", ".vsi", ".lif", ".nd2", ".lsm", ".oib", ".oif", ".mds", ".kfb", ".tron",
}
_ARCHIVES = (
    ".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".rar", ".7z", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst",
)
# fmt: on
NUM_HEAD = 8  # bytes that give an image's format away
_SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini")
_DRIVE = re.compile(r"[A-Za-z]:")

Skip = tuple[str, str]  # path of a file that is not used, and the reason
Skipped = tuple[Skip, ...]
Place = TypeVar("Place")


@dataclass(frozen=True)
class LoadFiles:
    """Gives the bytes of some files, in any thread; raises OSError where one of them cannot be read."""

    num_bytes: int  # of all of them, as far as it is known before they are read
    load: Callable[[], tuple[bytes, ...]]

    def __call__(self) -> tuple[bytes, ...]:
        return self.load()


class Listing(Generic[Place]):
    """Collects the files of a source: `places` by the names they go by, and what is not read with the reason."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self._skipped: list[tuple[str, str]] = []
        self._taken: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.places))

    @property
    def skipped(self) -> Skipped:
        return tuple(sorted(self._skipped))

    def add(
        self, name: str, num_bytes: int, place: Place, *, objection: str = "", head: Callable[[], bytes] = bytes
    ) -> bool:
        """Take a file, or leave it out: for `objection`, or for its name, kind or size; returns whether it is taken.

        `head` gives its first bytes, which are asked for only where the name says nothing.
        """
        if is_passed_over(name):
            return False
        reason = unread_reason(name, head)
        if reason is None:  # neither an image nor a table
            return False
        reason = reason or objection or _size_objection(name, num_bytes)
        if not reason and printable(name) in self._taken:
            reason = "there are two files of this name"
        if reason:
            self.skip(name, reason)
            return False
        self._taken.add(printable(name))
        self.places[name] = place
        return True

    def skip(self, name: str, reason: str) -> None:
        shown = printable(name)
        self._skipped.append((shown if len(shown) <= MAX_NAME else f"{shown[:200]}…", reason))


def is_image_name(path: PurePath) -> bool:
    """Whether a file's name is an image's; hidden files are not (macOS puts `._name.png` next to `name.png`)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def is_table_name(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in TABLE_SUFFIXES


def looks_like_image(name: str) -> bool:
    """Whether a name is that of an image or a slide of any format, read or not."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in IMAGE_SUFFIXES or suffix in _UNREAD_IMAGES or suffix in _SLIDES


def is_passed_over(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by a system: nobody means it for an image."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    return hidden or "__MACOSX" in parts or PurePosixPath(name).name.lower() in _SYSTEM_FILES


def unread_reason(name: str, head: Callable[[], bytes]) -> str | None:
    """Why a file is not read: empty where it is; None where it is neither an image nor a table, nor looks like one."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in TABLE_SUFFIXES:
        return ""
    if suffix in _UNREAD_IMAGES:
        return f"{suffix} is not read; convert it to PNG"
    if suffix in _SLIDES:
        return f"{suffix}, a slide or scan, is not read; cut it into tiles and save them as PNG"
    if name.lower().endswith(_ARCHIVES):
        return "an archive within the source is not read; unpack it"
    kind = format_of(head())
    if kind:
        return f"it holds a {kind} image, but its name does not end in {_usual_suffix(kind)}; rename it"
    return None


def _usual_suffix(kind: str) -> str:
    return {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif"}[kind]


def _size_objection(name: str, num_bytes: int) -> str:
    limit = MAX_TABLE_BYTES if is_table_name(name) else MAX_FILE_BYTES
    return f"the file is larger than {limit // 2**20} MiB" if num_bytes > limit else ""


def name_in_archive(name: str) -> tuple[str, str]:
    """The name that a member of an archive goes by, `A//x.png` and `.\\A\\x.png` as `A/x.png`; and what is wrong."""
    slashed = name.replace("\\", "/")
    path = PurePosixPath(slashed)
    if path.is_absolute() or ".." in path.parts or _DRIVE.match(slashed):
        return path.as_posix(), "the path leads out of the archive"
    if "\0" in name:
        return path.as_posix(), "its name holds a NUL character"
    return path.as_posix(), f"its name is longer than {MAX_NAME} characters" if len(name) > MAX_NAME else ""


def printable(name: str) -> str:
    """A file name as text that can be stored and shown: composed Unicode; bytes that are no UTF-8 are written out."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "backslashreplace").decode())


@contextmanager
def archive_faults_as_data_errors(archive: Path) -> Iterator[None]:
    """Errors of the archive readers on a truncated or corrupt file, or one of another kind, as a DataError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # zipfile, tarfile and the decompressors raise a dozen kinds, some undocumented
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(
                f"{archive} cannot be read ({error.strerror})", todo="check the file and the disk"
            ) from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"{archive} is truncated, damaged or no archive ({reason})",
            expected="a folder, a .zip or a .tar.gz",
            todo="download it again",
        ) from error
