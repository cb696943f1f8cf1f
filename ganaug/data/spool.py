"""A temporary home for images on disk, between decoding and writing."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np


class Spool:
    """u8 arrays of one shape in an unnamed file: written one by one, read back in any order, never all in memory.

    The file has no name, so nothing stays behind however the process ends. Raises OSError where the disk is full.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.shape = shape
        self._num_bytes = int(np.prod(shape))
        self._length = 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 closed by __exit__

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._length

    def append(self, array: np.ndarray) -> int:
        """Write one array; returns its place."""
        assert (array.shape, array.dtype) == (self.shape, np.uint8), (array.shape, array.dtype)
        self._file.seek(self._length * self._num_bytes)
        self._file.write(array.tobytes())
        self._length += 1
        return self._length - 1

    def read(self, places: Sequence[int]) -> np.ndarray:
        """The arrays at these places, u8 [n,*shape]."""
        self._file.flush()
        found = np.empty((len(places), *self.shape), np.uint8)
        for row, place in zip(found, places):
            self._file.seek(place * self._num_bytes)
            row[...] = np.frombuffer(self._file.read(self._num_bytes), np.uint8).reshape(self.shape)
        return found
