"""The one HDF5 layout of real and synthetic images, and its readers; `ganaug.data.hdf5.image_writer` writes it.

images u8 [N,H,W,3]   one image a chunk, uncompressed: a random image costs one read
mask   u8 [N,H,W]     optional, 255 where the class-deciding structures are
label i64 (-1 unlabelled), magnification i64 (0 unknown), um_per_px f64 (NaN unknown), phash u64   [N]
image_id, group_id (patient), site_id (laboratory, "" unknown), path, sha256                       [N] text
stained/fold<k> u8 [N,H,W,3]   optional, the images as fold k sees them: stain normalised to its training groups
expression/...                 optional, further tables of the source
position i64 [N]               of synthetic files, the position within the class
attrs: schema_version, and as JSON: source, class_names, pixels (how they came about), licence, notes, skipped,
       duplicates, content (the digest of every array that is no column), fingerprint (of what defines the data set),
       seal (of all that the file holds), signature, created; of synthetic files also provenance. Attributes that are
       too large for HDF5 stand as text in the group attrs.

Whatever reads the table computes fingerprint and seal again; arrays are checked before they are used, by `seals`.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ganaug.data.hdf5 import seals
from ganaug.data.hdf5.attributes import faults_of_arrays, faults_of_attributes
from ganaug.data.hdf5.safety import require_self_contained
from ganaug.errors import DataError, LeakError
from ganaug.files import parse_json
from ganaug.provenance import (
    Seen,
    digest_of,
    digest_of_bytes,
    keyed_digest,
    require_equal_seal,
    require_signature,
)
from ganaug.remember import once_per_file
from ganaug.workspace import MARKER

SCHEMA_VERSION = 4
IMAGES_AT_A_TIME = 64  # that are read or written together
_UNSEALED = ("seal", "signature", "provenance", "created")  # what is no part of a file's seal
TEXTS = ("image_id", "group_id", "site_id", "path", "sha256")
NUMBERS: dict[str, Any] = {"label": np.int64, "magnification": np.int64, "um_per_px": np.float64, "phash": np.uint64}


@dataclass(frozen=True)
class ImageTable:
    """All that a file says of its images but the pixels; every array has length N."""

    class_names: tuple[str, ...]
    label: NDArray[np.int64]  # i64, index into class_names; -1 for images without a label
    image_id: NDArray[np.str_]  # text
    group_id: NDArray[np.str_]  # text, the patient
    site_id: NDArray[np.str_]  # text, the laboratory; empty where unknown
    path: NDArray[np.str_]  # text, where the image came from, relative to the source
    sha256: NDArray[np.str_]  # text, of the source file's bytes
    magnification: NDArray[np.int64]  # i64, 0 where unknown
    um_per_px: NDArray[np.float64]  # f64, micrometres per pixel of the stored images, NaN where unknown
    phash: NDArray[np.uint64]  # u64, perceptual hash
    attrs: dict[str, Any] = field(default_factory=dict)  # source, licence, pixels, notes, ...

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

    @cached_property
    def key(self) -> bytes:
        """The key under which patients and images of this data set are known outside: made of what only its file holds.

        Whoever has the same images of the same patients has the same key, and nobody else can compute it.
        """
        return bytes.fromhex(digest_of(["ganaug patients", *sorted(zip(self.sha256.tolist(), self.group_id.tolist()))]))

    def patient_digest(self, group: str) -> str:
        """What stands for a patient outside of the data set."""
        return keyed_digest(self.key, "patient", group)

    def image_digests(self, indices: NDArray[np.int64]) -> list[str]:
        """What stands for images outside of the data set, for positions i64 [n]."""
        digests: list[str] = self._image_digests[indices].tolist()
        return digests

    @cached_property
    def _image_digests(self) -> NDArray[np.str_]:
        return np.array([keyed_digest(self.key, "image", sha256) for sha256 in self.sha256.tolist()], dtype="<U24")

    def in_shared_order(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions i64 [n] in the order of their images' digests, which says nothing of the patients' names."""
        return indices[np.argsort(np.array(self.image_digests(indices)), kind="stable")]

    def seen(self, indices: NDArray[np.int64]) -> Seen:
        """What something has seen that was shown the images at `indices` i64 [n]."""
        groups = np.unique(self.group_id[indices]).tolist()
        hashes = np.unique(self.phash[indices])
        return Seen(
            groups=tuple(sorted(map(self.patient_digest, groups))),
            images=tuple(sorted(set(self.image_digests(indices)))),
            hashes=tuple(f"{value:016x}" for value in hashes[hashes != 0].tolist()),
        )

    def indices_of(self, groups: Iterable[str]) -> NDArray[np.int64]:
        """The images of these groups, in file order."""
        return np.flatnonzero(np.isin(self.group_id, np.asarray(sorted(groups), dtype=object).astype(str)))

    def class_counts(self, indices: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Images per class, i64 [K]; those without a label are not counted."""
        label = self.label if indices is None else self.label[indices]
        return np.bincount(label[label >= 0], minlength=self.num_classes)


def resolve_patients(table: ImageTable, digests: Iterable[str]) -> dict[str, str]:
    """The patients that digests out of a shared file stand for, by digest; those of other data sets are skipped."""
    name_of = {table.patient_digest(name): name for name in np.unique(table.group_id).tolist()}
    return {digest: name_of[digest] for digest in digests if digest in name_of}


def stained_name(fold: int) -> str:
    """Where a file keeps the images as a fold sees them."""
    return f"stained/fold{fold}"


def fingerprint_of(table: ImageTable) -> str:
    """Digest of what defines a data set: classes, pixels and how they came about, each image's source, label, group."""
    rows = zip(table.sha256.tolist(), table.label.tolist(), table.group_id.tolist(), table.image_id.tolist())
    pixels = [table.attrs.get(name) for name in ("resolution_px", "pixels", "content")]
    return digest_of([list(table.class_names), pixels, [list(row) for row in rows]])


def seal_of(table: ImageTable) -> str:
    """Digest of every column and attribute of a file, and by `content` of all its other arrays."""
    numbers = {name: digest_of_bytes([getattr(table, name).astype(kind).tobytes()]) for name, kind in NUMBERS.items()}
    texts = {name: digest_of(getattr(table, name).tolist()) for name in TEXTS}
    attrs = {name: value for name, value in table.attrs.items() if name not in _UNSEALED}
    return digest_of([list(table.class_names), numbers, texts, attrs])


@contextmanager
def open_images(path: Path) -> Iterator[h5py.File]:
    """Open a file of the schema for reading; raises DataError where it is missing, corrupt or of another version."""
    if not path.is_file():
        raise DataError(f"there is no file {path}", todo="make it with `ganaug prepare` or `ganaug synthesize`")
    try:
        file = h5py.File(path, "r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable HDF5 file ({error})", todo="make it again with ganaug") from error
    with file:
        require_self_contained(file, path)
        try:
            version = file.attrs.get("schema_version")
            if not isinstance(version, np.integer) or version != SCHEMA_VERSION:
                raise DataError(
                    f"{path} has schema version {version}", expected=f"version {SCHEMA_VERSION}", todo="make it again"
                )
            yield file
        except KeyError as error:
            raise DataError(f"{path} lacks a part of the schema ({error})", todo="make it again") from error


def read_table(path: Path) -> ImageTable:
    """All but the pixels, which nobody may change; LeakError where anything is not what the file was sealed with."""
    table = _read_table(path)
    require_signature(table.attrs["seal"], table.attrs.get("signature"), path)
    return table


@once_per_file(maxsize=16)
def _read_table(path: Path) -> ImageTable:
    with open_images(path) as file:
        try:
            attrs = _attrs_of(file)
            numbers = {name: file[name][:] for name in NUMBERS}
            texts = {name: file[name].asstr()[:].astype(str) for name in TEXTS}
            num_images = len(file["images"])
            faults = faults_of_attributes(attrs) + faults_of_arrays(file, attrs, num_images)
        except (TypeError, ValueError, AttributeError, OSError, RuntimeError, RecursionError) as error:
            raise DataError(
                f"{path} has a column or an attribute that cannot be read ({error})", todo="make it again with ganaug"
            ) from error
    faults += [
        *(name for name, kind in NUMBERS.items() if numbers[name].dtype != kind),
        *(name for name, column in {**numbers, **texts}.items() if column.shape != (num_images,)),
        *(["images"] if not num_images else []),
    ]
    if faults:
        raise DataError(f"{path} has {', '.join(faults)} of another kind or length", todo="make it again with ganaug")
    table = ImageTable(class_names=tuple(attrs.pop("class_names")), attrs=attrs, **numbers, **texts)
    for column in (*numbers.values(), *texts.values()):
        column.setflags(write=False)
    require_equal_seal(seal_of(table), str(attrs.get("seal")), path)
    if fingerprint_of(table) != attrs.get("fingerprint"):
        raise LeakError(f"the fingerprint of {path} is not that of its table", todo="make it again with ganaug")
    if table.label.min() < -1 or table.label.max() >= table.num_classes or table.magnification.min() < 0:
        raise DataError(
            f"{path} has labels outside of its {table.num_classes} classes, or magnifications below 0",
            todo="make it again with ganaug",
        )
    return table


def _attrs_of(file: h5py.File) -> dict[str, Any]:
    """The attributes, small and large, as JSON values."""
    texts = {name: value for name, value in file.attrs.items() if name != "schema_version"}
    texts |= {name: file["attrs"][name].asstr()[0] for name in file.get("attrs", ())}
    return {name: parse_json(text) for name, text in texts.items()}


def require_array(path: Path, table: ImageTable, name: str = "images") -> str:
    """The digest of an array of a file, once it is what the file's table was sealed with; raises LeakError."""
    expected = table.attrs["content"].get(name)
    if not isinstance(expected, str):
        raise DataError(f"{path} holds no {name}", todo="make it again with ganaug")
    seals.require_unchanged(path, name, expected)
    return expected


def name_to_share(path: Path, digest: str) -> str:
    """How records call a file: by its name in a workspace; elsewhere a user gave the name, so by its digest."""
    is_ours = path.parent.name in ("datasets", "synthetic") and (path.parent.parent / MARKER).exists()
    return path.name if is_ours else f"file-{digest[:12]}{path.suffix}"


def open_reader(path: Path, table: ImageTable, name: str = "images") -> "ImageReader":
    """The pixels of a file whose table was read, with their digest; raises LeakError where they were changed."""
    return ImageReader(path, name, require_array(path, table, name))


class ImageReader:
    """The pixels of a file: `reader[indices]` gives u8 [n,H,W,3]; opened lazily, so other processes may be sent it.

    `digest` is that of the array, known where `open_reader` made the reader and else empty.
    """

    def __init__(self, path: Path, dataset: str = "images", digest: str = "") -> None:
        self.path, self.dataset, self.digest = path, dataset, digest
        self._file: h5py.File | None = None
        self._process = 0  # that opened the file

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        try:
            if self._file is None or self._process != os.getpid():  # a handle that a fork inherited must not be used
                self._file, self._process = h5py.File(self.path, "r"), os.getpid()
                require_self_contained(self._file, self.path)
            stored = self._file[self.dataset]
            images = np.empty((len(indices), *stored.shape[1:]), stored.dtype)
            # One read an image: HDF5's own selection of scattered images takes some seventy times as long.
            for row, index in zip(images, indices):
                row[...] = stored[int(index)]
            return images
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise DataError(f"images of {self.path} cannot be read ({error})", todo="make it again") from error

    def __len__(self) -> int:
        return len(_read_table(self.path))  # which holds every array to this length

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "dataset": self.dataset, "digest": self.digest, "_file": None, "_process": 0}


def content_digest(path: Path) -> str:
    """The seal of a file, once its table and all its arrays are found to be what it was sealed with."""
    return require_arrays(path, read_table(path))


def require_arrays(path: Path, table: ImageTable) -> str:
    """The seal of a file whose table was read, once all its arrays are what it was sealed with; raises LeakError."""
    for name in table.attrs["content"]:
        require_array(path, table, name)
    return str(table.attrs["seal"])


def creation_time_of_images(path: Path) -> str:
    """When a file was made, as it says itself; empty where it does not, or cannot be read."""
    try:
        with h5py.File(path, "r") as file:
            require_self_contained(file, path)
            created = parse_json(file.attrs["created"])
    except (DataError, OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError):
        return ""
    return created if isinstance(created, str) else ""
