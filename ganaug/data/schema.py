"""The one HDF5 layout of real and synthetic images, its writer and its readers.

images u8 [N,H,W,3]   one image a chunk, uncompressed: a random image costs one read
mask   u8 [N,H,W]     optional, 255 where the class-deciding structures are
label i64 (-1 unlabelled), magnification i64 (0 unknown), um_per_px f64 (NaN unknown), phash u64   [N]
image_id, group_id (patient), site_id (laboratory, "" unknown), path, sha256                       [N] text
attrs: schema_version, source, class_names, pixels (how they came about), fingerprint, licence, notices,
       left_out, duplicates, ... (lists as JSON)
stained/fold<k> u8 [N,H,W,3]   optional, the images as fold k sees them: stain normalised to its training groups
expression/...                 optional, further tables of the source
synthetic files also: seed i64 [N] and the attr provenance
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ganaug.data.guarded_file import GuardedDataset, GuardedFile, writing_hdf5
from ganaug.errors import DataError
from ganaug.provenance import digest_of, digest_of_bytes
from ganaug.workspace import atomic_path

SCHEMA_VERSION = 2
_TEXT = ("image_id", "group_id", "site_id", "path", "sha256")
_NUMBERS: dict[str, Any] = {"label": np.int64, "magnification": np.int64, "um_per_px": np.float64, "phash": np.uint64}


@dataclass(frozen=True)
class ImageTable:
    """All that a file says of its images but the pixels; every array has length N."""

    class_names: tuple[str, ...]
    label: np.ndarray  # i64, index into class_names; -1 for images without a label
    image_id: np.ndarray  # text
    group_id: np.ndarray  # text, the patient
    site_id: np.ndarray  # text, the laboratory; empty where unknown
    path: np.ndarray  # text, where the image came from, relative to the source
    sha256: np.ndarray  # text, of the source file's bytes
    magnification: np.ndarray  # i64, 0 where unknown
    um_per_px: np.ndarray  # f64, micrometres per pixel of the stored images, NaN where unknown
    phash: np.ndarray  # u64, perceptual hash
    attrs: dict[str, Any] = field(default_factory=dict)  # source, licence, pixels, notices, ...

    def __len__(self) -> int:
        return len(self.label)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def resolution_px(self) -> int:
        return int(self.attrs["resolution_px"])

    @property
    def fingerprint(self) -> str:
        return str(self.attrs["fingerprint"])

    def indices_of(self, groups: Iterable[str]) -> np.ndarray:
        """The images of these groups, in file order."""
        return np.flatnonzero(np.isin(self.group_id, np.asarray(sorted(groups), dtype=object).astype(str)))

    def class_counts(self, indices: np.ndarray | None = None) -> np.ndarray:
        """Images per class, i64 [K]; those without a label are not counted."""
        label = self.label if indices is None else self.label[indices]
        return np.bincount(label[label >= 0], minlength=self.num_classes)


def stained_name(fold: int) -> str:
    """Where a file keeps the images as a fold sees them."""
    return f"stained/fold{fold}"


def fingerprint_of(table: ImageTable) -> str:
    """Digest of what defines a data set: classes, how pixels came about, and each image's content, label and group."""
    rows = zip(table.sha256.tolist(), table.label.tolist(), table.group_id.tolist(), table.image_id.tolist())
    pixels = [table.attrs.get("resolution_px"), table.attrs.get("pixels")]
    return digest_of([list(table.class_names), pixels, [list(row) for row in rows]])


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

    def append(self, images: np.ndarray, masks: np.ndarray | None = None) -> None:
        """Add images u8 [n,H,W,3], and their masks u8 [n,H,W] where the file has masks."""
        for stored, new in ((self._images, images), (self._masks, masks)):
            if stored is not None:
                assert new is not None
                stored.resize(len(stored) + len(new), axis=0)
                stored[-len(new) :] = new

    def keep(self, places: np.ndarray) -> None:
        """Leave only the images at these places i64 [n], each once, in this order."""
        for stored in (self._images, self._masks):
            if stored is not None:
                _rearrange(stored, places)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Images that have been written, u8 [n,H,W,3]."""
        rows = [self._images[index] for index in indices]
        return np.stack(rows) if rows else np.empty((0, *self._images.shape[1:]), np.uint8)

    def blocks(self) -> Iterator[np.ndarray]:
        """What has been written so far, u8 [n,H,W,3] at a time."""
        return _blocks(self._images)

    def append_stained(self, fold: int, images: np.ndarray) -> None:
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
        seeds: np.ndarray | None = None,
        attrs: dict[str, Any] | None = None,
        tables: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Write all but the pixels; `attrs` are added to the table's own, `tables` are kept under their names."""
        assert len(table) == len(self), f"{len(self)} images for a table of {len(table)}"
        with self._guarded.in_use():
            self._write_tables(table, seeds, {**table.attrs, **(attrs or {})}, tables or {})

    def _write_tables(
        self, table: ImageTable, seeds: np.ndarray | None, attrs: dict[str, Any], tables: Mapping[str, np.ndarray]
    ) -> None:
        for name, dtype in _NUMBERS.items():
            self._file.create_dataset(name, data=getattr(table, name).astype(dtype), track_times=False)
        for name in _TEXT:
            text = getattr(table, name).astype(object)
            self._file.create_dataset(name, data=text, dtype=h5py.string_dtype(), track_times=False)
        if seeds is not None:
            self._file.create_dataset("seed", data=seeds.astype(np.int64), track_times=False)
        for name, array in tables.items():
            text = array.dtype.kind in "OU"
            dtype = h5py.string_dtype() if text else array.dtype
            self._file.create_dataset(name, data=array.astype(object) if text else array, dtype=dtype)
        constants = {"schema_version": SCHEMA_VERSION, "class_names": list(table.class_names)}
        for name, value in {**attrs, **constants}.items():
            self._file.attrs[name] = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


