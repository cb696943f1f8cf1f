"""A folder, a zip or a tar archive as one list of files, read without unpacking and without trusting their names."""

import gzip
import lzma
import os
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Protocol, Self

from ganaug.config import PrepareConfig
from ganaug.errors import ConfigError, DataError
from ganaug.workspace import user_path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
TABLE_SUFFIXES = (".csv", ".json")
MAX_FILE_BYTES = 512 * 2**20
_ARCHIVE_FAULTS = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, lzma.LZMAError)

LoadFiles = Callable[[], tuple[bytes, ...]]
LeftOut = tuple[tuple[str, str], ...]  # path and reason


class Files(Protocol):
    """Images and tables below one place: `names` with slashes, relative to it, sorted; `left_out` with reasons.

    `read` hands out, for each tuple of names, its position and a function that gives the bytes of these files. The
    function may be called in another thread; it raises OSError where a file cannot be read. `table` gives the bytes of
    a table among the names.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def left_out(self) -> LeftOut: ...

    def read(self, wanted: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, LoadFiles]]: ...

    def table(self, name: str) -> bytes: ...


def open_files(path: Path) -> Files:
    """The images (PNG, JPEG, TIFF) and tables (CSV, JSON) of a folder or an archive, whatever its suffix.

    Raises DataError where the file is no archive, truncated or damaged.
    """
    if path.is_dir():
        return _Folder.list(path)
    with _faults_told(path):
        return _Zip.list(path) if zipfile.is_zipfile(path) else _Tar.list(path)


def files_at(folder: Path) -> Files:
    """Files whose paths, relative to a folder or absolute, are known from elsewhere, such as a manifest."""
    return _Folder(folder, (), ())


def source_path(config: PrepareConfig) -> Path:
    """The folder, archive or manifest that the user named; raises where none was named or none is there."""
    if config.source is None:
        raise ConfigError(f"no source for the data set {config.dataset}", todo="name its folder or file with --source")
    return existing(config.source, "--source")


def existing(name: str, option: str) -> Path:
    """The path of a file or folder that an option names; raises DataError where there is none."""
    path = user_path(name)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}", todo=f"name an existing one with {option}")
    return path


def is_image_name(path: PurePath) -> bool:
    """Whether a file's name is an image's; hidden files are not (macOS puts `._name.png` beside `name.png`)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def printable(name: str) -> str:
    """A file name as text that can be stored and shown: composed Unicode; bytes that are no UTF-8 are written out."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "backslashreplace").decode())


def _is_listed(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") and part != ".." for part in path.parts) or "__MACOSX" in path.parts
    return not hidden and path.suffix.lower() in IMAGE_SUFFIXES + TABLE_SUFFIXES


def _objection(name: str, num_bytes: int) -> str:
    """Why a file is left out before it is read, or nothing."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return "the path leads out of the archive"
    return f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB" if num_bytes > MAX_FILE_BYTES else ""


@contextmanager
def _faults_told(archive: Path) -> Iterator[None]:
    """A truncated, damaged or foreign archive becomes a DataError."""
    try:
        yield
    except _ARCHIVE_FAULTS as error:
        raise DataError(
            f"{archive} is truncated, damaged or no archive ({' '.join(str(error).split())})",
            expected="a folder, a .zip or a .tar.gz",
            todo="download it again",
        ) from error


