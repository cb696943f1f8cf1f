"""Features of an image file, extracted once and kept in the workspace for every metric and every later call."""

import numpy as np

from ganaug.data.schema import ImageReader, read_table, require_content
from ganaug.evaluate.extractors import Extractor
from ganaug.provenance import digest_of
from ganaug.workspace import Workspace, atomic_path


def features_of(
    workspace: Workspace, images: ImageReader, extractor: Extractor, *, progress: bool = False
) -> np.ndarray:
    """Features f64 [N,D] of every image of a file, in file order.

    They are looked up by the digests of the images and of the extractor's weights and recipe, so no change of either
    can be answered with old features.
    """
    content = require_content(images.path, read_table(images.path), images.dataset)
    key = digest_of([content, extractor.name, extractor.digest, extractor.recipe])
    cached = workspace.features(key)
    try:
        return np.load(cached, allow_pickle=False).astype(np.float64)
    except (OSError, ValueError, EOFError):
        pass  # not there, or damaged: a cache is never worth an error
    features = extractor.features(images, progress=progress)
    with atomic_path(cached) as part, part.open("wb") as file:
        np.save(file, features.astype(np.float32), allow_pickle=False)  # nothing is lost, see `Extractor`
    return features
