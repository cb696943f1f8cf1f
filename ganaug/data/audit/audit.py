"""The findings of an audit: what stands in two parts of a split, as pairs of images."""

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ganaug.data.audit.inputs import PARTS, SYNTHETIC, Entry, Input, StoredPixels
from ganaug.data.copies.duplicates import are_alike
from ganaug.data.copies.hash_search import near_blocks
from ganaug.data.copies.search import MOST_PICTURES, find_matches
from ganaug.data.copies.sketches import Sketch, sketch
from ganaug.data.images.decode import Undecodable, count_pixels, decode
from ganaug.data.images.perceptual_hash import grey_version, hashes_of
from ganaug.data.sources.scans.names import equal_but_for_spelling, near_patients, plain
from ganaug.data.sources.scans.reconcile import MOST_SETS_NAMED
from ganaug.errors import for_sharing, private, some_of
from ganaug.parallel.threads import Job, run_in_threads

NAMED = ("patient", "site")
KINDS = (*NAMED, "file", "copy", "overlap")
_MAX_BYTES = 2**28  # of files in memory
_AT_A_TIME = 64
_COMPARED = 512  # pairs of pictures at a time


@dataclass(frozen=True)
class Pair:
    """An image of one part and an image of another that give a finding away."""

    kind: str  # one of KINDS
    a: Entry
    b: Entry
    how: str  # in words, without names of patients

    def to_dict(self) -> dict[str, Any]:
        """Rows and files of both, as JSON values; patients and sites are not named."""
        sides = ((place, getattr(self, place)) for place in ("a", "b"))
        cells = {f"{name}_{place}": getattr(entry, name) for place, entry in sides for name in COLUMNS}
        return {"finding": self.kind, **cells, "how": self.how}


COLUMNS = ("part", "source", "row", "name")  # of an entry, which tables name


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    pairs: tuple[Pair, ...]  # sorted by kind, then as the images were given
    num_images: dict[str, int]  # read, by part
    skipped: tuple[tuple[str, str], ...]  # path and reason
    notes: tuple[str, ...]
    unknown: tuple[str, ...] = ()  # kinds of which nothing is known: no two parts name a patient, or a site

    def counts(self) -> dict[str, int | None]:
        """How many findings there are of each kind; None where it is unknown."""
        return {kind: None if kind in self.unknown else sum(pair.kind == kind for pair in self.pairs) for kind in KINDS}


@dataclass(frozen=True)
class _Seen:
    entry: Entry
    grey: NDArray[np.float32]
    sketch: Sketch


def audit(inputs: Sequence[Input], *, ignored: Sequence[str] = (), progress: bool = False) -> Audit:
    """Compare every part with every other: patients and sites by name, files by digest, pictures by what they show.

    `ignored` kinds are not searched. Files that cannot be read are skipped; of two parts' pictures each pair is found
    once, as a file before it is found as a copy.
    """
    seen, skipped = [], [pair for given in inputs for pair in given.skipped]
    total = sum(len(given.entries) for given in inputs)
    with tqdm(total=total, desc="read", unit="img", disable=not progress or None) as bar:
        for given in inputs:
            for result in _read(given):
                bar.update()
                if isinstance(result, _Seen):
                    seen.append(result)
                else:
                    skipped.append(result)
    entries = [image.entry for image in seen]
    listed = [entry for given in inputs for entry in given.listed]
    notes = [*(note for given in inputs for note in given.notes), *_under_two_patients(entries)]
    pairs: list[Pair] = []
    unknown = []
    for kind in NAMED:
        if len({entry.part for entry in listed if getattr(entry, kind)}) < 2:
            unknown.append(kind)
        if kind not in ignored:
            pairs += _shared(kind, listed)
            notes += _near(kind, listed)
    files = list(_equal(entries))
    pairs += files if "file" not in ignored else []
    if not {"copy", "overlap"} <= set(ignored):
        position = {entry: index for index, entry in enumerate(entries)}
        known = {(position[pair.a], position[pair.b]) for pair in files}
        pairs += [pair for pair in _copies(seen, known, notes, progress) if pair.kind not in ignored]
    numbers = {part: sum(entry.part == part for entry in entries) for part in PARTS}
    pairs.sort(key=lambda pair: KINDS.index(pair.kind))
    return Audit(tuple(pairs), numbers, tuple(skipped), tuple(notes), tuple(unknown))


# ---- reading ---------------------------------------------------------------------------------------------------------


def _read(given: Input) -> Iterator[_Seen | tuple[str, str]]:
    """Each image as the search sees it, or the name and reason of one that cannot be read."""
    if isinstance(given.pixels, StoredPixels):
        for start in range(0, len(given.entries), _AT_A_TIME):
            block = given.entries[start : start + _AT_A_TIME]
            for entry, image in zip(block, given.pixels.read(start, start + len(block)), strict=True):
                yield _see(entry, image)
        return
    jobs = (Job(position, partial(_open, given.entries[position], load), 0) for position, load in given.pixels.read())
    for _, result in run_in_threads(jobs, min(8, os.cpu_count() or 1), _MAX_BYTES):
        yield result


