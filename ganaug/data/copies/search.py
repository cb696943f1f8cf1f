"""Pictures among many that show the same in whole or in part: sketches, candidates, matches."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ganaug.data.copies.candidates import candidate_pairs
from ganaug.data.copies.match import Match, match_sketches
from ganaug.data.copies.sketches import Sketch, sketch

MOST_PICTURES = 20_000  # that are searched: some 40 KiB each stay in memory
_AT_A_TIME = 32  # pictures in memory


def sketch_all(images: Iterable[NDArray[np.uint8]], num_images: int, *, progress: bool = False) -> Iterator[Sketch]:
    """The sketches of images u8 [H,W,3] in their order, on all cores."""
    bar = tqdm(total=num_images, desc="sketch", unit="img", disable=not progress or None)
    source = iter(images)
    with bar, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while block := list(islice(source, _AT_A_TIME)):
            yield from pool.map(sketch, block)
            bar.update(len(block))


def find_matches(
    sketches: Sequence[Sketch],
    key: NDArray[np.int64],
    is_wanted: Callable[[int, int], bool] = lambda a, b: True,
    *,
    progress: bool = False,
) -> Iterator[tuple[int, int, Match]]:
    """Pairs i < j of different `key` i64 [N] that show the same, and how; those that are not wanted are passed over.

    `is_wanted` is asked just before two are matched, so that it can leave out what the pairs before have settled. Only
    variants that features vote for are tried: these find all 1,330 disguised copies of BreakHis fields (64 px) that all
    variants find.
    """
    pairs, has_votes = candidate_pairs(sketches, key, progress=progress)
    bar = tqdm(pairs.tolist(), "match", unit="pair", disable=not progress or None)
    with threadpool_limits(1):  # of BLAS: where others compute, too, splitting small products takes 25 times as long
        for (a, b), is_tried in zip(bar, has_votes.tolist()):
            if is_wanted(a, b) and (match := match_sketches(sketches[a], sketches[b], is_tried)):
                yield a, b, match
