"""All pairs of near perceptual hashes, by comparing every image with every other."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

# Copies differ by 6 bits at most when rotated or flipped, recompressed, blurred or resized, by 10 when overexposed as
# well. Of different BreakHis fields one pair in 100,000 differs by so few: no more than the pixel check can look at.
MAX_BITS = 12

_ROWS, _COLUMNS = 32, 8192  # hashes compared at a time: their distances stay in the CPU's cache


def near_pairs(hashes: NDArray[np.uint64], max_bits: int = MAX_BITS, progress: bool = False) -> NDArray[np.int64]:
    """All pairs i < j, i64 [P,2], of which a symmetry s has hashes[i,s] and hashes[j,0] differ by `max_bits` or less.

    `hashes` is u64 [N,8], of `phash_symmetries`. Time grows with N², memory with N and P.
    """
    blocks = list(near_blocks(hashes, max_bits, progress))
    return np.concatenate([np.empty((0, 2), np.int64), *blocks])


def near_blocks(
    hashes: NDArray[np.uint64], max_bits: int = MAX_BITS, progress: bool = False
) -> Iterator[NDArray[np.int64]]:
    """The pairs of `near_pairs` in order of i, some i64 [p,2] at a time, on all cores; memory does not grow with P."""
    num_threads = min(8, os.cpu_count() or 1)
    starts = range(0, len(hashes), _ROWS)
    upright = np.ascontiguousarray(hashes[:, 0])
    bar = tqdm(total=len(hashes), desc="compare", unit="img", disable=not progress or None)
    underway: deque[Future[NDArray[np.int64]]] = deque()
    with bar, ThreadPoolExecutor(num_threads) as pool:
        for start in starts:
            underway.append(pool.submit(_near_rows, hashes, upright, start, max_bits))
            if len(underway) > 2 * num_threads:
                yield underway.popleft().result()
            bar.update(min(_ROWS, len(hashes) - start))
        while underway:
            yield underway.popleft().result()


def _near_rows(hashes: NDArray[np.uint64], upright: NDArray[np.uint64], start: int, max_bits: int) -> NDArray[np.int64]:
    """The pairs whose first image is one of the rows from `start`."""
    rows = hashes[start : start + _ROWS]
    found = []
    for left in range(start, len(upright), _COLUMNS):
        columns = upright[left : left + _COLUMNS]
        differing = np.empty((len(rows), len(columns)), np.uint64)
        bits = np.empty(differing.shape, np.uint8)
        fewest = np.full(differing.shape, 64, np.uint8)
        for symmetry in range(8):
            np.bitwise_xor(rows[:, symmetry, None], columns, out=differing)
            np.minimum(fewest, np.bitwise_count(differing, out=bits), out=fewest)
        if fewest.min() <= max_bits:
            pairs = np.argwhere(fewest <= max_bits) + np.array([start, left])
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate([np.empty((0, 2), np.int64), *found])
