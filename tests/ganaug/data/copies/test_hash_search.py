import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganaug.data.copies.hash_search import near_pairs


def brute_force(hashes: NDArray[np.uint64], max_bits: int) -> list[tuple[int, int]]:
    rows = hashes.tolist()
    return [
        (i, j)
        for i in range(len(rows))
        for j in range(i + 1, len(rows))
        if min((first ^ rows[j][0]).bit_count() for first in rows[i]) <= max_bits
    ]


@given(st.integers(0, 2**32), st.integers(0, 90), st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_near_pairs_are_those_that_comparing_one_by_one_finds(seed: int, num_images: int, max_bits: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, (num_images, 8), dtype=np.uint64)
    for _ in range(num_images // 4):  # neighbours at known distances, under any symmetry
        first, second, symmetry = *rng.integers(0, num_images, 2), rng.integers(8)
        flips = sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 24), replace=False))
        hashes[second, 0] = hashes[first, symmetry] ^ np.uint64(flips)
    pairs = near_pairs(hashes, max_bits)
    assert pairs.dtype == np.int64
    assert pairs.shape == (len(pairs), 2)
    assert sorted(map(tuple, pairs.tolist())) == brute_force(hashes, max_bits)


def test_pairs_are_found_across_blocks_and_memory_stays_that_of_blocks() -> None:
    num_images = 20_000
    hashes = np.random.default_rng(0).integers(0, 2**64, (num_images, 8), dtype=np.uint64)
    planted = [(0, 19_999), (31, 32), (8191, 8192), (8000, 8193), (12_345, 16_384)]
    for first, second in planted:
        hashes[second, 0] = hashes[first, 5] ^ np.uint64(7)
    tracemalloc.start()
    pairs = near_pairs(hashes, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sorted(map(tuple, pairs.tolist())) == sorted(planted)
    assert peak < 64 * 2**20, "all distances at once would take 400 MB"
