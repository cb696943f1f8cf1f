"""From a source's files to squares of pixels in the data set's file, many images at a time."""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ganaug.config import PrepareConfig
from ganaug.data.decode import Undecodable, decode
from ganaug.data.fit import Square, squares, union
from ganaug.data.phash import NUM_SYMMETRIES, grey_version, hashes_of
from ganaug.data.schema import ImageWriter
from ganaug.data.sources.scan import Drawn, Item, Load, Scan

BLOCK = 64  # images written at a time


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


@dataclass(frozen=True)
class _Seen:
    """The squares of one image, ready to be written."""

    squares: list[tuple[Square, str, np.ndarray]]  # with digest and grey version
    size: tuple[int, int]
    resized_before: bool


def read_pixels(
    scan: Scan, config: PrepareConfig, writer: ImageWriter, progress: bool
) -> tuple[list[Facts], np.ndarray, list[tuple[str, str]]]:
    """Write every image as it comes in; returns facts and hashes u64 [N,8] of the squares, in the scan's order.

    Images that cannot be used come last, as path and reason.
    """
    facts: list[Facts] = []
    sink = _Sink(writer, scan.has_masks)
    left_out: list[tuple[str, str]] = []
    num_threads = 1 if scan.drawn else (os.cpu_count() or 1)  # threads only hinder drawing, which is Python's work
    with warnings.catch_warnings(), threadpool_limits(1):  # the phantom's small matrix products lose to BLAS's threads
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a limit of our own leaves the image out
        jobs = ((position, _job(scan, scan.items[position], load, config)) for position, load in scan.read(scan.items))
        results = _in_threads(jobs, num_threads)
        for position, result in tqdm(results, "prepare", len(scan.items), unit="img", disable=not progress or None):
            item = scan.items[position]
            if isinstance(result, str):
                left_out.append((item.path, result))
                continue
            for number, (square, digest, grey) in enumerate(result.squares):
                facts.append(
                    Facts(
                        item=item,
                        order=(position, number),
                        place=sink.add(square, grey),
                        image_id=f"{item.image_id}@{square.place}" if square.place else item.image_id,
                        sha256=digest,
                        um_per_px=square.um_per_px,
                        enlarged=square.enlarged,
                        squashed=square.squashed,
                        resized_before=result.size if result.resized_before else None,
                    )
                )
    order = sorted(range(len(facts)), key=lambda index: facts[index].order)
    return [facts[index] for index in order], sink.finish()[order], sorted(left_out)


class _Sink:
    """Writes squares and hashes them, many at a time: one by one they would keep the threads waiting."""

    def __init__(self, writer: ImageWriter, has_masks: bool) -> None:
        self._writer, self._has_masks = writer, has_masks
        self._waiting: list[tuple[Square, np.ndarray]] = []
        self._hashes = [np.empty((0, NUM_SYMMETRIES), np.uint64)]

    def add(self, square: Square, grey: np.ndarray) -> int:
        """Take a square and its grey version; returns its place in the file."""
        self._waiting.append((square, grey))
        place = len(self._writer) + len(self._waiting) - 1
        if len(self._waiting) == BLOCK:
            self._flush()
        return place

    def finish(self) -> np.ndarray:
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


def _job(scan: Scan, item: Item, load: Load, config: PrepareConfig) -> Callable[[], _Seen | str]:
    def work() -> _Seen | str:
        """The squares of the image that `load` gives, or the reason why there are none."""
        try:
            return _see(scan, item, load(), config)
        except Undecodable as error:
            return str(error)
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"

    return work


def _see(scan: Scan, item: Item, raw: tuple[bytes, ...] | Drawn, config: PrepareConfig) -> _Seen:
    if isinstance(raw, Drawn):
        square = Square(raw.image, raw.mask, "", item.um_per_px or float("nan"), enlarged=False, squashed=False)
        digest = hashlib.sha256(raw.image.tobytes()).hexdigest()
        return _Seen([(square, digest, grey_version(raw.image))], raw.image.shape[:2], resized_before=False)
    image = decode(raw[0])
    mask = union([decode(data) for data in raw[1:]], image.size)
    resized_before = scan.native_width_px is not None and image.width != scan.native_width_px
    found = squares(image, mask, config, None if resized_before else item.um_per_px)
    digest = hashlib.sha256(raw[0]).hexdigest()
    hashed = [(square, _digest_of(digest, square.place), grey_version(square.image)) for square in found]
    return _Seen(hashed, image.size, resized_before)


def _digest_of(file: str, place: str) -> str:
    """That of the file where it gives one square, so that anyone can check it; else of file and place."""
    return hashlib.sha256(f"{file}@{place}".encode()).hexdigest() if place else file


def _in_threads(
    jobs: Iterable[tuple[int, Callable[[], _Seen | str]]], num_threads: int
) -> Iterator[tuple[int, _Seen | str]]:
    """Results in the order given, with only a few images underway at a time, so that memory stays bounded."""
    underway: deque[tuple[int, Future[_Seen | str]]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        for position, work in jobs:
            underway.append((position, pool.submit(work)))
            if len(underway) > 3 * num_threads:
                position, future = underway.popleft()
                yield position, future.result()
        for position, future in underway:
            yield position, future.result()
