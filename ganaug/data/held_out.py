"""Pictures that a fold holds back, recognised by what they show: among what was seen, and among other images."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganaug.data.copies.hash_search import MAX_BITS
from ganaug.data.copies.search import MOST_PICTURES, find_matches, sketch_all
from ganaug.data.copies.sketches import Sketch
from ganaug.data.dataset import DataSet
from ganaug.data.images.perceptual_hash import (
    MIN_SIMILARITY,
    NUM_SYMMETRIES,
    apply_symmetry,
    grey_version,
    hashes_of,
    similarity,
)
from ganaug.data.schema import ImageReader
from ganaug.errors import LeakError, private
from ganaug.provenance import Seen

# Hashes this close show one picture. Of 351,541 pairs of different BreakHis fields none came closer than 6 bits in any
# orientation, at 64 and at 128 px; copies of one file that were resized apart differ by 4 at most, and mostly by none.
MAX_BITS_OF_ONE_PICTURE = 4
_ROWS = 256  # hashes compared at a time
_BYTES = 2**26  # of the images compared at a time: those of one go share the search among the held-out ones


def held_out(dataset: DataSet, fold: int) -> NDArray[np.int64]:
    """The images of the validation and test part of a fold, i64 [n]."""
    return np.sort(np.concatenate([dataset.val(fold), dataset.test(fold)]))


def find_seen(dataset: DataSet, fold: int, seen: Seen) -> NDArray[np.int64]:
    """The held-out images of a fold that are among the images `seen`, i64 [n].

    An image counts as seen where its digest is listed, or a listed hash is its own in any of the eight orientations and
    is not accounted for by a training image of the fold that is as close.
    """
    members = held_out(dataset, fold)
    listed = np.isin(np.array(dataset.table.image_digests(members)), np.array(seen.images))
    known = np.array([int(text, 16) for text in seen.hashes], dtype=np.uint64)
    known = np.setdiff1d(known, dataset.table.phash[dataset.train(fold)])
    if len(known):
        hashes = _hashes(dataset.reader, members)  # as they were prepared, and so as `seen` has them
        near = _fewest_to_any(hashes, known) <= MAX_BITS_OF_ONE_PICTURE
        listed |= near & (hashes[:, 0] != 0)
    return members[listed]


def find_shown(dataset: DataSet, fold: int, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pairs i64 [P,2] of an image of u8 [N,H,W,3] and a held-out image of the fold that show the same picture.

    Found by hash under the eight orientations and by local features, and then by pixels, as `ganaug prepare` finds
    copies: also where one is rotated, cropped or shifted, or the two overlap in part.
    """
    return find_pictures(dataset.images(fold), held_out(dataset, fold), images)


