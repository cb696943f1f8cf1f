"""From a source's files to squares of pixels in a temporary file, many images at a time."""

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
from ganaug.data.sources.scan import Drawn, Item, Load, Scan
from ganaug.data.spool import Spool

HASHED = 256  # images at a time


@dataclass(frozen=True)
class Facts:
    """What stays in memory of a square once its pixels are on disk."""

    item: Item
    order: tuple[int, int]  # of the image in the scan, of the square in the image
    place: int  # in the spools
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
    scan: Scan, config: PrepareConfig, images: Spool, masks: Spool | None, progress: bool
) -> tuple[list[Facts], np.ndarray, list[tuple[str, str]]]:
    """Bring every image into the spools; returns facts and hashes u64 [N,8] of the squares, in the scan's order.

    Images that cannot be used come last, as path and reason.
    """
    facts: list[Facts] = []
    hashes = _Hashes()
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
                place = images.append(square.image)
                hashes.append(grey)
                if masks is not None:
                    masks.append(np.zeros(masks.shape, np.uint8) if square.mask is None else square.mask)
                facts.append(
                    Facts(
                        item=item,
                        order=(position, number),
                        place=place,
                        image_id=f"{item.image_id}@{square.place}" if square.place else item.image_id,
                        sha256=digest,
                        um_per_px=square.um_per_px,
                        enlarged=square.enlarged,
                        squashed=square.squashed,
                        resized_before=result.size if result.resized_before else None,
                    )
                )
    order = sorted(range(len(facts)), key=lambda index: facts[index].order)
    return [facts[index] for index in order], hashes.all()[order], sorted(left_out)


class _Hashes:
    """Perceptual hashes of grey versions, computed many at a time: one by one they would keep the threads waiting."""

    def __init__(self) -> None:
        self._waiting: list[np.ndarray] = []
        self._done = [np.empty((0, NUM_SYMMETRIES), np.uint64)]

    def append(self, grey: np.ndarray) -> None:
        self._waiting.append(grey)
        if len(self._waiting) == HASHED:
            self._flush()

    def all(self) -> np.ndarray:
        """u64 [n,8], in the order of `append`."""
        if self._waiting:
            self._flush()
        return np.concatenate(self._done)

    def _flush(self) -> None:
        self._done.append(hashes_of(np.stack(self._waiting)))
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
