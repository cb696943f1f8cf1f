"""The files below a folder, linked files and folders too; each folder is listed once, however many links lead to it."""

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ganaug.data.archives import listing as limits
from ganaug.data.archives.listing import (
    NUM_HEAD,
    Listing,
    LoadFiles,
    Skipped,
    is_passed_over,
    is_table_name,
    looks_like_image,
)
from ganaug.errors import DataError

SPECIAL = "a pipe, a socket or a device"


@dataclass(frozen=True)
class FolderFiles:
    """Images and tables below `root`, see `Files`."""

    root: Path
    names: tuple[str, ...]
    skipped: Skipped

    @staticmethod
    def list(root: Path) -> "FolderFiles":
        listing = Listing[None]()
        _walk(root, listing)
        return FolderFiles(root, listing.names, listing.skipped)

    def read(self, wanted: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, LoadFiles]]:
        for position, names in enumerate(wanted):
            yield position, LoadFiles(sum(map(self._size, names)), partial(self._bytes, names))

    def table(self, name: str) -> bytes:
        try:
            return read_regular(self.root / name)
        except OSError as error:
            raise DataError(
                f"{self.root / name} cannot be read ({error.strerror or error})", todo="check the file"
            ) from error

    def _bytes(self, names: tuple[str, ...]) -> tuple[bytes, ...]:
        return tuple(read_regular(self.root / name) for name in names)

    def _size(self, name: str) -> int:
        try:
            return (self.root / name).stat().st_size
        except OSError:  # reading it says why
            return 0


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file; OSError for pipes and devices, which may never end, and for too large a file."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("a folder" if stat.S_ISDIR(found.st_mode) else SPECIAL)
    if found.st_size > limits.MAX_FILE_BYTES:
        raise OSError(f"the file is larger than {limits.MAX_FILE_BYTES // 2**20} MiB")
    return path.read_bytes()


def _walk(root: Path, listing: Listing[None]) -> None:
    """List the files below `root`; real folders come before links, so a link never takes the place of its target."""
    seen: set[tuple[int, int]] = set()  # device and inode of each folder that was listed
    folders, links = deque([("", str(root))]), deque[tuple[str, str]]()  # text: deep paths are slow to take apart
    while folders or links:
        name, folder = folders.popleft() if folders else links.popleft()
        try:
            found = os.stat(folder)
            if (found.st_dev, found.st_ino) in seen:
                listing.skip(name, "a link to a folder that is listed already")
                continue
            seen.add((found.st_dev, found.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            listing.skip(name or ".", f"the folder may not be read ({error.strerror or error})")
            continue
        for entry in entries:
            below = f"{name}/{entry.name}" if name else entry.name
            if is_passed_over(entry.name):
                continue
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append((below, entry.path))
            else:
                _list_file(entry, below, listing)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _list_file(entry: os.DirEntry[str], name: str, listing: Listing[None]) -> None:
    try:
        found = entry.stat()
    except OSError:  # a link to nothing, or in a circle
        if looks_like_image(name) or is_table_name(name):
            listing.skip(name, "a link that leads nowhere")
        return
    if stat.S_ISREG(found.st_mode):
        listing.add(name, found.st_size, None, head=partial(_head, entry.path))
    else:
        listing.add(name, 0, None, objection=SPECIAL)


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(NUM_HEAD)
    except OSError:  # a file that is no image by its name, and that nobody asks to be read
        return b""
