"""The lengths that a file's texts in attributes declare, read from its bytes: HDF5 takes as much memory as they say.

An attribute of text holds the length and the place of the text, which stands elsewhere. HDF5 gives neither without
reading the text, and fills as many bytes with zeros before it finds that there are none. So the object header that
holds the attributes is read here, in the oldest layout, which h5py writes unless it is asked for another.
Source: HDF5 File Format Specification 3.0, sections IV.A.1.a and IV.A.2.m.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10  # types of messages
_OF_ANY_LENGTH = 9  # class of a type
_SHARED = 2  # flag of a message that stands elsewhere
_MAX_BLOCKS, _MAX_BLOCK_BYTES = 10_000, 2**26


def read_declared_lengths(file: BinaryIO, address: int, file_bytes: int) -> list[int]:
    """The lengths in bytes of the texts in the attributes of the object whose header is at `address`.

    Raises ValueError where the header is of another layout, or leads out of the file.
    """
    return [
        length
        for kind, body in _messages(file, address, file_bytes)
        if kind == _ATTRIBUTE
        for length in _length_in(body)
    ]


def _messages(file: BinaryIO, address: int, file_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message of an object header, over all its blocks."""
    version, size = struct.unpack("<B7xI", _bytes_at(file, address, 12, file_bytes))
    if version != 1:
        raise ValueError(f"an object header of version {version}")
    waiting = [(address + 16, size)]
    seen: set[int] = set()
    while waiting:
        place, size = waiting.pop()
        if place in seen or len(seen) > _MAX_BLOCKS:
            raise ValueError("an object header whose blocks have no end")
        seen.add(place)
        block = _bytes_at(file, place, size, file_bytes)
        at = 0
        while at + 8 <= len(block):
            kind, length, flags = struct.unpack_from("<HHB", block, at)
            body = block[at + 8 : at + 8 + length]
            if len(body) < length or (kind == _ATTRIBUTE and flags & _SHARED):
                raise ValueError("an attribute that stands elsewhere")
            if kind == _CONTINUATION:
                waiting.append(struct.unpack_from("<QQ", body))
            yield kind, body
            at += 8 + length


def _length_in(body: bytes) -> list[int]:
    """The length of the text in an attribute's message; none where its value is no text of any length."""
    version, flags, of_name, of_type, of_space = struct.unpack_from("<BBHHH", body)
    if version not in (1, 2, 3) or (version > 1 and flags):
        raise ValueError(f"an attribute of version {version}")
    start = 9 if version == 3 else 8
    sizes = [-(-size // 8) * 8 if version == 1 else size for size in (of_name, of_type, of_space)]
    kind = body[start + sizes[0]] & 15
    return [struct.unpack_from("<I", body, start + sum(sizes))[0]] if kind == _OF_ANY_LENGTH else []


def _bytes_at(file: BinaryIO, place: int, size: int, file_bytes: int) -> bytes:
    if place + size > file_bytes or size > _MAX_BLOCK_BYTES:
        raise ValueError(f"{size:,} bytes at {place:,}, where the file has {file_bytes:,}")
    file.seek(place)
    return file.read(size)
