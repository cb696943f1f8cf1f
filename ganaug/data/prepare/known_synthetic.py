"""Synthetic images of the workspace that came back among real ones, saved again so that their mark is lost."""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganaug.data.copies.hash_search import MAX_BITS
from ganaug.data.held_out import fewest_bits
from ganaug.data.images.perceptual_hash import NUM_SYMMETRIES, apply_symmetry
from ganaug.data.schema import ImageReader, read_table
from ganaug.errors import UserError
from ganaug.provenance import digest_of_bytes

# Root mean square difference in colour, in grey levels at 32 px, up to which an image counts as the synthetic one saved
# again. On BreakHis: JPEG at quality 75 makes up to 7.7 of 64 px and 3.9 of 128 px; no two fields are nearer than 11.
MAX_DIFFERENCE = 8.0
_SIDE_PX = 32
Pixels = Callable[[Sequence[int]], NDArray[np.uint8]]


def find_synthetic(files: Iterable[Path], hashes: NDArray[np.uint64], pixels: Pixels) -> dict[int, str]:
    """Which images show what a synthetic file holds: their place, and the name of that file.

    `hashes` is u64 [N,8], of `phash_symmetries`; `pixels` gives the images u8 [n,H,W,3] at rows places. A file that
    cannot be read is passed over: what it holds is then not recognised.
    """
    found: dict[int, str] = {}
    for path in files:
        try:
            known = read_table(path)
        except UserError:
            continue
        found |= dict.fromkeys(_equal(hashes, pixels, set(known.sha256.tolist())) - found.keys(), path.name)
        reader = ImageReader(path)
        for place, image in _near(hashes, known.phash):
            if place not in found and _is_same(pixels([place])[0], reader[np.array([image])][0]):
                found[place] = path.name
    return found


def _equal(hashes: NDArray[np.uint64], pixels: Pixels, known: Collection[str]) -> set[int]:
    """Places of images that show too little to be hashed, u64 [N,8] of zeros, and whose pixels are known by digest.

    An image of one colour, such as empty glass, is nobody's.
    """
    found = set()
    for place in np.flatnonzero(hashes[:, 0] == 0).tolist():
        image = pixels([place])[0]
        views = (np.ascontiguousarray(apply_symmetry(image, symmetry)) for symmetry in range(NUM_SYMMETRIES))
        if np.any(image != image[0, 0]) and any(digest_of_bytes([view.tobytes()]) in known for view in views):
            found.add(place)
    return found


def _near(hashes: NDArray[np.uint64], known: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Places in hashes u64 [N,8] and in known u64 [M] that rows orientation brings within MAX_BITS; no blank images."""
    shows = np.flatnonzero(known != 0)
    pairs = []
    for start in range(0, len(shows), 256):
        rows = shows[start : start + 256]
        near = np.argwhere((fewest_bits(known[rows], hashes) <= MAX_BITS) & (hashes[:, 0] != 0))
        pairs += [(int(place), int(rows[image])) for image, place in near.tolist()]
    return pairs


def _is_same(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two images u8 [H,W,3], of any sizes, are alike in colour under one of the eight orientations."""
    small, wanted = _small(image), _small(other)
    differences = (apply_symmetry(small, symmetry) - wanted for symmetry in range(NUM_SYMMETRIES))
    return min(float(np.sqrt(np.mean(difference**2))) for difference in differences) <= MAX_DIFFERENCE


def _small(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    reduced = Image.fromarray(image).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.HAMMING)
    return np.asarray(reduced, np.float32)
