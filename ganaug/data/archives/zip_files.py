"""The files of a zip archive, each read on its own; declared sizes are not believed."""

import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ganaug.data.archives.listing import NUM_HEAD, Listing, LoadFiles, Skipped, name_in_archive
from ganaug.errors import DataError, private

_PIECE = 2**20
_SMALL_PIECE = 4096  # of formats that zipfile inflates without a bound on what comes out


@dataclass(frozen=True)
class ZipFiles:
    """Images and tables of a zip archive, see `Files`."""

    path: Path
    archive: zipfile.ZipFile  # open as long as a function that reads from it lives
    members: dict[str, zipfile.ZipInfo]
    skipped: Skipped

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.members))

    @staticmethod
    def list(path: Path) -> "ZipFiles":
        archive = zipfile.ZipFile(path)
        listing = Listing[zipfile.ZipInfo]()
        for member in archive.infolist():
            if member.is_dir() or member.filename.endswith("\\"):
                continue
            name, objection = name_in_archive(_decode_name(member))
            objection = objection or _objection(member)
            listing.add(name, member.file_size, member, objection=objection, head=partial(_head, archive, member))
        return ZipFiles(path, archive, listing.places, listing.skipped)

    def read(self, wanted: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, LoadFiles]]:
        for position, names in enumerate(wanted):
            num_bytes = sum(self.members[name].file_size for name in names)
            yield position, LoadFiles(num_bytes, partial(self._bytes, names))

    def table(self, name: str) -> bytes:
        try:
            return self._bytes((name,))[0]
        except OSError as error:
            raise DataError(f"{name} in {self.path} is {error}", todo="download or make the archive again") from error

    def _bytes(self, names: tuple[str, ...]) -> tuple[bytes, ...]:
        try:
            return tuple(read_member(self.archive, self.members[name]) for name in names)
        except Exception as error:  # zipfile and its decompressors raise a dozen kinds
            reason = private(" ".join(str(error).split()))  # mostly with the name of the member
            raise OSError(f"damaged in the archive: {reason if str(error) else type(error).__name__}") from error


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member, in pieces: inflating stops where more than the declared size would come out."""
    deflated = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    pieces = []
    with archive.open(member) as file:
        while piece := file.read(_PIECE if deflated else _SMALL_PIECE):
            pieces.append(piece)
    data = b"".join(pieces)
    if len(data) != member.file_size:
        raise zipfile.BadZipFile(f"{len(data)} bytes where {member.file_size} are declared")
    return data


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip archive; one that ends as one may be a tar archive with a zip in it."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


def _objection(member: zipfile.ZipInfo) -> str:
    if member.flag_bits & 1:
        return "the file is encrypted"
    kind = stat.S_IFMT(member.external_attr >> 16)
    return "a link or a special file in the archive" if kind not in (0, stat.S_IFREG) else ""


def _head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            return file.read(NUM_HEAD)
    except Exception:  # a damaged or encrypted file that is no image by its name
        return b""


def _decode_name(member: zipfile.ZipInfo) -> str:
    """The name of a member; archives that do not declare its encoding mostly mean UTF-8."""
    name = member.filename
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name
