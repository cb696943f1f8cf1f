"""Features of an image file, extracted once and stored in the workspace for every metric and every later call."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganaug.data.schema import ImageReader, read_table, require_array
from ganaug.errors import WorkspaceError
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.metrics.metric import Features
from ganaug.provenance import digest_of
from ganaug.workspace import Workspace, atomic_path


def features_of(
    workspace: Workspace, images: ImageReader, extractor: Extractor, *, orientation: int = 0, progress: bool = False
) -> Features:
    """Features [N,D] of every image of a file, in file order; orientation is that of the images, 0 to 7.

    They are looked up by the digests of the images and of the extractor's weights and preprocessing, so that any change
    of these gives new features. Where they cannot be stored, a warning says so.
    """
    (stored,) = map_features(workspace, images, extractor, (orientation,), progress=progress)
    return np.asarray(stored, np.float64)


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
    num_images, paths = len(images), feature_paths(workspace, images, extractor, orientations)
    maps = []
    for orientation, cached in zip(orientations, paths, strict=True):
        known = _read_cached(cached, num_images)
        if known is None:
            features = extractor.features(images, orientation=orientation, progress=progress)
            known = features.astype(np.float32)  # nothing is lost, see `Extractor`
            _store(cached, known)
        maps.append(known)
    return maps


def num_missing(workspace: Workspace, images: ImageReader, extractor: Extractor, orientations: Sequence[int]) -> int:
    """How many of these orientations are not stored."""
    paths = feature_paths(workspace, images, extractor, orientations)
    return sum(_read_cached(path, len(images)) is None for path in paths)


def feature_paths(
    workspace: Workspace, images: ImageReader, extractor: Extractor, orientations: Sequence[int]
) -> list[Path]:
    """Where the features of these orientations are stored, once they are."""
    content = images.digest or require_array(images.path, read_table(images.path), images.dataset)
    parts: list[object] = [content, extractor.name, extractor.digest, extractor.preprocessing]
    keys = [digest_of([*parts, orientation] if orientation else parts) for orientation in orientations]
    return [workspace.features(key) for key in keys]


def _store(path: Path, features: NDArray[np.float32]) -> None:
    try:
        with atomic_path(path) as part, part.open("wb") as file:
            np.save(file, features, allow_pickle=False)
    except WorkspaceError as error:  # a cache that cannot be written is no reason to fail
        warnings.warn(f"ganaug: {error}; the features are not stored and are computed again next time", stacklevel=4)


def _read_cached(path: Path, num_images: int) -> NDArray[np.float32] | None:
    """The features stored at `path`; None where there are none, where they are corrupt or not of so many images."""
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
        if (features.dtype, features.ndim) == (np.float32, 2) and len(features) == num_images:
            return np.asarray(features)
    except Exception:  # NumPy parses the header as a Python literal, which fails in many ways
        pass
    return None
