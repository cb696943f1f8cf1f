"""A permutation test of the kernel distance in which a patient's images stay together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.metrics.metric import Features

NUM_PERMUTATIONS = 1999
MIN_PATIENTS = 6  # 2^5 ways to part six patients in two: below, p cannot be under 0.05
MAX_IMAGES = 2000  # on a side; our choice: the kernel of all pairs then takes 128 MB

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class UnitSums:
    """The kernel summed over the images of every two units, and how many images of each class a unit holds."""

    sums: Features  # [U,U]
    counts: Indices  # [U,K]
    num_patients: int  # the first units are the patients; every other is one synthetic image
    trace: float  # sum of the kernel of every image with itself

    def distance(self, is_first: NDArray[np.bool_]) -> Features:
        """The unbiased MMD² between the images of the units of the first side and all others, [R] of bool [U,R].

        Both sides must hold equal numbers of images.
        """
        size = int(self.counts.sum()) // 2
        side = is_first.astype(np.float64)
        of_side = self.sums @ side
        across = of_side.sum(0) - (of_side * side).sum(0)
        within = self.sums.sum() - 2 * across - self.trace
        distances: Features = within / (size * (size - 1)) - 2 * across / size**2
        return distances


def sum_by_unit(
    real: Features, synthetic: Features, patient: Indices, real_label: Indices, synthetic_label: Indices
) -> UnitSums:
    """The kernel (a·b / D + 1)³ of all pairs of images of both sides, summed by unit.

    `patient` [N] numbers the patients of the real images, 0 to P − 1; each synthetic image is a unit of its own.
    """
    num_patients = int(patient.max()) + 1
    unit = np.concatenate([patient, num_patients + np.arange(len(synthetic))])
    order = np.argsort(unit, kind="stable")
    x, label = np.concatenate([real, synthetic])[order], np.concatenate([real_label, synthetic_label])[order]
    starts = np.flatnonzero(np.diff(unit[order], prepend=-1))
    kernel = (x @ x.T / x.shape[1] + 1) ** 3
    counts = np.zeros((len(starts), int(label.max()) + 1), np.int64)
    np.add.at(counts, (unit[order], label), 1)
    sums = np.add.reduceat(np.add.reduceat(kernel, starts, axis=0), starts, axis=1)
    return UnitSums(sums, counts, num_patients, float(np.trace(kernel)))


def permute_units(units: UnitSums, num_permutations: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which units are on the first side, bool [U,R]: random, with the real images' number of each class.

    Each patient goes to either side with probability ½; synthetic images of each class fill the side up.
    """
    num_patients, counts = units.num_patients, units.counts
    is_first = np.zeros((len(counts), num_permutations), np.bool_)
    is_first[:num_patients] = rng.random((num_patients, num_permutations)) < 0.5
    missing = counts[:num_patients].sum(0)[:, None] - counts[:num_patients].T @ is_first[:num_patients]  # [K,R]
    for label in range(counts.shape[1]):
        of_class = num_patients + np.flatnonzero(counts[num_patients:, label])
        rank = rng.random((len(of_class), num_permutations)).argsort(0).argsort(0)
        is_first[of_class] = rank < missing[label]
    return is_first


def permutation_p_value(
    units: UnitSums, rng: np.random.Generator, *, num_permutations: int = NUM_PERMUTATIONS
) -> float:
    """The probability of so large a distance if the synthetic images were images of other patients.

    That is, if each were of a patient of its own, drawn as the real patients were. Images of a generator are
    independent of each other, so this is what a perfect one gives. Images that share what a few patients share, such as
    a second set of patients with several images each, are no independent draws and give small p too often; so does a
    generator that leaves out kinds of patients, which is a fault of it. Whole patients change sides, with all their
    images, hence images of one patient that resemble each other do not pass for a difference. The observed arrangement
    counts as one of the permutations, so p is never zero. Both sides must hold equal numbers of images of each class.

    Our choice: the sides of patients are drawn freely and the synthetic images even the counts out; the statistic is
    the unbiased MMD² over all images. Patients of unlike size are not exchangeable with single images, so the level is
    approximate: at 5 %, `scripts/bench_intervals.py` measures 6.1 and 6.4 %.

    Source: Gretton et al. 2012 (A kernel two-sample test), for the permutation of images; Winkler et al. 2015
    (Multi-level block permutation), for that of whole blocks.
    """
    observed = np.arange(len(units.counts))[:, None] < units.num_patients
    value = units.distance(observed)[0]
    permuted = units.distance(permute_units(units, num_permutations, rng))
    tolerance = 1e-9 * max(abs(float(value)), float(np.abs(permuted).max()))  # the same arrangement, other rounding
    return float(1 + np.count_nonzero(permuted >= value - tolerance)) / (num_permutations + 1)
