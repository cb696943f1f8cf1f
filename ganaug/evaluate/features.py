"""Features of an image file, extracted once and stored in the workspace for every metric and every later call."""

import warnings
from pathlib import Path

import numpy as np

from ganaug.data.schema import ImageReader, read_table, require_array
from ganaug.errors import WorkspaceError
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.metrics.metric import Features
from ganaug.provenance import digest_of
from ganaug.workspace import Workspace, atomic_path


def features_of(workspace: Workspace, images: ImageReader, extractor: Extractor, *, progress: bool = False) -> Features:
    """Features [N,D] of every image of a file, in file order.

    They are looked up by the digests of the images and of the extractor's weights and preprocessing, so that any change
    of these gives new features. Where they cannot be stored, a warning says so.
    """
    content = images.digest or require_array(images.path, read_table(images.path), images.dataset)
    key = digest_of([content, extractor.name, extractor.digest, extractor.preprocessing])
    cached = workspace.features(key)
    known = _read_cached(cached, len(images))
    if known is not None:
        return known
    features = extractor.features(images, progress=progress)
    try:
        with atomic_path(cached) as part, part.open("wb") as file:
            np.save(file, features.astype(np.float32), allow_pickle=False)  # nothing is lost, see `Extractor`
    except WorkspaceError as error:  # a cache that cannot be written is no reason to fail
        warnings.warn(f"ganaug: {error}; the features are not stored and are computed again next time", stacklevel=2)
    return features


def _read_cached(path: Path, num_images: int) -> Features | None:
    """The features stored at `path`; None where there are none, where they are corrupt or not of so many images."""
    try:
        features = np.load(path, allow_pickle=False)
        if (features.dtype, features.ndim) == (np.float32, 2) and len(features) == num_images:
            return np.asarray(features, np.float64)
    except Exception:  # NumPy parses the header as a Python literal, which fails in many ways
        pass
    return None
