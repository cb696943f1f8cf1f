"""Nearest neighbours in features: authenticity, the C_T test, and how often one patient is the nearest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.metrics.metric import Features

NEEDS = 20  # images on each side of a C_T test, and of each of its cells
MAX_CELLS = 10
_CHUNK = 512  # images compared at a time

Values = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each of n images."""

    distance: Values  # [n], in units of the scaled features
    position: Indices  # [n], of the training image

    def at(self, places: Indices) -> "Nearest":
        """Those of some images."""
        return Nearest(self.distance[places], self.position[places])


def nearest(features: Features, references: Features, groups: Sequence[NDArray[np.str_]] = ()) -> Nearest:
    """The nearest of references [N,D] for features [n,D]; with `groups` of both, of another patient's references.

    A distance is infinite where there is none.
    """
    squares = (references**2).sum(1)
    distances, positions = [np.zeros(0)], [np.zeros(0, np.int64)]
    for start in range(0, len(features), _CHUNK):
        chunk = features[start : start + _CHUNK]
        squared = (chunk**2).sum(1)[:, None] + squares - 2 * chunk @ references.T
        if groups:
            squared[groups[0][start : start + _CHUNK, None] == groups[1]] = np.inf
        found = squared.argmin(1)
        positions.append(found)
        # Again from the difference, as the expanded square leaves rounding errors where two images are the same.
        exact = np.linalg.norm(chunk - references[found], axis=1)
        distances.append(np.where(np.isinf(squared[np.arange(len(chunk)), found]), np.inf, exact))
    return Nearest(np.concatenate(distances), np.concatenate(positions))


def authenticity(images: Nearest, between_training: Values) -> float:
    """The fraction of images farther from their nearest training image than that one is from another patient's.

    between_training: [N], of each training image to the nearest one of another patient. Compare it with the same
    fraction of real held-out images, which is below 1 as well.

    Source: Alaa et al. 2022 (2102.08921), section 3.2. Our choice: of another patient, as the images of one patient
    resemble each other more than an honest generator's resemble them.
    """
    return float((images.distance > between_training[images.position]).mean())


def most_frequent(groups: NDArray[np.str_]) -> float:
    """The fraction of images whose nearest training image is of the one patient for whom it is most often."""
    return float(np.unique(groups, return_counts=True)[1].max() / len(groups))


def copying_z(synthetic: Nearest, held_out: Nearest, cell: Indices) -> float | None:
    """C_T: how much nearer synthetic images are to training images than held-out ones are, in standard deviations.

    cell: [N], of each training image; an image is in the cell of its nearest one. Far below 0, such as -3, images are
    nearer than held-out ones. None where no cell has NEEDS images of both.

    Source: Meehan et al. 2020 (2004.05675), section 3: the mean over cells of the Mann-Whitney z-score, weighted by
    training images.
    """
    scores, weights = [], []
    for number in np.unique(cell):
        ours = synthetic.distance[cell[synthetic.position] == number]
        theirs = held_out.distance[cell[held_out.position] == number]
        m, n = len(ours), len(theirs)
        if min(m, n) >= NEEDS:
            scores.append((_farther(ours, theirs).mean() - 0.5) / np.sqrt((m + n + 1) / (12 * m * n)))
            weights.append(np.count_nonzero(cell == number))
    return float(np.average(scores, weights=weights)) if scores else None


def copying_p_value(synthetic: Values, held_out: Values, group: NDArray[np.str_]) -> float | None:
    """The probability that distances [m] of honest images lie so far below those [n] of held-out patients `group` [n].

    None where there are fewer than two held-out patients.

    Source: Obuchowski 1997, the variance of a clustered area under the curve. Our choice: Student's t by the number of
    patients, and at least the variance without clusters.
    """
    from scipy import stats

    names, owner = np.unique(group, return_inverse=True)
    if len(names) < 2 or min(len(synthetic), len(held_out)) < 2:
        return None
    farther = _farther(synthetic, held_out)
    area, m, n, num = farther.mean(), len(synthetic), len(held_out), len(names)
    of_patient = np.bincount(owner, farther.mean(0) - area)
    variance = farther.mean(1).var(ddof=1) / m + num / (num - 1) * (of_patient**2).sum() / n**2
    variance = max(variance, (m + n + 1) / (12 * m * n))
    return float(stats.t.cdf((area - 0.5) / np.sqrt(variance), num - 1))


def cells_of(features: Features, num_images: int, seed: int) -> Indices:
    """The cell [N] of each training image: about one per 3 NEEDS of the smaller side's `num_images`, by k-means."""
    num_cells = min(MAX_CELLS, num_images // (3 * NEEDS))
    if num_cells < 2:
        return np.zeros(len(features), np.int64)
    from sklearn.cluster import KMeans

    cells: Indices = KMeans(num_cells, n_init=1, random_state=seed).fit_predict(features).astype(np.int64)
    return cells


def _farther(ours: Values, theirs: Values) -> Values:
    """Whether each of ours [m] is larger than each of theirs [n], ½ where they are equal."""
    return np.asarray((ours[:, None] > theirs) + 0.5 * (ours[:, None] == theirs))
