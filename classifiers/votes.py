"""Votes of tiles on their image, and of images on their patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Rule = Literal["mean", "majority"]


@dataclass(frozen=True)
class Votes:
    """One row of probabilities for each of M images or patients, in the order of their names."""

    names: NDArray[np.str_]  # [M]
    probs: NDArray[np.float64]  # [M,K]; `argmax` decides, the first class on a tie
    num: NDArray[np.int64]  # [M], the members that voted
    of: NDArray[np.int64]  # [N], the row here that each of them voted on


def vote(probs: NDArray[np.floating[Any]], members: Sequence[str] | NDArray[np.str_], rule: Rule = "mean") -> Votes:
    """The probabilities [M,K] of what the rows of `probs` [N,K] are members of, which `members` [N] names.

    "mean" averages probabilities; "majority" gives the fraction of the members whose likeliest class is each, the first
    class on a tie. Every member has the same weight: of a patient with many tiles in an image, vote twice. The result
    is the same to the bit whatever the order of the rows.

    Raises ValueError for no rows, for names that are not one per row, and for another rule.

    >>> votes = vote(np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]), ["a", "a", "a"])
    >>> votes.probs.argmax(1), vote(np.eye(2)[[0, 1, 1]], ["a", "a", "a"], "majority").probs.argmax(1)
    (array([0]), array([1]))
    """
    if probs.ndim != 2 or len(probs) == 0 or len(members) != len(probs):
        raise ValueError(f"{len(members)} names for probabilities {list(probs.shape)}; expected one for each of N > 0")
    if rule not in ("mean", "majority"):
        raise ValueError(f"rule {rule}; expected mean or majority")
    rows = probs.astype(np.float64) if rule == "mean" else np.eye(probs.shape[1])[probs.argmax(1)]
    names, of, num = np.unique(np.asarray(members, dtype=np.str_), return_inverse=True, return_counts=True)
    starts = np.cumsum(num) - num
    sums = [np.add.reduceat(column[np.lexsort((column, of))], starts) for column in rows.T]  # in order of size
    return Votes(names, np.stack(sums, axis=1) / num[:, None], num, of)
