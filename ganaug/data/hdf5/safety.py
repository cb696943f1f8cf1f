"""The check that an HDF5 file is self-contained and as large as it says, before any of its data is read.

HDF5 lets a file show parts of other files (external storage, external links, virtual data sets), show one part under
many names, and declare sizes that nothing backs. A file of this tool has none of that. The check reads headers only,
so it takes milliseconds however many images there are.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ganaug.data.hdf5.declared_lengths import read_declared_lengths
from ganaug.errors import DataError, UserError

MAX_MEMBERS = 10_000  # of all groups together
MAX_DEPTH = 8
MAX_ATTRIBUTES = 1_000  # of one object
MAX_READ_BYTES = 2**30  # of a column, or of a chunk, which are read whole
MAX_STRING_BYTES = 4096  # of texts of one fixed length
MAX_INFLATION = 1100  # gzip shrinks by 1032 at most
_IMAGES = ("images", "mask", "stained")  # read image by image
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
_LENGTH_AND_PLACE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])  # of a text, as it is stored
_TODO = "do not use it; make it again, or get it again from where it came"


def require_self_contained(file: h5py.File, path: Path) -> None:
    """Raise DataError where a file shows parts of others, or declares more than it holds or than can be read.

    `file` is open for reading, `path` is its name for messages and its size. Refused are links other than hard ones,
    external and virtual storage, groups within themselves, types other than whole numbers, floating-point numbers and
    text, unknown filters, arrays and texts that are larger than the file can back, and attributes other than single
    values. Nothing is said of names and shapes that the schema wants.
    """
    num_bytes = path.stat().st_size
    with _faults_as_data_errors(path):
        if file.id.get_create_plist().get_sizes() != (8, 8):
            raise _refusal(path, "has addresses of another length", "addresses of 8 bytes")
        _require_plain_attributes(file.id, "/", num_bytes, path)
        with path.open("rb") as raw:
            longest = max(read_declared_lengths(raw, _address(file), num_bytes), default=0)
        if longest > num_bytes:
            raise _refusal(path, f"declares {longest:,} bytes for an attribute and has {num_bytes:,}", "a whole file")
        unfiltered = 0
        for name, item in _objects(file, path):
            _require_plain_attributes(item.id, name, num_bytes, path)
            if isinstance(item, h5py.Dataset):
                unfiltered += _require_plain_data(item, name, num_bytes, path)
        if unfiltered > num_bytes:
            raise _refusal(path, f"declares {unfiltered:,} bytes of data and has {num_bytes:,}", "a whole file")


@contextmanager
def _faults_as_data_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise DataError(f"{path} declares more than fits in memory", todo=_TODO) from error
    except Exception as error:  # h5py raises OSError, KeyError, RuntimeError, TypeError and others on corrupt files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path} is a corrupt HDF5 file ({reason})", todo=_TODO) from error


def _refusal(path: Path, seen: str, expected: str) -> DataError:
    return DataError(f"{path} {seen}", expected=expected, todo=_TODO)


def _objects(file: h5py.File, path: Path) -> Iterator[tuple[str, Any]]:
    """All groups and data sets below the root, by their full names; no link other than a hard one is followed."""
    waiting: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    seen = {_address(file)}
    num_members = 0
    while waiting:
        above, group, depth = waiting.pop()
        num_members += len(group)
        if num_members > MAX_MEMBERS or depth > MAX_DEPTH:
            raise _refusal(
                path, f"holds over {MAX_MEMBERS:,} parts or {MAX_DEPTH} levels of groups", "a file of ganaug"
            )
        for member in group:
            name = f"{above}/{member}" if above else member
            link = group.get(member, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
                raise _refusal(path, f"holds {kind}, {name}", "a file that points nowhere")
            item = group[member]
            if isinstance(item, h5py.Group):
                waiting.append((name, item, depth + 1))
            elif not isinstance(item, h5py.Dataset):
                raise _refusal(path, f"holds a named type, {name}", "groups and data sets")
            if _address(item) in seen:
                raise _refusal(path, f"holds {name} under two names", "every part once")
            seen.add(_address(item))
            yield name, item


def _address(item: Any) -> int:
    return int(h5py.h5o.get_info(item.id).addr)


def _require_plain_data(data: h5py.Dataset, name: str, file_bytes: int, path: Path) -> int:
    """The bytes that a data set takes in the file, 0 where filters shrink them; DataError where it is not plain."""
    created = data.id.get_create_plist()
    if created.get_external_count():
        raise _refusal(path, f"keeps {name} in another file", "a file with all its data")
    layout = created.get_layout()
    if layout == h5py.h5d.VIRTUAL:
        raise _refusal(path, f"takes {name} from other files", "a file with all its data")
    _require_plain_type(data.id.get_type(), name, path)
    if data.shape is None or len(data.shape) > 4:
        raise _refusal(path, f"holds {name} of the shape {data.shape}", "at most 4 dimensions")
    is_text = _is_text_of_any_length(data.id.get_type())
    item_bytes = _LENGTH_AND_PLACE.itemsize if is_text else data.id.get_type().get_size()
    num_bytes = math.prod(data.shape) * item_bytes
    filters = [int(created.get_filter(number)[0]) for number in range(created.get_nfilters())]
    if any(number not in _FILTERS for number in filters):
        raise _refusal(path, f"packs {name} by the filters {filters}", f"only {', '.join(_FILTERS.values())}")
    if num_bytes > file_bytes * (MAX_INFLATION if filters else 1):
        raise _refusal(path, f"declares {num_bytes:,} bytes for {name} and has {file_bytes:,}", "a whole file")
    chunk_bytes = math.prod(created.get_chunk()) * item_bytes if layout == h5py.h5d.CHUNKED else 0
    whole = num_bytes if name.partition("/")[0] not in _IMAGES else 0
    if max(whole, chunk_bytes) > MAX_READ_BYTES:
        raise _refusal(path, f"declares {max(whole, chunk_bytes):,} bytes for {name}", f"at most {MAX_READ_BYTES:,}")
    if is_text and data.size:
        _require_short_texts(data, name, file_bytes, path)
    return 0 if filters else num_bytes


def _is_text_of_any_length(kind: Any) -> bool:
    return bool(kind.get_class() == h5py.h5t.STRING and kind.is_variable_str())


def _require_plain_type(kind: Any, name: str, path: Path) -> None:
    """Whole numbers, floating-point numbers and text; not compound, array, opaque, reference or nested types."""
    plain = {h5py.h5t.INTEGER: 8, h5py.h5t.FLOAT: 16, h5py.h5t.ENUM: 8, h5py.h5t.STRING: MAX_STRING_BYTES}
    limit = plain.get(kind.get_class())
    if limit is None or kind.get_size() > limit:
        raise _refusal(path, f"holds {name} of a type that no file of ganaug has", "numbers or text")


def _require_short_texts(data: h5py.Dataset, name: str, file_bytes: int, path: Path) -> None:
    """Bound what a column of text takes in memory: a thousand rows may all be the same megabyte of the file.

    The lengths stand in a row next to the places of the texts, so they can be read without the texts.
    """
    start, num_rows = data.id.get_offset(), data.size
    num_bytes = num_rows * _LENGTH_AND_PLACE.itemsize
    if start is None or data.id.get_storage_size() != num_bytes or start + num_bytes > file_bytes:
        raise _refusal(path, f"stores the text {name} otherwise than ganaug writes it", "one block of the file")
    with path.open("rb") as raw:
        raw.seek(start)
        lengths = np.frombuffer(raw.read(num_bytes), _LENGTH_AND_PLACE)["length"].astype(np.int64)
    longest = int(lengths.max())
    if longest > file_bytes or 4 * longest * num_rows > MAX_READ_BYTES:  # NumPy gives every text the longest one's room
        raise _refusal(path, f"declares {num_rows:,} texts of up to {longest:,} bytes for {name}", "short texts")


def _require_plain_attributes(item: Any, name: str, file_bytes: int, path: Path) -> None:
    num_attributes = h5py.h5a.get_num_attrs(item)
    if num_attributes > MAX_ATTRIBUTES:
        raise _refusal(path, f"gives {name} {num_attributes:,} attributes", f"at most {MAX_ATTRIBUTES:,}")
    for number in range(num_attributes):
        attribute = h5py.h5a.open(item, index=number)
        label = f"the attribute {attribute.name.decode('utf-8', 'backslashreplace')} of {name}"
        kind, space = attribute.get_type(), attribute.get_space()
        is_text = kind.get_class() == h5py.h5t.STRING
        if not is_text:
            _require_plain_type(kind, label, path)
        if space.get_simple_extent_type() != h5py.h5s.SCALAR or kind.get_size() > min(file_bytes, MAX_READ_BYTES):
            raise _refusal(path, f"holds {label}, which is no single value", "numbers or text, long lists as JSON")
