"""Cutting groups into parts of equal class counts: pure arithmetic on a matrix of images per group and class."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_EXCHANGES_PER_ROUND = 2000
_ROUNDS_WITHOUT_GAIN = 10
_RESTARTS = 8


def partition(
    counts: NDArray[np.int64], num_parts: int, rng: np.random.Generator, fractions: Sequence[float] = ()
) -> NDArray[np.int64] | None:
    """Assign each group to a part so that every part holds every class, as evenly as the groups allow.

    `counts` is i64 [G,C], the images of each group and class; `fractions` says how much of every class each part is to
    hold, the same for all where it is empty. Returns i64 [G], the part of each group, or None where no such partition
    was found. With groups of one class it is found whenever every class has `num_parts` groups. Groups of several
    classes make the question hard; there the search may miss a partition that exists.
    """
    if counts.shape[1] == 0 or np.any((counts > 0).sum(axis=0) < num_parts):
        return None
    # Only differences between the parts' targets count. Equal fractions make them exact zeros, which round nothing.
    fraction = np.array(fractions or [1 / num_parts] * num_parts)
    extra = np.outer(fraction - fraction[0], counts.sum(axis=0))
    for _ in range(_RESTARTS):
        part = _improve(counts, _spread(counts, extra, rng), extra, rng)
        if np.all(_totals(counts, part, num_parts) > 0):
            return part
    return None


def _totals(counts: NDArray[np.int64], part: NDArray[np.int64], num_parts: int) -> NDArray[np.int64]:
    """Images per part and class, i64 [num_parts,C]."""
    totals = np.zeros((num_parts, counts.shape[1]), dtype=np.int64)
    np.add.at(totals, part, counts)
    return totals


def _spread(counts: NDArray[np.int64], extra: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Greedy: groups of the rarest class first, the large before the small, each to the part that misses it most.

    `extra` f64 [num_parts,C] is how many images more than the first part each is to hold.
    """
    num_parts = len(extra)
    holders = (counts > 0).sum(axis=0)
    rarest = np.where(counts > 0, holders, counts.shape[0] + 1).min(axis=1)
    size = counts.sum(axis=1) * rng.uniform(0.7, 1.0, len(counts))  # so that another seed gives another partition
    weight = 1 / np.square(counts.sum(axis=0) / num_parts)
    totals = np.zeros((num_parts, counts.shape[1]))
    part = np.zeros(len(counts), dtype=np.int64)
    for group in np.lexsort((-size, rarest)):
        row = counts[group]
        newly_covered = ((totals == 0) & (row > 0)) @ (1 / holders)
        growth = (2 * (totals - extra) * row) @ weight
        part[group] = np.lexsort((growth, -newly_covered))[0]
        totals[part[group]] += row
    return part


def _improve(
    counts: NDArray[np.int64], part: NDArray[np.int64], extra: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Exchange two groups while that covers more classes or evens out the parts; an empty group makes a plain move."""
    num_parts = len(extra)
    rows = np.vstack([counts, np.zeros((num_parts, counts.shape[1]), dtype=np.int64)])
    part = np.concatenate([part, np.arange(num_parts)])
    totals = _totals(rows, part, num_parts)
    weight = 1 / np.square(counts.sum(axis=0) / num_parts)
    failures = 0
    while failures < _ROUNDS_WITHOUT_GAIN:
        first, second = rng.integers(len(rows), size=(2, _EXCHANGES_PER_ROUND))
        here, there, swap = totals[part[first]], totals[part[second]], rows[second] - rows[first]
        missing = _missing(here + swap) + _missing(there - swap) - _missing(here) - _missing(there)
        excess = (here - there) - (extra[part[first]] - extra[part[second]])
        unevenness = (2 * swap * excess + 2 * np.square(swap)) @ weight
        change = missing * 1e6 + unevenness
        change[part[first] == part[second]] = 0.0
        best = int(np.argmin(change))
        if change[best] > -1e-9:
            failures += 1
            continue
        failures = 0
        totals[part[first[best]]] += swap[best]
        totals[part[second[best]]] -= swap[best]
        part[[first[best], second[best]]] = part[[second[best], first[best]]]
    return part[: len(counts)]


def _missing(totals: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes each row lacks."""
    return np.asarray((totals == 0).sum(axis=-1))
