"""A file for HDF5 to write to whose faults arrive as Python errors: HDF5 crashes on one of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ganaug.parallel.processes import defer_stops


class GuardedFile:
    """What h5py takes for a file. No call of HDF5's ever fails: the first fault is kept, see `raise_fault`.

    After a fault, a full disk mostly, what HDF5 writes is held in memory, so that it reads what it wrote and can close;
    who writes looks for a fault every few images, so that this is little.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._fault: Exception | None = None
        self._held: list[tuple[int, bytes]] = []  # written after the fault: where, and what
        self._position = 0
        self._end = 0

    def raise_fault(self) -> None:
        """Raise what went wrong so far, if anything."""
        if self._fault is not None:
            raise self._fault

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Around calls of HDF5: to it, a Ctrl-C in the midst of one were a failed write. Raises a fault."""
        self.raise_fault()
        with defer_stops():
            yield
        self.raise_fault()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + (self._end if whence == os.SEEK_END else 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def write(self, content: memoryview) -> int:
        content = memoryview(content)
        start, size = self._position, len(content)
        if self._fault is None:
            try:
                self._write_all(content)
            except Exception as fault:
                self._fault = fault
        if self._fault is not None:
            self._held.append((start, bytes(content)))
        self._position = start + size
        self._end = max(self._end, self._position)
        return size

    def _write_all(self, content: memoryview) -> None:
        done = 0
        while done < len(content):
            done += os.pwrite(self._descriptor, content[done:], self._position + done)

    def read(self, size: int) -> bytes:
        content = bytearray(size)
        self.readinto(memoryview(content))
        return bytes(content)

    def readinto(self, buffer: memoryview) -> int:
        buffer = memoryview(buffer)
        start, size = self._position, len(buffer)
        try:
            content = os.pread(self._descriptor, size, start)
        except OSError as fault:
            self._fault, content = self._fault or fault, b""
        buffer[:] = content.ljust(size, b"\0")
        for at, held in self._held:
            first, last = max(at, start), min(at + len(held), start + size)
            if first < last:
                buffer[first - start : last - start] = held[first - at : last - at]
        self._position = start + size
        return size

    def truncate(self, size: int) -> int:
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as fault:
            self._fault = self._fault or fault
        self._end = size
        return size

    def flush(self) -> None:
        """Nothing is held back here but after a fault."""


class GuardedDataset:
    """An HDF5 data set in a guarded file: each call raises a fault of the file, and is not interrupted half-way."""

    def __init__(self, stored: h5py.Dataset, guarded: GuardedFile) -> None:
        self._stored, self._guarded = stored, guarded

    @property
    def shape(self) -> tuple[int, ...]:
        with self._guarded.in_use():
            return tuple(self._stored.shape)

    def __len__(self) -> int:
        with self._guarded.in_use():
            return len(self._stored)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        with self._guarded.in_use():
            return np.asarray(self._stored[index])

    def __setitem__(self, index: Any, values: NDArray[Any]) -> None:
        with self._guarded.in_use():
            self._stored[index] = values

    def resize(self, size: int, axis: int) -> None:
        with self._guarded.in_use():
            self._stored.resize(size, axis=axis)


@contextmanager
def writing_hdf5(path: Path) -> Iterator[tuple[h5py.File, GuardedFile]]:
    """Open a new HDF5 file to write; whoever calls HDF5 on it does so within the guarded file's `in_use`.

    Raises the OSError of a write that failed, when the file is closed at the latest.
    """
    with path.open("w+b", buffering=0) as raw:
        guarded = GuardedFile(raw.fileno())
        with guarded.in_use():
            file = h5py.File(guarded, "w")
        try:
            yield file, guarded
        finally:
            with defer_stops():
                file.close()
        guarded.raise_fault()
