"""Squares of pixels from a source's files, written to the data set's file, many images at a time."""

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ganaug.config import PrepareConfig
from ganaug.data.hdf5.image_writer import ImageWriter
from ganaug.data.images.decode import (
    MAX_PIXELS,
    PLAIN,
    About,
    Undecodable,
    count_pixels,
    decode_mask,
    depth_of,
    open_picture,
)
from ganaug.data.images.perceptual_hash import NUM_SYMMETRIES, grey_version, hashes_of
from ganaug.data.images.squares import Square, squares, union
from ganaug.data.schema import IMAGES_AT_A_TIME
from ganaug.data.sources.scans.scan import Drawn, Item, Load, Scan
from ganaug.parallel.threads import Job, PixelBudget, run_in_threads

MAX_BYTES = 512 * 2**20  # of files that wait or are decoded at a time


@dataclass(frozen=True)
class Facts:
    """What stays in memory of a square once its pixels are on disk."""

    item: Item
    order: tuple[int, int]  # of the image in the scan, of the square in the image
    place: int  # in the file
    image_id: str
    sha256: str
    um_per_px: float
    enlarged: bool
    squashed: bool
    resized_before: tuple[int, int] | None  # size of a source image that is not the original's
    about: About = PLAIN  # how its file was decoded


@dataclass(frozen=True)
class _Seen:
    """The squares of one image, ready to be written."""

    squares: list[tuple[Square, str, NDArray[np.float32]]]  # with digest and grey version
    size: tuple[int, int]
    resized_before: bool
    about: About = PLAIN


@dataclass(frozen=True)
class _Deferred:
    """An image of 16 bits per value whose range only the whole set shows: it is read again when that is known."""

    about: About


_Result = _Seen | _Deferred | str  # a text is the reason why an image is skipped


def read_pixels(
    scan: Scan, config: PrepareConfig, writer: ImageWriter, progress: bool, grey_bits: int | None = None
) -> tuple[list[Facts], NDArray[np.uint64], list[tuple[str, str]]]:
    """Write every image as it comes in; returns facts and hashes u64 [N,8] of the squares, in the scan's order.

    Images that cannot be used come last, as path and reason. grey_bits: those of 16-bit grey, and then 16-bit colour
    has its full range, so that an image does not depend on the others; None: as many as the largest value of all needs.
    """
    reader = _Reader(scan, config, _BlockWriter(writer, scan.has_masks), progress, grey_bits)
    with warnings.catch_warnings(), threadpool_limits(1):  # the phantom's small matrix products lose to BLAS's threads
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a limit of our own leaves the image out
        warnings.filterwarnings("ignore", module=r"PIL\.")  # remarks on damaged files, without their names
        deferred = reader.read(range(len(scan.items)))
        reader.read(deferred, final=True)
    facts = reader.facts
    order = sorted(range(len(facts)), key=lambda index: facts[index].order)
    return [facts[index] for index in order], reader.blocks.finish()[order], sorted(reader.skipped)


