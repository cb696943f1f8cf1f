"""A folder, a zip or a tar archive as one list of files, read without unpacking and without trusting their names."""

import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ganaug.config import PrepareConfig
from ganaug.data.archives.folder_files import SPECIAL, FolderFiles
from ganaug.data.archives.listing import (
    IMAGE_SUFFIXES,
    LoadFiles,
    Skip,
    Skipped,
    archive_faults_as_data_errors,
    is_image_name,
    printable,
)
from ganaug.data.archives.tar_files import TarFiles
from ganaug.data.archives.zip_files import ZipFiles, is_zip
from ganaug.errors import ConfigError, DataError
from ganaug.workspace import user_path

__all__ = [
    "IMAGE_SUFFIXES",
    "Files",
    "LoadFiles",
    "Skip",
    "Skipped",
    "existing",
    "files_at",
    "is_image_name",
    "open_files",
    "printable",
    "source_path",
]


class Files(Protocol):
    """Images and tables below one place: `names` with slashes, relative to it, sorted; `skipped` with reasons.

    `read` hands out, for each tuple of names, its position and a function that gives the bytes of these files. The
    function may be called in another thread; it raises OSError where a file cannot be read. `table` gives the bytes of
    a table among the names, and raises DataError where it cannot be read.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def skipped(self) -> Skipped: ...

    def read(self, wanted: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, LoadFiles]]: ...

    def table(self, name: str) -> bytes: ...


def open_files(path: Path) -> Files:
    """The images (PNG, JPEG, TIFF) and tables (CSV, JSON) of a folder or an archive, whatever its suffix.

    Raises DataError where the file is no archive, truncated or corrupt.
    """
    _require_regular(path)
    if path.is_dir():
        return FolderFiles.list(path)
    with archive_faults_as_data_errors(path):
        return ZipFiles.list(path) if is_zip(path) or _ends_as_zip(path) else TarFiles.list(path)


def files_at(folder: Path) -> Files:
    """Files whose paths, relative to a folder or absolute, are known from elsewhere, such as a manifest."""
    return FolderFiles(folder, (), ())


def source_path(config: PrepareConfig) -> Path:
    """The folder, archive or manifest that the user named; raises where none was named or none is there."""
    if config.source is None:
        raise ConfigError(f"no source for the data set {config.dataset}", todo="name its folder or file with --source")
    return existing(config.source, "--source")


def existing(name: str, option: str) -> Path:
    """The path of a file or folder that an option, or an argument, names.

    Raises DataError where there is none, or a pipe, socket or device, whose reading may never end.
    """
    path, how = user_path(name), f"with {option}" if option.startswith("-") else f"as {option}"
    try:
        is_there = path.exists()
    except OSError as error:  # too long a name
        raise DataError(f"{name[:200]} cannot be a path ({error})", todo=f"name an existing file {how}") from error
    if not is_there:
        raise DataError(f"there is no file or folder {path}", todo=f"name an existing one {how}")
    _require_regular(path)
    return path


def _require_regular(path: Path) -> None:
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(f"{path} is {SPECIAL}", expected="a folder or a file", todo="copy its content to a file")


def _ends_as_zip(path: Path) -> bool:
    """Whether a file that does not begin as a zip archive is one, such as one that unpacks itself."""
    return zipfile.is_zipfile(path) and not tarfile.is_tarfile(path)
