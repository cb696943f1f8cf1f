"""Two patient-disjoint halves of the real images, between which the floor of a distance is taken."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def patient_halves(
    groups: NDArray[Any], labels: NDArray[np.int64], at_most: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of two sets of images that share no patient, [m] and [m], with equal numbers of images of each class.

    `groups` and `labels` [N] say the patient and class of each image; `at_most` [K] limits a half's images of each
    class. The patients are dealt out in random order, each to the side that has fewer images of the patient's main
    class; then the larger side of each class is thinned out at random. A class with one patient is in neither half.
    The images of a class depend on its own limit only, not on those of others.
    """
    num_classes = len(at_most)
    names, owner = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), num_classes), np.int64)
    np.add.at(counts, (owner, labels), 1)
    main_class = counts.argmax(1)

    side_of = np.zeros(len(names), np.int64)
    dealt = np.zeros((2, num_classes), np.int64)
    for patient in rng.permutation(len(names)):
        so_far = dealt[:, main_class[patient]]
        side = int(rng.integers(2)) if so_far[0] == so_far[1] else int(so_far.argmin())
        side_of[patient] = side
        dealt[side] += counts[patient]

    halves: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    for label, stream in enumerate(rng.spawn(num_classes)):
        sides = [np.flatnonzero((labels == label) & (side_of[owner] == side)) for side in (0, 1)]
        size = min(len(sides[0]), len(sides[1]), at_most[label])
        for half, side_images in zip(halves, sides):
            half.append(stream.choice(side_images, size, replace=False))
    return np.concatenate(halves[0]), np.concatenate(halves[1])


def draw_per_class(labels: NDArray[np.int64], counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of `counts[k]` images of each class k, drawn without replacement from images with `labels`.

    A class has a random stream of its own, so that its images do not depend on the counts of others.
    """
    streams = enumerate(zip(rng.spawn(len(counts)), counts, strict=True))
    return np.concatenate(
        [stream.choice(np.flatnonzero(labels == label), count, replace=False) for label, (stream, count) in streams]
    )