class _Reader:
    """Reads images many at a time, and collects what is known of them.

    Cameras and scanners put values of 10, 12 or 14 bits into files of 16, and no single file says so: a dark image
    looks the same. So an image whose values leave the upper bits free is deferred until the largest value of all
    images is known, and the result does not depend on the order in which they are read.
    """

    def __init__(
        self, scan: Scan, config: PrepareConfig, blocks: "_BlockWriter", progress: bool, grey_bits: int | None
    ) -> None:
        self.blocks = blocks
        self._grey_bits = grey_bits
        self.facts: list[Facts] = []
        self.skipped: list[tuple[str, str]] = []
        self._scan, self._config, self._progress = scan, config, progress
        self._budget = PixelBudget(MAX_PIXELS)
        self._highest = {"grey": 0, "colour": 0}  # the largest 16-bit value so far

    def read(self, positions: Sequence[int], *, final: bool = False) -> list[int]:
        """Read these items; returns those that must be read again, none where this is the `final` time."""
        deferred: list[int] = []
        if not positions:
            return deferred
        scan = self._scan
        num_threads = 1 if scan.drawn else (os.cpu_count() or 1)  # threads only hinder drawing, which is Python's work
        items = [scan.items[position] for position in positions]
        jobs = (
            Job(positions[index], partial(self._work, items[index], load, final), getattr(load, "num_bytes", 0))
            for index, load in scan.read(items)
        )
        results = run_in_threads(jobs, num_threads, MAX_BYTES)
        for position, result in tqdm(results, "prepare", len(items), unit="img", disable=not self._progress or None):
            if isinstance(result, str):
                self.skipped.append((scan.items[position].path, result))
                continue
            if result.about.deep:
                self._highest[result.about.deep] = max(self._highest[result.about.deep], result.about.max_value)
            if isinstance(result, _Deferred):
                deferred.append(position)
            else:
                self._keep(position, result)
        return sorted(deferred)

    def _keep(self, position: int, seen: _Seen) -> None:
        item = self._scan.items[position]
        for number, (square, digest, grey) in enumerate(seen.squares):
            self.facts.append(
                Facts(
                    item=item,
                    order=(position, number),
                    place=self.blocks.add(square, grey),
                    image_id=f"{item.image_id}@{square.place}" if square.place else item.image_id,
                    sha256=digest,
                    um_per_px=square.um_per_px,
                    enlarged=square.enlarged,
                    squashed=square.squashed,
                    resized_before=seen.size if seen.resized_before else None,
                    about=seen.about,
                )
            )

    def _work(self, item: Item, load: Load, final: bool) -> _Result:
        """The squares of the image that `load` gives, or the reason why there are none; runs in a thread."""
        try:
            raw = load()
            if isinstance(raw, Drawn):
                return _see_drawn(item, raw)
            with self._budget.hold(sum(map(count_pixels, raw))):
                return self._see(item, raw, final)
        except Undecodable as error:
            return str(error)
        except MemoryError:
            return "there is not enough memory to read it; close other programs or cut it"
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"

    def _see(self, item: Item, raw: tuple[bytes, ...], final: bool) -> _Result:
        scan = self._scan
        picture = open_picture(raw[0])
        bits = 16
        if self._grey_bits is not None:
            bits = self._grey_bits if picture.about.deep == "grey" else 16
        elif picture.about.deep:
            bits = depth_of(max(picture.about.max_value, self._highest[picture.about.deep]))
            if bits < 16 and not final:
                return _Deferred(picture.about)
        image, about = picture.rgb(bits)
        mask = union([decode_mask(data) for data in raw[1:]], image.size, item.masks)
        resized_before = scan.native_width_px is not None and image.width != scan.native_width_px
        found = squares(image, mask, self._config, None if resized_before else item.um_per_px)
        digest = hashlib.sha256(raw[0]).hexdigest()
        hashed = [(square, _digest_of(digest, square.place), grey_version(square.image)) for square in found]
        return _Seen(hashed, image.size, resized_before, about)


def _see_drawn(item: Item, drawn: Drawn) -> _Seen:
    square = Square(drawn.image, drawn.mask, "", item.um_per_px or float("nan"), enlarged=False, squashed=False)
    digest = hashlib.sha256(drawn.image.tobytes()).hexdigest()
    return _Seen([(square, digest, grey_version(drawn.image))], drawn.image.shape[:2], resized_before=False)


def _digest_of(file: str, place: str) -> str:
    """That of the file where it gives one square, so that anyone can check it; else of file and place."""
    return hashlib.sha256(f"{file}@{place}".encode()).hexdigest() if place else file


class _BlockWriter:
    """Writes squares and hashes them, many at a time: one by one they would keep the threads waiting."""

    def __init__(self, writer: ImageWriter, has_masks: bool) -> None:
        self._writer, self._has_masks = writer, has_masks
        self._waiting: list[tuple[Square, NDArray[np.float32]]] = []
        self._hashes = [np.empty((0, NUM_SYMMETRIES), np.uint64)]

    def add(self, square: Square, grey: NDArray[np.float32]) -> int:
        """Take a square and its grey version; returns its place in the file."""
        self._waiting.append((square, grey))
        place = len(self._writer) + len(self._waiting) - 1
        if len(self._waiting) == IMAGES_AT_A_TIME:
            self._flush()
        return place

    def finish(self) -> NDArray[np.uint64]:
        """The hashes u64 [n,8] of all squares, by place."""
        self._flush()
        return np.concatenate(self._hashes)

    def _flush(self) -> None:
        if not self._waiting:
            return
        squares, greys = zip(*self._waiting)
        empty = np.zeros(squares[0].image.shape[:2], np.uint8)
        masks = [empty if square.mask is None else square.mask for square in squares] if self._has_masks else None
        self._writer.append(np.stack([square.image for square in squares]), None if masks is None else np.stack(masks))
        self._hashes.append(hashes_of(np.stack(greys)))
        self._waiting = []
