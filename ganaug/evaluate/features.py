"""Features of an image file, extracted once and stored in the workspace for every metric and every later call.

The features of a file are a NumPy file of their own, named by the digest of what they come from. It is written while
the network works and takes its name when it is whole, so processes that extract the same do not disturb each other.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganaug.data.schema import ImageReader, read_table, require_array
from ganaug.errors import WorkspaceError
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.metrics.metric import Features
from ganaug.provenance import digest_of
from ganaug.remember import once_per_file
from ganaug.workspace import Workspace, atomic_path

VERSION = 2  # of the stored files; raise it when the same extractor would give other features
ROWS_AT_A_TIME = 4096  # that are checked together
_noted: set[Path] = set()  # folders that could not be written, each named in one note


def features_of(
    workspace: Workspace,
    images: ImageReader,
    extractor: Extractor,
    *,
    orientation: int = 0,
    rows: NDArray[np.int64] | None = None,
    progress: bool = False,
) -> Features:
    """Features [N,D] of every image of a file, in file order, or of `rows` i64 [n] alone, [n,D].

    orientation: that of the images, 0 to 7. They are looked up by the digests of the images and of the extractor's
    weights and preprocessing, so that any change of these gives new features. Where they cannot be stored, a warning
    says so.

    Raises WeightsError where a feature is NaN or infinite.
    """
    (stored,) = map_features(workspace, images, extractor, (orientation,), progress=progress)
    return np.asarray(stored if rows is None else stored[rows], np.float64)


def map_features(
    workspace: Workspace,
    images: ImageReader,
    extractor: Extractor,
    orientations: Sequence[int],
    *,
    progress: bool = False,
) -> list[NDArray[np.float32]]:
    """The same as float32 in several orientations, mapped from their files, so that rows are read as they are used.

    Each orientation is stored when it is done; what is interrupted resumes with the next one.
    """
    num_images, maps = len(images), []
    for orientation, path in zip(orientations, feature_paths(workspace, images, extractor, orientations), strict=True):
        known = _read_cached(path, num_images, extractor.num_features)
        if known is None:
            known = _extract(path, images, extractor, orientation, progress=progress)
        maps.append(known)
    return maps


def num_missing(workspace: Workspace, images: ImageReader, extractor: Extractor, orientations: Sequence[int]) -> int:
    """How many of these orientations are not stored."""
    paths, num_images = feature_paths(workspace, images, extractor, orientations), len(images)
    return sum(_read_cached(path, num_images, extractor.num_features) is None for path in paths)


def feature_paths(
    workspace: Workspace, images: ImageReader, extractor: Extractor, orientations: Sequence[int]
) -> list[Path]:
    """Where the features of these orientations are stored, once they are."""
    content = images.digest or require_array(images.path, read_table(images.path), images.dataset)
    parts = [VERSION, content, extractor.name, extractor.digest, extractor.preprocessing]
    return [workspace.features(digest_of([*parts, orientation])) for orientation in orientations]


# ---- extracting ------------------------------------------------------------------------------------------------------


def _extract(
    path: Path, images: ImageReader, extractor: Extractor, orientation: int, *, progress: bool
) -> NDArray[np.float32]:
    """Features f32 [N,D], written to their file batch by batch; they stay in memory where it cannot be written."""
    num_images, held = len(images), list[NDArray[np.float32]]()  # held: rows that are not in the file
    with closing(extractor.stream(images, orientation=orientation, progress=progress)) as batches:
        try:
            with atomic_path(path) as part, part.open("r+b", buffering=0) as file:
                _write(file, batches, num_images, held)
        except WorkspaceError as error:  # a cache that cannot be written is no reason to fail
            _note_once(path.parent, error)
            held.extend(batches)  # what was not extracted yet
    if held and sum(map(len, held)) == num_images:
        return np.concatenate(held)
    stored = _read_cached(path, num_images, extractor.num_features)
    if stored is None:  # it was lost at the very end, or removed meanwhile
        batches = extractor.stream(images, orientation=orientation, progress=progress)
        stored = np.concatenate(list(batches))
    return stored


def _write(
    file: FileIO, batches: Iterator[NDArray[np.float32]], num_images: int, held: list[NDArray[np.float32]]
) -> None:
    """Write a NumPy file of all rows; an OSError leaves in `held` all rows that were extracted so far."""
    num_written, width, start = 0, 0, 0
    for batch in batches:
        try:
            if not num_written:
                width = batch.shape[1]
                header = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": (num_images, width)}
                np.lib.format.write_array_header_1_0(file, header)
                start = file.tell()
            _write_whole(file, memoryview(batch.tobytes()))
        except OSError:
            held[:] = [batch]
            with suppress(OSError, ValueError):
                file.seek(start)
                rows = np.fromfile(file, np.float32, num_written * width)
                held[:] = [rows.reshape(num_written, width), batch]
            raise
        num_written += len(batch)


def _write_whole(file: FileIO, data: memoryview) -> None:
    """Write all bytes; a disk that fills takes a part of them first."""
    while data:
        data = data[file.write(data) :]


def _note_once(folder: Path, error: WorkspaceError) -> None:
    if folder not in _noted:
        _noted.add(folder)
        line = f"ganaug: {error}; the features are not stored and are computed again next time"
        warnings.warn(line, stacklevel=5)


# ---- stored features -------------------------------------------------------------------------------------------------


def _read_cached(path: Path, num_images: int, num_features: int | None) -> NDArray[np.float32] | None:
    """The features stored at `path`; None where there are none, or they are corrupt, not finite or of another shape."""
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
        kind = (features.dtype, features.ndim, len(features))
        fits = kind == (np.float32, 2, num_images) and num_features in (None, features.shape[1])
        if fits and _is_finite(path):
            return np.asarray(features)
    except Exception:  # NumPy parses the header as a Python literal, which fails in many ways
        pass
    return None


@once_per_file(maxsize=256)
def _is_finite(path: Path) -> bool:
    """Whether no stored feature is NaN or infinite."""
    features = np.load(path, mmap_mode="r", allow_pickle=False)
    starts = range(0, len(features), ROWS_AT_A_TIME)
    return all(bool(np.isfinite(features[start : start + ROWS_AT_A_TIME]).all()) for start in starts)
