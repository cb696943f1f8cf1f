"""Stats as a file of events that TensorBoard reads, written without TensorBoard and without the host's name in it.

A file is a series of records: the length u64 of an event, its masked CRC-32C u32, the event, and the masked CRC-32C of
that; an event is a protocol buffer. TensorBoard's own writer puts the name of the host into the name of the file.
Source: the TFRecord format in TensorFlow's guide, and event.proto and summary.proto of TensorBoard.
"""

import os
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ganaug.workspace import os_errors_as_workspace_errors

_CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, its bits reversed
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # kinds of fields in a protocol buffer
_WALL_TIME, _STEP, _FILE_VERSION, _SUMMARY = 1, 2, 3, 5  # fields of an event
_VALUE, _TAG, _SIMPLE_VALUE = 1, 1, 2  # of a summary, and of a value in it


class TensorBoardWriter:
    """Writes lines of stats as scalars against images shown; without a folder it writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._file: BinaryIO | None = None
        if folder is None:
            return
        self._folder = folder
        name = f"events.out.tfevents.{time.time():017.6f}.{os.getpid()}"  # the newest last, as TensorBoard reads them
        with os_errors_as_workspace_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / name).open("xb", buffering=0)  # so that a full disk shows where it is met
            self._file.write(_record(_event(_field(_FILE_VERSION, _BYTES, b"brain.Event:2"))))

    def add(self, line: dict[str, float]) -> None:
        """Add a line; raises WorkspaceError where it cannot be written, as on a full disk."""
        if self._file is None:
            return
        values = [
            _field(_TAG, _BYTES, name.encode()) + _field(_SIMPLE_VALUE, _FLOAT, struct.pack("<f", value))
            for name, value in line.items()
        ]
        summary = b"".join(_field(_VALUE, _BYTES, value) for value in values)
        step = _field(_STEP, _VARINT, _varint(round(1000 * line["kimg"])))
        with os_errors_as_workspace_errors(self._folder):
            self._file.write(_record(_event(step + _field(_SUMMARY, _BYTES, summary))))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            with os_errors_as_workspace_errors(self._folder):
                self._file.close()


def _event(fields: bytes) -> bytes:
    return _field(_WALL_TIME, _DOUBLE, struct.pack("<d", time.time())) + fields


def _field(number: int, kind: int, content: bytes) -> bytes:
    return _varint(number << 3 | kind) + (_varint(len(content)) if kind == _BYTES else b"") + content


def _varint(value: int) -> bytes:
    """A number from 0 up, seven bits per byte, the lowest first."""
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def _record(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + _checksum(length) + event + _checksum(event)


def _checksum(data: bytes) -> bytes:
    """The CRC-32C, rotated and shifted, as records hold it."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """CRC-32 with Castagnoli's polynomial."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _entry(index: int) -> int:
    for _ in range(8):
        index = index >> 1 ^ (_CASTAGNOLI if index & 1 else 0)
    return index


_TABLE = [_entry(index) for index in range(256)]