def require_none_shown(
    dataset: DataSet, fold: int, reader: ImageReader, file: Path | str, *, expected: str, todo: str
) -> None:
    """Raise LeakError where an image of a file shows a picture of the validation or test part, whatever it says itself.

    The hashes are computed from the pixels, as the file's own could be anybody's.
    """
    at_a_time = max(_ROWS, _BYTES // max(1, reader[np.arange(min(1, len(reader)))].nbytes))
    for start in range(0, len(reader), at_a_time):
        images = reader[np.arange(start, min(start + at_a_time, len(reader)))]
        for place, member in find_shown(dataset, fold, images).tolist():
            raise LeakError(
                f"image {start + place} of {file} shows the picture {private(dataset.table.image_id[member])}, "
                f"of the validation or test part of fold {fold}",
                expected=expected,
                todo=todo,
            )


def find_pictures(reader: ImageReader, members: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The same for the images `members` i64 [M] of a file: pairs i64 [P,2] of an image and a member."""
    greys = np.stack([grey_version(image) for image in images])
    pairs = _near_pairs(hashes_of(greys), _hashes(reader, members))
    real = {b: grey_version(reader[members[[b]]][0]) for b in np.unique(pairs[:, 1]).tolist()}
    alike = [_alike(greys[a], real[b]) >= MIN_SIMILARITY for a, b in pairs.tolist()]
    kept = np.concatenate([pairs[np.array(alike, dtype=bool)], _matching(reader, members, images)])
    kept = np.unique(kept, axis=0)
    return np.column_stack([kept[:, 0], members[kept[:, 1]]])


def _matching(reader: ImageReader, members: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pairs i64 [P,2] of an image and a member, by its place, that show the same in whole or in part."""
    own = _sketches(reader, members)
    sketches = [*sketch_all(images, len(images)), *own]
    is_own = (np.arange(len(sketches)) >= len(images)).astype(np.int64)
    found = [(a, b - len(images)) for a, b, _ in find_matches(sketches, is_own)]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def is_listed(hashes: NDArray[np.uint64], seen: Seen) -> NDArray[np.bool_]:
    """Whether images of these hashes u64 [N,8] show a picture whose hash `seen` lists, [N]; no blank one does."""
    known = np.array([int(text, 16) for text in seen.hashes], dtype=np.uint64)
    near: NDArray[np.bool_] = _fewest_to_any(hashes, known) <= MAX_BITS_OF_ONE_PICTURE
    shows: NDArray[np.bool_] = hashes[:, 0] != 0
    return near & shows


def _near_pairs(hashes: NDArray[np.uint64], own: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Pairs of hashes u64 [N,8] and own u64 [M,8] that some orientation brings within MAX_BITS, no blank ones."""
    shows = np.flatnonzero(hashes[:, 0] != 0)
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(shows), _ROWS):
        rows = shows[start : start + _ROWS]
        bits = fewest_bits(hashes[rows, 0], own)
        near = np.argwhere((bits <= MAX_BITS) & (own[:, 0] != 0))
        found.append(np.column_stack([rows[near[:, 0]], near[:, 1]]))
    return np.concatenate(found)


def fewest_bits(hashes: NDArray[np.uint64], own: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The fewest differing bits u8 [n,M] of hashes u64 [n] and any orientation of own u64 [M,8]."""
    fewest = np.full((len(hashes), len(own)), 64, np.uint8)
    for symmetry in range(NUM_SYMMETRIES):
        np.minimum(fewest, np.bitwise_count(hashes[:, None] ^ own[None, :, symmetry]), out=fewest)
    return fewest


def _fewest_to_any(own: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """For each of own u64 [M,8] the fewest bits to any of known u64 [n], u8 [M]."""
    fewest = np.full(len(own), 64, np.uint8)
    for start in range(0, len(known), _ROWS):
        np.minimum(fewest, fewest_bits(known[start : start + _ROWS], own).min(axis=0), out=fewest)
    return fewest


def _alike(grey: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How alike two grey versions f32 [32,32] are, in the best orientation."""
    views = np.stack([apply_symmetry(grey, symmetry) for symmetry in range(NUM_SYMMETRIES)])
    return float(similarity(views, np.broadcast_to(other, views.shape)).max())


def _hashes(reader: ImageReader, members: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hashes u64 [M,8] of images of a file, computed once a process."""
    return _hashes_at(reader.path, reader.dataset, reader.path.stat().st_mtime_ns, tuple(members.tolist()))


def _sketches(reader: ImageReader, members: NDArray[np.int64]) -> tuple[Sketch, ...]:
    """The sketches of images of a file, made once a process; none where they are too many to keep in memory."""
    if len(members) > MOST_PICTURES:
        return ()
    return _sketches_at(reader.path, reader.dataset, reader.path.stat().st_mtime_ns, tuple(members.tolist()))


@lru_cache(maxsize=2)
def _sketches_at(path: Path, name: str, changed_ns: int, members: tuple[int, ...]) -> tuple[Sketch, ...]:
    reader = ImageReader(path, name)
    images = (reader[np.array([member])][0] for member in members)
    return tuple(sketch_all(images, len(members)))


@lru_cache(maxsize=16)
def _hashes_at(path: Path, name: str, changed_ns: int, members: tuple[int, ...]) -> NDArray[np.uint64]:
    reader, parts = ImageReader(path, name), [np.empty((0, NUM_SYMMETRIES), np.uint64)]
    for start in range(0, len(members), _ROWS):
        images = reader[np.array(members[start : start + _ROWS])]
        parts.append(hashes_of(np.stack([grey_version(image) for image in images])))
    return np.concatenate(parts)
