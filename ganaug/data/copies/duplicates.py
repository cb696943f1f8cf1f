"""Images that occur twice, and what follows for the classes and the patients that share them.

Exact copies are found by digest; near copies, flipped, recompressed or relit, by perceptual hash and then by pixels;
all others, such as rotated and cropped ones, and fields that overlap in part, by local features and then by pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.data.copies.hash_search import MAX_BITS, near_blocks
from ganaug.data.copies.search import MOST_PICTURES, find_matches, sketch_all
from ganaug.data.copies.sketches import Sketch
from ganaug.data.images.perceptual_hash import (
    MIN_SIMILARITY,
    NUM_SYMMETRIES,
    apply_symmetry,
    grey_version,
    similarity,
)
from ganaug.errors import private

JOINED = "patients joined"  # in what was done about a copy
MOST_PATIENTS_NAMED = 20  # patients that the notes name
_IMAGES_READ = 32  # at a time
_PAIRS_COMPARED = 512  # at a time
_WHOLE_ONLY = (
    "copies of whole images are searched, and none that is cropped, rotated, shifted, framed or inverted, nor fields "
    "that overlap"
)


@dataclass(frozen=True)
class Copy:
    """Two images that show the same, and what was done about it."""

    kind: str  # exact, near, or overlap: of these each shows something that the other does not
    a: str  # image id
    b: str
    done: str  # what was done, and why


@dataclass(frozen=True)
class Search:
    """How thoroughly copies are searched."""

    parts: bool | None = True  # also rotated, cropped and shifted copies, and overlaps; None: there can be none
    progress: bool = False


@dataclass(frozen=True)
class Copies:
    """The consequences of copies: the images to keep, the groups to count with, the notes for the user."""

    keep: NDArray[np.bool_]  # bool [N]
    group: NDArray[np.str_]  # text [N], groups that share an image bear one name
    notes: tuple[str, ...]
    found: tuple[Copy, ...]  # near copies of one patient and one class, which harm nothing, are not listed


def find_copies(
    sha256: NDArray[np.str_],
    hashes: NDArray[np.uint64],
    label: NDArray[np.int64],
    group: NDArray[np.str_],
    image_id: NDArray[np.str_],
    class_names: Sequence[str],
    pixels: Callable[[Sequence[int]], NDArray[np.uint8]],
    search: Search = Search(),
) -> Copies:
    """Keep one of each set of equal images, join the patients who share a picture, drop copies whose labels disagree.

    `hashes` is u64 [N,8] of `phash_symmetries`, all else has length N; `pixels` gives the images u8 [n,H,W,3] at some
    indices. Label -1 is none, and disagrees with no other. Images that show next to nothing are evidence of nothing:
    exact copies of them are copies, but join no patients. Fields that overlap in part join their patients, and are no
    copies. The order of the images does not matter.
    """
    order = np.lexsort((image_id, label < 0))  # of equal images the first is kept, and one with a label if there is any
    label, group, names = label[order], group[order], image_id[order].tolist()
    hashes, shows = hashes[order], hashes[order, 0] != 0
    first = _first_equal(sha256[order])
    equal = first != np.arange(len(first))
    sets = _Sets(first)
    greys = _Greys(lambda indices: pixels(order[indices].tolist()), len(order))
    distinct = np.flatnonzero(shows & ~equal)
    pairs = [("exact", int(first[b]), int(b), "") for b in np.flatnonzero(equal)]
    pairs += [("near", a, b, "") for a, b in _near_copies(distinct, hashes, greys, sets, search.progress)]
    distinct = distinct[sets.root[distinct] == distinct]  # of each set one is enough
    is_searched = bool(search.parts) and len(distinct) <= MOST_PICTURES
    if is_searched:
        _, key = np.unique(np.column_stack([group, label.astype(str)])[distinct], axis=0, return_inverse=True)
        blocks = (distinct[start : start + _IMAGES_READ] for start in range(0, len(distinct), _IMAGES_READ))
        images = (image for block in blocks for image in pixels(order[block].tolist()))
        sketches = list(sketch_all(images, len(distinct), progress=search.progress))
        pairs += _matching(distinct, sketches, key, sets, search.progress)

    classes = _classes(sets, label, class_names)
    disagree = np.array([len(classes[root]) > 1 for root in sets.root.tolist()], dtype=bool)
    patients, patient = np.unique(group, return_inverse=True)
    joined = _Sets(np.arange(len(patients)))
    found = []
    for kind, a, b, how in pairs:
        done = []
        if disagree[a] and kind != "overlap":
            done.append(f"skipped: classes differ ({', '.join(map(private, classes[int(sets.root[a])]))})")
        elif kind == "exact":
            done.append("skipped: same image of the same class")
        if patient[a] != patient[b] and shows[a] and not (disagree[a] or disagree[b]):
            joined.join(patient[a], patient[b])
            done.append(JOINED)
        if done:
            found.append(Copy(kind, names[a], names[b], "; ".join([*done, *([how] if how else [])])))

    renamed = patients[joined.root]
    notes = _notes(int(np.sum(equal & ~disagree)), int(disagree.sum()), int(np.sum(~shows)), patients, renamed)
    if search.parts is not None and not is_searched:
        notes += (_WHOLE_ONLY,)
    back = np.argsort(order)
    return Copies(~(equal | disagree)[back], renamed[patient][back], notes, tuple(found))


def _first_equal(sha256: NDArray[np.str_]) -> NDArray[np.int64]:
    """Of each image the index of the first that equals it, i64 [N]."""
    _, first, which = np.unique(sha256, return_index=True, return_inverse=True)
    return first[which]


class _Sets:
    """Numbers in disjoint sets, each known by its smallest member, `root`."""

    def __init__(self, root: NDArray[np.int64]) -> None:
        self.root = root.copy()

    def join(self, a: int, b: int) -> bool:
        """Make one set of those of a and b; False if they are one already."""
        low, high = sorted((self.root[a], self.root[b]))
        self.root[self.root == high] = low
        return bool(low != high)


class _Greys:
    """The grey versions of the images that are asked for, each read once: 2 KiB an image stay in memory."""

    def __init__(self, pixels: Callable[[NDArray[np.int64]], NDArray[np.uint8]], num_images: int) -> None:
        self._pixels = pixels
        self._greys = np.zeros((num_images, 32, 32), np.float16)  # takes memory only where it is written
        self._known = np.zeros(num_images, bool)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        unknown = np.unique(indices[~self._known[indices]])
        for start in range(0, len(unknown), _IMAGES_READ):
            block = unknown[start : start + _IMAGES_READ]
            self._greys[block] = [grey_version(image) for image in self._pixels(block)]
        self._known[unknown] = True
        return self._greys[indices].astype(np.float32)


def _near_copies(
    distinct: NDArray[np.int64], hashes: NDArray[np.uint64], greys: _Greys, sets: _Sets, progress: bool
) -> Iterator[tuple[int, int]]:
    """Pairs of the `distinct` images that are copies by their pixels, as many as connect each set; joins the sets.

    What is in one set already is not compared again, so that thousands of copies of one picture cost little.
    """
    for block in near_blocks(hashes[distinct], progress=progress):
        for start in range(0, len(block), _PAIRS_COMPARED):
            pairs = distinct[block[start : start + _PAIRS_COMPARED]]
            pairs = pairs[sets.root[pairs[:, 0]] != sets.root[pairs[:, 1]]]
            for a, b in pairs[are_alike(pairs, hashes, greys)].tolist():
                if sets.join(a, b):
                    yield a, b


def _matching(
    distinct: NDArray[np.int64], sketches: Sequence[Sketch], key: NDArray[np.int64], sets: _Sets, progress: bool
) -> Iterator[tuple[str, int, int, str]]:
    """The other pairs of the `distinct` images that show the same, by kind and with how they differ; joins the sets.

    Of one patient and one class, which share the `key`, nothing is searched, and no two of one set are matched.
    """

    def is_apart(a: int, b: int) -> bool:
        return bool(sets.root[distinct[a]] != sets.root[distinct[b]])

    for a, b, match in find_matches(sketches, key, is_apart, progress=progress):
        pair = (int(distinct[a]), int(distinct[b]))
        if match.is_copy:
            sets.join(*pair)
        yield ("near" if match.is_copy else "overlap"), *pair, match.transform


def are_alike(
    pairs: NDArray[np.int64], hashes: NDArray[np.uint64], greys: "_Greys | NDArray[np.float32]"
) -> NDArray[np.bool_]:
    """Which pairs i64 [p,2] are copies by their grey versions, bool [p], under a symmetry that their hashes allow."""
    first, second = pairs.T
    left, right = greys[first], greys[second]
    alike = np.zeros(len(pairs), bool)
    for symmetry in range(NUM_SYMMETRIES):
        near = np.flatnonzero(np.bitwise_count(hashes[first, symmetry] ^ hashes[second, 0]) <= MAX_BITS)
        alike[near] |= similarity(apply_symmetry(left[near], symmetry, axes=(1, 2)), right[near]) >= MIN_SIMILARITY
    return alike


def _classes(sets: _Sets, label: NDArray[np.int64], class_names: Sequence[str]) -> dict[int, list[str]]:
    """The classes of each set, by its root."""
    labels: dict[int, set[int]] = {}
    for root, number in zip(sets.root.tolist(), label.tolist()):
        labels.setdefault(root, set()).update([number] if number >= 0 else [])
    return {root: [class_names[number] for number in sorted(members)] for root, members in labels.items()}


def _notes(
    num_extra: int, num_disagreeing: int, num_blank: int, patients: NDArray[np.str_], renamed: NDArray[np.str_]
) -> tuple[str, ...]:
    notes = []
    if num_extra:
        notes.append(f"{num_extra} images are exact copies of others of the same class and were skipped")
    if num_disagreeing:
        notes.append(
            f"{num_disagreeing} images are copies of one another under different classes; all were skipped: "
            "`ganaug inspect` lists them"
        )
    if num_blank:
        notes.append(f"{num_blank} images show next to nothing and were not searched for near copies")
    shared = [(old, new) for old, new in zip(patients.tolist(), renamed.tolist()) if old != new]
    notes += [
        f"patient {private(old)} shares an image with {private(new)}; both count as {private(new)}"
        for old, new in shared[:MOST_PATIENTS_NAMED]
    ]
    if len(shared) > MOST_PATIENTS_NAMED:
        notes.append(f"and {len(shared) - MOST_PATIENTS_NAMED} more patients share an image with another")
    return tuple(notes)
