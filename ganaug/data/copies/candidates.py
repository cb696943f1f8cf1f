"""Pairs among many sketches that are worth matching, found by features that fall into the same buckets.

Matching every picture with every other would take a millisecond each time; so features vote. Each is hashed in several
tables by the sides of planes on which its descriptor lies; two that meet in a bucket and are alike vote for their
pictures. Hashes are made of whole numbers, so that they are the same wherever they are computed.
Source: Charikar 2002, "Similarity Estimation Techniques from Rounding Algorithms", hashing by random planes.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ganaug.data.copies.sketches import LENGTH, VARIANTS, Sketch

MIN_VOTES = 2  # pairs of features that vote for a pair of pictures
_TABLES = 4
_MORE_BITS = 4  # of a bucket's number than count the features
_FEWEST_BITS, _MOST_BITS = 12, 26  # of a bucket's number
_MAX_DISTANCE = 200  # of descriptors that vote; their length is 512
_MOST_NEIGHBOURS = 32  # of a feature in a bucket: a label that all images bear is no reason to compare all of them
_ROWS = 2**14  # descriptors hashed at a time
_PAIRS = 2**18  # pairs of features compared at a time


def candidate_pairs(
    sketches: Sequence[Sketch], key: NDArray[np.int64], *, progress: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Pairs i < j of pictures, i64 [P,2], that features vote for, and for which variants they do, [P,variants].

    Pictures of the same `key` i64 [N] are no pair. Time and memory grow with the number of features, and with P.
    """
    owner = np.repeat(np.arange(len(sketches)), [len(sketch.points) for sketch in sketches])
    descriptors = np.concatenate([np.empty((0, LENGTH), np.uint8), *(sketch.descriptors for sketch in sketches)])
    num_bits = int(np.clip(round(np.log2(len(owner) + 1)) + _MORE_BITS, _FEWEST_BITS, _MOST_BITS))
    planes = np.random.default_rng(0).integers(-1, 2, (_TABLES, num_bits, LENGTH)).astype(np.float32)
    votes = [np.empty(0, np.int64)]
    for table in tqdm(planes, "vote", unit="table", disable=not progress or None):
        buckets = _buckets(descriptors, table)
        for variant, order in enumerate(VARIANTS.values()):
            for left, right in _meetings(buckets[variant], buckets[0]):
                apart = key[owner[left]] != key[owner[right]]
                left, right = left[apart], right[apart]
                near = _are_near(descriptors[left][:, order], descriptors[right])
                votes.append((left[near] * len(owner) + right[near]) * len(VARIANTS) + variant)
    features, variants = np.divmod(np.unique(np.concatenate(votes)), len(VARIANTS))
    left, right = np.divmod(features, max(len(owner), 1))
    pair, place, num_votes = np.unique(
        owner[left] * len(sketches) + owner[right], return_inverse=True, return_counts=True
    )
    has_votes = np.zeros((len(pair), len(VARIANTS)), dtype=bool)
    has_votes[place, variants] = True
    kept = num_votes >= MIN_VOTES
    return np.column_stack(np.divmod(pair[kept], max(len(sketches), 1))), has_votes[kept]


def _buckets(descriptors: NDArray[np.uint8], planes: NDArray[np.float32]) -> NDArray[np.int64]:
    """The buckets i64 [variants,n] of descriptors u8 [n,128], by their sides of planes f32 [bits,128].

    Each plane is moved to where half of the descriptors lie above it. All sums are of whole numbers, and exact.
    """
    views = np.concatenate([planes[:, np.argsort(order)] for order in VARIANTS.values()])
    heights = np.empty((len(descriptors), len(views)), np.int16)
    for start in range(0, len(descriptors), _ROWS):
        heights[start : start + _ROWS] = descriptors[start : start + _ROWS].astype(np.float32) @ views.T
    upright, by_variant = heights[:, : len(planes)], heights.reshape(len(heights), len(VARIANTS), len(planes))
    above = by_variant > (np.median(upright, axis=0) if len(heights) else 0)
    return np.ascontiguousarray((above @ (1 << np.arange(len(planes)))).T)


def _meetings(seen: NDArray[np.int64], own: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Features i < j, i64 [p] and i64 [p] at a time, where `seen` of i is the bucket that j has by `own`."""
    number = len(own)
    places = np.sort(own * number + np.arange(number))  # by bucket, then by feature
    first = np.searchsorted(places, seen * number + np.arange(number), side="right")
    length = np.minimum(np.searchsorted(places, (seen + 1) * number) - first, _MOST_NEIGHBOURS)
    ends = np.cumsum(length)
    start = 0
    while start < number:
        stop = max(start + 1, int(np.searchsorted(ends, (ends[start - 1] if start else 0) + _PAIRS)))
        left = np.repeat(np.arange(start, stop), length[start:stop])
        within = np.arange(len(left)) - np.repeat(
            ends[start:stop] - length[start:stop] - ends[start] + length[start], length[start:stop]
        )
        yield left, places[first[left] + within] % number
        start = stop


def _are_near(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows of descriptors u8 [p,128] are alike."""
    difference = a.astype(np.int32) - b
    return np.asarray(np.einsum("pd,pd->p", difference, difference) <= _MAX_DISTANCE**2)
