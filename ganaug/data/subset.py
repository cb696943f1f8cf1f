"""A part of a fold's training images: what is left where only so many real images are to be had."""

import numpy as np
from numpy.typing import NDArray

from ganaug.data.schema import ImageTable

_SUBSET = 0x5B5E7  # sets the order of patients apart from what else is drawn for a fold


def choose_part(table: ImageTable, train: NDArray[np.int64], fold: int, fraction: float) -> NDArray[np.int64]:
    """Indices i64 [n] of `fraction` of a fold's images `train` per class, in file order; at least one per class.

    Whole patients are taken in an order that the fold alone decides, the last one in part. So a smaller fraction is
    part of a larger one, and all seeds of a fold have the same images.
    """
    if fraction == 1:
        return train
    rng, train = np.random.default_rng(np.random.SeedSequence([_SUBSET, fold])), table.in_shared_order(train)
    rank_of = {group: rank for rank, group in enumerate(rng.permutation(sorted(set(_digests(table, train)))))}
    ordered = train[np.argsort([rank_of[digest] for digest in _digests(table, train)], kind="stable")]
    label, kept = table.label[ordered], []
    for index in range(table.num_classes):
        of_class = ordered[label == index]
        kept.append(of_class[: max(1, round(fraction * len(of_class)))])
    return np.sort(np.concatenate(kept))


def _digests(table: ImageTable, indices: NDArray[np.int64]) -> list[str]:
    """The patient of each image by its digest, whose order says nothing of names."""
    of_group = {name: table.patient_digest(name) for name in np.unique(table.group_id[indices]).tolist()}
    return [of_group[name] for name in table.group_id[indices].tolist()]
