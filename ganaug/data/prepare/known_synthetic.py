"""Synthetic images of the workspace that came back among real ones, saved again so that their mark is lost."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganaug.data.copies.hash_search import MAX_BITS
from ganaug.data.held_out import fewest_bits
from ganaug.data.images.perceptual_hash import NUM_SYMMETRIES, apply_symmetry
from ganaug.data.schema import ImageReader, read_table
from ganaug.errors import UserError

# Root mean square difference in colour, in grey levels at 32 px, up to which an image counts as the synthetic one saved
# again. On BreakHis: JPEG at quality 75 makes up to 7.7 of 64 px and 3.9 of 128 px; no two fields are nearer than 11.
MAX_DIFFERENCE = 8.0
_SIDE_PX = 32


def find_synthetic(
    files: Iterable[Path], hashes: NDArray[np.uint64], pixels: Callable[[Sequence[int]], NDArray[np.uint8]]
) -> dict[int, str]:
    """Which images show what a synthetic file holds: their place, and the name of that file.

    `hashes` is u64 [N,8], of `phash_symmetries`; `pixels` gives the images u8 [n,H,W,3] at rows places. A file that
    cannot be read is passed over: what it holds is then not recognised.
    """
    found: dict[int, str] = {}
    for path in files:
        try:
            known = read_table(path).phash
        except UserError:
            continue
        reader = ImageReader(path)
        for place, image in _near(hashes, known):
            if place not in found and _is_same(pixels([place])[0], reader[np.array([image])][0]):
                found[place] = path.name
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