@contextmanager
def writing_images(path: Path, resolution_px: int, *, masks: bool = False) -> Iterator[ImageWriter]:
    """Write a file of the schema; it takes its final name only when the block ends well and `finish` was called."""
    with atomic_path(path) as part, writing_hdf5(part) as (file, guarded):
        yield ImageWriter(file, guarded, resolution_px, masks=masks)


@contextmanager
def open_images(path: Path) -> Iterator[h5py.File]:
    """Open a file of the schema for reading; raises DataError where it is missing, torn or of another version."""
    if not path.exists():
        raise DataError(f"there is no file {path}", todo="make it with `ganaug prepare` or `ganaug synthesize`")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} is not a readable HDF5 file ({error})", todo="make it anew") from error
    with file:
        version = file.attrs.get("schema_version")
        if version is None or int(version) != SCHEMA_VERSION:
            raise DataError(
                f"{path} has schema version {version}", expected=f"version {SCHEMA_VERSION}", todo="prepare it anew"
            )
        try:
            yield file
        except KeyError as error:
            raise DataError(f"{path} lacks a part of the schema ({error})", todo="make it anew") from error


def read_table(path: Path) -> ImageTable:
    """Read all but the pixels."""
    with open_images(path) as file:
        attrs = {name: _plain(value) for name, value in file.attrs.items()}
        numbers = {name: file[name][:] for name in _NUMBERS}
        texts = {name: file[name].asstr()[:].astype(str) for name in _TEXT}
        class_names = tuple(attrs.pop("class_names"))
        if not len(numbers["label"]) == len(file["images"]) > 0:
            raise DataError(
                f"{path} holds {len(file['images'])} images and {len(numbers['label'])} labels", todo="make it anew"
            )
    return ImageTable(class_names=class_names, attrs=attrs, **numbers, **texts)


class ImageReader:
    """The pixels of a file: `reader[indices]` gives u8 [n,H,W,3]; opened lazily, so other processes may be sent it."""

    def __init__(self, path: Path, dataset: str = "images") -> None:
        self.path, self.dataset = path, dataset
        self._file: h5py.File | None = None
        self._process = 0  # that opened the file

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        if self._file is None or self._process != os.getpid():  # a handle that a fork inherited must not be used
            self._file, self._process = h5py.File(self.path, "r"), os.getpid()
        stored = self._file[self.dataset]
        images = np.empty((len(indices), *stored.shape[1:]), stored.dtype)
        # One read an image: HDF5's own selection of scattered images takes some seventy times as long.
        for row, index in zip(images, indices):
            row[...] = stored[int(index)]
        return images

    def __len__(self) -> int:
        with open_images(self.path) as file:
            return len(file[self.dataset])

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "dataset": self.dataset, "_file": None, "_process": 0}


def content_digest(path: Path, dataset: str = "images") -> str:
    """Digest of the labels and pixels of a file, which a provenance record is sealed with."""
    with open_images(path) as file:
        return digest_of_pixels(file["label"][:], _blocks(file[dataset]))


def digest_of_pixels(labels: np.ndarray, blocks: Iterable[np.ndarray]) -> str:
    """SHA-256 over labels i64 [N] and, image by image, the pixels u8 [n,H,W,3] of every block."""
    pixels = (image.tobytes() for block in blocks for image in block)
    return digest_of_bytes(chain([labels.astype("<i8").tobytes()], pixels))


def _rearrange(stored: GuardedDataset, places: np.ndarray) -> None:
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


def _blocks(images: h5py.Dataset | GuardedDataset) -> Iterator[np.ndarray]:
    return (images[start : start + 256] for start in range(0, len(images), 256))


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("[", "{"):
        with suppress(ValueError):  # text that only begins like JSON stays text, and whoever reads it judges it
            return json.loads(value)
    return value.item() if isinstance(value, np.generic) else value