def _open(entry: Entry, load: Callable[[], tuple[bytes, ...]]) -> _Seen | tuple[str, str]:
    try:
        (data,) = load()
        image = np.asarray(_decode_synthetic(data) if entry.part == SYNTHETIC else decode(data))
    except Undecodable as error:
        return entry.name, str(error)
    except MemoryError:
        return entry.name, "there is not enough memory to read it"
    except OSError as error:
        return entry.name, f"cannot be read ({error.strerror or error})"
    return _see(replace(entry, sha256=hashlib.sha256(data).hexdigest()), image)


def _decode_synthetic(data: bytes) -> Image.Image:
    """An image that bears the mark of a generator, which `decode` refuses."""
    count_pixels(data)
    try:
        return decode(data)
    except Undecodable:
        try:
            return Image.open(io.BytesIO(data)).convert("RGB")
        except (ValueError, SyntaxError) as error:
            raise Undecodable(f"cannot be decoded ({error})") from error


def _see(entry: Entry, image: NDArray[np.uint8]) -> _Seen:
    return _Seen(entry, grey_version(image), sketch(image))


# ---- comparing -------------------------------------------------------------------------------------------------------


def _shared(kind: str, entries: Iterable[Entry]) -> Iterator[Pair]:
    """The patients, or sites, of two parts: the first image of each, and how many there are."""
    members: dict[str, dict[str, list[Entry]]] = {}
    for entry in entries:
        if name := getattr(entry, kind):
            members.setdefault(name, {}).setdefault(entry.part, []).append(entry)
    for by_part in members.values():
        for a, b in combinations(sorted(by_part, key=PARTS.index), 2):
            how = f"{len(by_part[a])} images in {a}, {len(by_part[b])} in {b}"
            yield Pair(kind, by_part[a][0], by_part[b][0], how)


def _near(kind: str, entries: Iterable[Entry]) -> Iterator[str]:
    """A note on names that two parts spell differently, by the rules of `ganaug prepare`."""
    parts: dict[str, set[str]] = {}
    for entry in entries:
        if name := getattr(entry, kind):
            parts.setdefault(name, set()).add(entry.part)
    alike = near_patients(parts) if kind == "patient" else equal_but_for_spelling(parts)
    across = [names for names in alike if any(parts[a] != parts[b] for a, b in combinations(names, 2))]
    if across:
        listed = some_of([" = ".join(map(private, names)) for names in across], MOST_SETS_NAMED)
        yield f"near-equal {kind}s of two parts are kept apart, which leaks where they are a {kind}: {listed}"


def _under_two_patients(entries: Iterable[Entry]) -> Iterator[str]:
    """A note on files that one part gives to several patients."""
    members: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.patient:
            members.setdefault((entry.part, entry.sha256), []).append(entry)
    twice = [equal[0] for equal in members.values() if len({entry.patient for entry in equal}) > 1]
    for part in PARTS:
        if found := [private(plain(entry.name)) for entry in twice if entry.part == part]:
            yield f"files of {part} that stand under several patients: {len(found)}, such as {found[0]}"


def _equal(entries: Sequence[Entry]) -> Iterator[Pair]:
    """Each file of a part with the first file of another that equals it."""
    members: dict[str, list[Entry]] = {}
    for entry in entries:
        members.setdefault(entry.sha256, []).append(entry)
    for equal in members.values():
        first: dict[str, Entry] = {}
        for entry in equal:
            for part, other in first.items():
                if part != entry.part:
                    yield Pair("file", other, entry, "the same bytes")
            first.setdefault(entry.part, entry)


def _copies(seen: Sequence[_Seen], known: set[tuple[int, int]], notes: list[str], progress: bool) -> Iterator[Pair]:
    """Pictures that two parts show, but for the pairs that are `known` already."""
    if not seen:
        return
    part = np.array([PARTS.index(image.entry.part) for image in seen])
    greys = np.stack([image.grey for image in seen])
    hashes = hashes_of(greys)
    for block in near_blocks(hashes, progress=progress):
        apart = block[(part[block[:, 0]] != part[block[:, 1]]) & (hashes[block] != 0).all(axis=(1, 2))]
        for start in range(0, len(apart), _COMPARED):
            pairs = apart[start : start + _COMPARED]
            for a, b in pairs[are_alike(pairs, hashes, greys)].tolist():
                if (a, b) not in known:
                    known.add((a, b))
                    yield Pair("copy", seen[a].entry, seen[b].entry, "the whole picture")
    if len(seen) > MOST_PICTURES:
        notes.append(f"more than {MOST_PICTURES} images are searched for copies of whole pictures only")
        return
    sketches = [image.sketch for image in seen]
    for a, b, match in find_matches(sketches, part, lambda a, b: (a, b) not in known, progress=progress):
        kind = "copy" if match.is_copy else "overlap"
        yield Pair(kind, seen[a].entry, seen[b].entry, match.transform)


def to_json(found: Audit) -> dict[str, Any]:
    """The audit as JSON values, without the names of patients and sites."""
    return {
        "images": found.num_images,
        "findings": found.counts(),
        "pairs": [pair.to_dict() for pair in found.pairs],
        "skipped": [list(pair) for pair in found.skipped],
        "notes": [for_sharing(note) for note in found.notes],
    }
