"""The files of a tar archive, compressed or not, in the archive's own order: it can only be read forwards."""

import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from ganaug.data.archives import listing as limits
from ganaug.data.archives.listing import (
    NUM_HEAD,
    Listing,
    LoadFiles,
    Skipped,
    archive_faults_as_data_errors,
    is_table_name,
    name_in_archive,
)
from ganaug.errors import DataError

MAX_MEMBERS = 2_000_000
MAX_HEADER_BYTES = 2**20  # of a long name or a list of attributes, which tarfile reads at once
MAX_RATIO = 200  # images hardly shrink; what shrinks more is empty, and would take hours to read
FREE_BYTES = 2**30  # that may come out of any archive, whatever the ratio
SHELF_BYTES = 256 * 2**20  # kept in memory of items of which a file is still to come
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class _Member(tarfile.TarInfo):
    """A member whose header is whole and sane: tarfile by itself takes a damaged one for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]  # typeshed lacks it
                raise
            raise tarfile.ReadError(f"{error} at byte {tarfile_.offset}") from error

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0 or (member.type in _EXTENSIONS and member.size > MAX_HEADER_BYTES):
            raise tarfile.ReadError(f"a header declares {member.size} bytes")
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a sparse file, which is not read")
        return member

    def _proc_gnusparse_10(self, *_: Any) -> None:
        """tarfile reads the map of such a file without a bound."""
        raise tarfile.ReadError("a sparse file, which is not read")


@dataclass(frozen=True)
class TarFiles:
    """Images and tables of a tar archive, see `Files`; tables are read when they are listed."""

    path: Path
    places: dict[str, int] = field(repr=False)  # where in the archive a file's header is
    skipped: Skipped
    tables: dict[str, bytes] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.places))

    @staticmethod
    def list(path: Path) -> "TarFiles":
        listing, tables = Listing[int](), dict[str, bytes]()
        num_read = 0  # bytes of tables
        with tarfile.open(path, "r:*", tarinfo=_Member) as tar:
            for member in _members(tar, path):
                if member.isdir():
                    continue
                name, objection = name_in_archive(member.name)
                if not (objection or (member.isfile() and not member.issparse())):
                    objection = "a link or a special file in the archive"
                if not objection and is_table_name(name) and num_read + member.size > limits.MAX_TABLE_BYTES:
                    objection = f"the archive's tables are larger than {limits.MAX_TABLE_BYTES // 2**20} MiB together"
                head = partial(_contents, tar, member, NUM_HEAD)
                taken = listing.add(name, member.size, member.offset, objection=objection, head=head)
                if taken and is_table_name(name):
                    tables[name] = _contents(tar, member)
                    num_read += member.size
            _read_to_the_end(tar, path)
        return TarFiles(path, listing.places, listing.skipped, tables)

    def table(self, name: str) -> bytes:
        return self.tables[name]

    def read(self, wanted: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, LoadFiles]]:
        """In the archive's own order; an item of several files comes with the last of them."""
        items: dict[int, list[int]] = defaultdict(list)  # by place, those that a file belongs to
        for position, names in enumerate(wanted):
            for name in dict.fromkeys(names):
                items[self.places[name]].append(position)
        waiting: dict[int, dict[int, Callable[[], bytes]]] = defaultdict(dict)
        with (
            archive_faults_as_data_errors(self.path),
            _Shelf() as shelf,
            tarfile.open(self.path, "r:*", tarinfo=_Member) as tar,
        ):
            for member in _members(tar, self.path):
                if member.offset not in items:
                    continue
                data = _contents(tar, member)
                for position in items.pop(member.offset):
                    found, names = waiting[position], wanted[position]
                    places = [self.places[name] for name in names]
                    is_last = len(found) + 1 == len(set(places))
                    found[member.offset] = partial(bytes, data) if is_last else shelf.put(data)
                    if is_last:
                        del waiting[position]
                        contents = tuple(found[place]() for place in places)
                        yield position, LoadFiles(sum(map(len, contents)), partial(tuple, contents))
        if items:
            raise DataError(f"{self.path} changed while it was read", todo="run the same command again")


def _members(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """The members in order. Raises ReadError where sizes lead backwards, DataError where the archive is a bomb."""
    limit = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    last = -1
    for _ in range(MAX_MEMBERS):
        member = tar.next()
        if member is None:
            return
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every one; typeshed lacks it
        if member.offset <= last or member.size < 0:
            raise tarfile.ReadError(f"sizes that lead backwards at byte {member.offset}")
        last = member.offset
        _require_within(tar.offset, limit, path)
        yield member
    raise DataError(f"{path} holds over {MAX_MEMBERS:,} files", todo="split it, or unpack it and name the folder")


def _require_within(num_bytes: int, limit: int, path: Path) -> None:
    if num_bytes > limit:
        raise DataError(
            f"{path} unpacks to over {limit // 2**20:,} MiB, more than {MAX_RATIO} times its size",
            expected="images, which hardly shrink when they are packed",
            todo="check where the archive is from, or unpack it and name the folder",
        )


def _read_to_the_end(tar: tarfile.TarFile, path: Path) -> None:
    """Read what follows the last member: the checksum of the whole is at the very end."""
    file, limit = tar.fileobj, max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    while file and file.read(2**20):
        _require_within(file.tell(), limit, path)


def _contents(tar: tarfile.TarFile, member: tarfile.TarInfo, num_bytes: int = -1) -> bytes:
    """The bytes of a member, or its first ones; empty for links and special files."""
    file = tar.extractfile(member) if member.isfile() else None
    if file is None:
        return b""
    data = file.read(num_bytes)
    if len(data) < (member.size if num_bytes < 0 else min(num_bytes, member.size)):
        raise tarfile.ReadError("unexpected end of data")
    return data


class _Shelf:
    """Bytes set aside for later: in memory, and beyond SHELF_BYTES in a temporary file that goes with the process."""

    def __init__(self) -> None:
        self._num_held = 0
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "_Shelf":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def put(self, data: bytes) -> Callable[[], bytes]:
        """Set bytes aside; the function returned gives them back, once."""
        if self._num_held + len(data) <= SHELF_BYTES:
            self._num_held += len(data)
            return partial(self._take, data)
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        start = self._file.seek(0, 2)
        self._file.write(data)
        return partial(self._fetch, start, len(data))

    def _take(self, data: bytes) -> bytes:
        self._num_held -= len(data)
        return data

    def _fetch(self, start: int, num_bytes: int) -> bytes:
        assert self._file is not None
        self._file.seek(start)
        return self._file.read(num_bytes)