# ---- a folder --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Folder:
    root: Path
    names: tuple[str, ...]
    left_out: LeftOut

    @staticmethod
    def list(root: Path) -> "_Folder":
        names: list[str] = []
        left_out: list[tuple[str, str]] = []
        _walk(root, root, (), names, left_out)
        return _Folder(root, tuple(sorted(names)), tuple(sorted(left_out)))

    def read(self, wanted: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, LoadFiles]]:
        for position, names in enumerate(wanted):
            yield position, partial(self._bytes, names)

    def table(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def _bytes(self, names: tuple[str, ...]) -> tuple[bytes, ...]:
        return tuple((self.root / name).read_bytes() for name in names)


def _walk(
    root: Path, folder: Path, above: tuple[tuple[int, int], ...], names: list[str], left_out: list[tuple[str, str]]
) -> None:
    """List the files below `folder`, linked folders too; `above` are device and inode of the folders it lies in."""
    here = folder.stat()
    above = (*above, (here.st_dev, here.st_ino))
    try:
        entries = list(os.scandir(folder))
    except PermissionError:
        left_out.append((folder.relative_to(root).as_posix(), "the folder may not be read"))
        return
    for entry in entries:
        path = Path(entry.path)
        name = path.relative_to(root).as_posix()
        try:
            found = entry.stat()
        except OSError:  # a link to nothing, or in a circle
            if is_image_name(path):
                left_out.append((name, "a link that leads nowhere"))
            continue
        if stat.S_ISDIR(found.st_mode):
            if (found.st_dev, found.st_ino) in above:
                left_out.append((name, "a link to a folder that it is in"))
            elif not entry.name.startswith("."):
                _walk(root, path, above, names, left_out)
        elif stat.S_ISREG(found.st_mode) and _is_listed(name):
            reason = _objection(name, found.st_size)
            left_out.append((name, reason)) if reason else names.append(name)


# ---- a zip archive ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Zip:
    archive: zipfile.ZipFile  # open as long as a function that reads from it lives
    members: dict[str, zipfile.ZipInfo]
    left_out: LeftOut

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.members))

    @staticmethod
    def list(path: Path) -> "_Zip":
        archive = zipfile.ZipFile(path)
        members: dict[str, zipfile.ZipInfo] = {}
        left_out = []
        for member in archive.infolist():
            name = _name_in_zip(member)
            if member.is_dir() or not _is_listed(name):
                continue
            reason = _objection(name, member.file_size) or ("the file is encrypted" if member.flag_bits & 1 else "")
            if reason or name in members:
                left_out.append((printable(name), reason or "the archive holds two files of this name"))
            else:
                members[name] = member
        return _Zip(archive, members, tuple(sorted(left_out)))

    def read(self, wanted: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, LoadFiles]]:
        for position, names in enumerate(wanted):
            yield position, partial(self._bytes, names)

    def table(self, name: str) -> bytes:
        return self._bytes((name,))[0]

    def _bytes(self, names: tuple[str, ...]) -> tuple[bytes, ...]:
        try:
            return tuple(self.archive.read(self.members[name]) for name in names)
        except _ZIP_FAULTS as error:
            raise OSError(f"damaged in the archive: {error}") from error


def _name_in_zip(member: zipfile.ZipInfo) -> str:
    """The name of a member; archives that do not declare its encoding mostly mean UTF-8, and some use backslashes."""
    name = member.filename
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


# ---- a tar archive ---------------------------------------------------------------------------------------------------


class _Member(tarfile.TarInfo):
    """A member with a whole header: by itself, tarfile takes a damaged or missing header for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]  # typeshed lacks it
                raise
            raise tarfile.ReadError(f"{error} at byte {tarfile_.offset}") from error


@dataclass(frozen=True)
class _Tar:
    path: Path
    names: tuple[str, ...]
    left_out: LeftOut
    tables: dict[str, bytes] = field(repr=False)

    @staticmethod
    def list(path: Path) -> "_Tar":
        names: set[str] = set()
        left_out, tables = [], {}
        with tarfile.open(path, "r:*", tarinfo=_Member) as tar:
            for member in tar:
                if member.isdir() or not _is_listed(member.name):
                    continue
                name = PurePosixPath(member.name).as_posix()
                reason = _objection(member.name, member.size)
                if not (reason or member.isfile()):
                    reason = "a link or a special file in the archive"
                if reason or name in names:
                    left_out.append((printable(name), reason or "the archive holds two files of this name"))
                    continue
                names.add(name)
                if PurePosixPath(name).suffix.lower() in TABLE_SUFFIXES:
                    file = tar.extractfile(member)
                    tables[name] = file.read() if file else b""
            while tar.fileobj and tar.fileobj.read(2**20):
                pass  # to the very end, where the checksum of the whole is
        return _Tar(path, tuple(sorted(names)), tuple(sorted(left_out)), tables)

    def table(self, name: str) -> bytes:
        return self.tables[name]

    def read(self, wanted: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, LoadFiles]]:
        """In the archive's own order, as a compressed archive can only be read forwards."""
        place = {name: position for position, names in enumerate(wanted) for name in names}
        waiting: dict[int, dict[str, bytes]] = {}  # items of several files, of which some are still to come
        with _faults_told(self.path), tarfile.open(self.path, "r:*", tarinfo=_Member) as tar:
            for member in tar:
                name = PurePosixPath(member.name).as_posix()
                position = place.pop(name, None) if member.isfile() else None
                file = None if position is None else tar.extractfile(member)
                if file is None or position is None:
                    continue
                found = waiting.setdefault(position, {})
                found[name] = file.read()
                if len(found) == len(wanted[position]):
                    del waiting[position]
                    contents = tuple(found[name] for name in wanted[position])
                    yield position, partial(tuple, contents)
