"""The writer of the one HDF5 layout of images: pixels as they come in, the table and the seal at the end."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ganaug.data.hdf5 import seals
from ganaug.data.hdf5.guarded_file import GuardedDataset, GuardedFile, writing_hdf5
from ganaug.data.schema import NUMBERS, SCHEMA_VERSION, TEXTS, ImageTable, fingerprint_of, seal_of, stained_name
from ganaug.files import parse_json
from ganaug.provenance import Provenance, signature_of
from ganaug.workspace import atomic_path

MAX_ATTR_BYTES = 32 * 2**10  # HDF5 itself takes less than 64 KiB


class ImageWriter:
    """Takes images one by one and their table at the end; made by `writing_images`."""

    def __init__(self, file: h5py.File, guarded: GuardedFile, resolution_px: int, *, masks: bool) -> None:
        self._file, self._guarded = file, guarded
        self._shape = (resolution_px, resolution_px)
        self._images = self._empty("images", 3)
        self._masks = self._empty("mask", compression="gzip") if masks else None
        self._stained: dict[str, GuardedDataset] = {}

    def _empty(self, name: str, *channels: int, **options: Any) -> GuardedDataset:
        shape = (*self._shape, *channels)
        whole: dict[str, Any] = {"maxshape": (None, *shape), "chunks": (1, *shape), "track_times": False}
        with self._guarded.in_use():
            return GuardedDataset(self._file.create_dataset(name, (0, *shape), "u1", **whole, **options), self._guarded)

    def __len__(self) -> int:
        return len(self._images)

    def append(self, images: NDArray[np.uint8], masks: NDArray[np.uint8] | None = None) -> None:
        """Add images u8 [n,H,W,3], and their masks u8 [n,H,W] where the file has masks."""
        for stored, new in ((self._images, images), (self._masks, masks)):
            if stored is not None:
                assert new is not None
                stored.resize(len(stored) + len(new), axis=0)
                stored[-len(new) :] = new

    def keep(self, places: NDArray[np.int64]) -> None:
        """Leave only the images at these places i64 [n], each once, in this order."""
        for stored in (self._images, self._masks):
            if stored is not None:
                _rearrange(stored, places)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Images that have been written, u8 [n,H,W,3]."""
        rows = [self._images[index] for index in indices]
        return np.stack(rows) if rows else np.empty((0, *self._images.shape[1:]), np.uint8)

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """What has been written so far, u8 [n,H,W,3] at a time."""
        return seals.blocks_of(self._images)

    def append_stained(self, fold: int, images: NDArray[np.uint8]) -> None:
        """Add images u8 [n,H,W,3] as a fold sees them, in the order of `append`."""
        name = stained_name(fold)
        if name not in self._stained:
            self._stained[name] = self._empty(name, 3)
        stored = self._stained[name]
        stored.resize(len(stored) + len(images), axis=0)
        stored[-len(images) :] = images

    def finish(
        self,
        table: ImageTable,
        *,
        positions: NDArray[np.int64] | None = None,
        record: Provenance | None = None,
        tables: Mapping[str, NDArray[Any]] | None = None,
    ) -> ImageTable:
        """Write all but the pixels and seal the file; returns the table with its fingerprint and seal.

        positions: i64 [N], of synthetic images within their class. record: their provenance, which is sealed to the
        file. tables: further arrays, kept under their names.
        """
        assert len(table) == len(self), f"{len(self)} images for a table of {len(table)}"
        with self._guarded.in_use():
            self._write_columns(table, positions, tables or {})
            table = self._seal(table, record)
            self._write_attrs(table)
        return table

    def _write_columns(
        self, table: ImageTable, positions: NDArray[np.int64] | None, tables: Mapping[str, NDArray[Any]]
    ) -> None:
        for name, dtype in NUMBERS.items():
            self._file.create_dataset(name, data=getattr(table, name).astype(dtype), track_times=False)
        for name in TEXTS:
            self._write_text(name, getattr(table, name))
        if positions is not None:
            self._file.create_dataset("position", data=positions.astype(np.int64), track_times=False)
        for name, array in tables.items():
            if array.dtype.kind in "OU":
                self._write_text(name, array)
            else:
                self._file.create_dataset(name, data=array, track_times=False)

    def _write_attrs(self, table: ImageTable) -> None:
        self._file.attrs["schema_version"] = SCHEMA_VERSION
        for name, value in {**table.attrs, "class_names": list(table.class_names)}.items():
            # Half a letter, as undecodable file names hold, is escaped as JSON does.
            text = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
            if len(text.encode()) > MAX_ATTR_BYTES:
                self._write_text(f"attrs/{name}", np.array([text], dtype=object))
            else:
                self._file.attrs[name] = text

    def _write_text(self, name: str, values: NDArray[np.str_]) -> None:
        self._file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype(), track_times=False)

    def _seal(self, table: ImageTable, record: Provenance | None) -> ImageTable:
        """The table with content, fingerprint, seal and signature; its attrs as JSON gives them back."""
        content = seals.digests_of(self._file, less=(*NUMBERS, *TEXTS))
        table = replace(table, attrs=parse_json(json.dumps({**table.attrs, "content": content})))
        table.attrs["fingerprint"] = fingerprint_of(table)
        table.attrs["seal"] = seal_of(table)
        if signature := signature_of(table.attrs["seal"]):
            table.attrs["signature"] = signature
        if record is not None:
            table.attrs["provenance"] = record.sealed(table.attrs["seal"]).to_dict()
        return table


@contextmanager
def writing_images(path: Path, resolution_px: int, *, masks: bool = False) -> Iterator[ImageWriter]:
    """Write a file of the schema; it takes its final name only when the block ends well and `finish` was called."""
    with atomic_path(path) as part, writing_hdf5(part) as (file, guarded):
        yield ImageWriter(file, guarded, resolution_px, masks=masks)


def _rearrange(stored: GuardedDataset, places: NDArray[np.int64]) -> None:
    """Row i becomes what row places[i] was, the rest goes: in place, so that no copy takes room on the disk."""
    source = np.concatenate([places, np.setdiff1d(np.arange(len(stored)), places)])
    settled = source == np.arange(len(source))
    for start in np.flatnonzero(~settled).tolist():
        if settled[start]:
            continue
        held, row = stored[start], start  # a ring of rows, each of which takes the place of another
        while source[row] != start:
            stored[row] = stored[int(source[row])]
            settled[row] = True
            row = int(source[row])
        stored[row] = held
        settled[row] = True
    stored.resize(len(places), axis=0)
