"""Resamples of patients and of training runs, and the metrics that are computed on thousands of them at once.

Every metric here is a function of a confusion matrix, and the confusion matrix of a resample is a weighted sum of the
patients' own. So a bootstrap is one matrix product: weights [R, S·G] times counts [S·G, K·K].
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.number[Any]]  # of images, or of images with the weights of a resample


def confusions(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], group: NDArray[np.int64], num_groups: int, num_classes: int
) -> NDArray[np.int64]:
    """The confusion matrix of every group: [G, K, K], of group, true and predicted class.

    `labels` and `predicted` [N] are class indices, `group` [N] says to which of the G groups an image belongs.
    """
    shape = num_groups, num_classes, num_classes
    cell = np.ravel_multi_index((group, labels, predicted), shape)
    return np.bincount(cell, minlength=num_groups * num_classes**2).reshape(shape)


def accuracy(counts: Counts) -> NDArray[np.float64]:
    """Fraction of images that are right, from confusion matrices [..., K, K] to [...]; NaN where there is no image."""
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def balanced_accuracy(counts: Counts) -> NDArray[np.float64]:
    """Mean over the classes present of their recall, from confusion matrices [..., K, K] to [...]."""
    return _mean_over_present(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts)


def macro_f1(counts: Counts) -> NDArray[np.float64]:
    """Mean over the classes present of 2·TP / (true + predicted), from confusion matrices [..., K, K] to [...]."""
    hits = 2 * np.diagonal(counts, axis1=-2, axis2=-1)
    return _mean_over_present(hits, counts.sum(axis=-1) + counts.sum(axis=-2), counts)


def _mean_over_present(hits: Counts, totals: Counts, counts: Counts) -> NDArray[np.float64]:
    present = counts.sum(axis=-1) > 0
    fractions = hits / np.where(totals > 0, totals, 1)
    return _ratio((fractions * present).sum(axis=-1), present.sum(axis=-1))


def _ratio(part: Counts, whole: Counts) -> NDArray[np.float64]:
    """`part` / `whole`, NaN where the whole is nothing."""
    ratio: NDArray[np.float64] = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return ratio


# Metrics of predictions, from counts [..., K, K] to values [...], by the name that a study's config has for them
PREDICTION_METRICS: dict[str, Callable[[Counts], NDArray[np.float64]]] = {
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
    "macro_f1": macro_f1,
}


def strata_of(images: NDArray[np.int64]) -> NDArray[np.int64]:
    """The stratum of every group, [G]: the rarest class that it holds, rarest by the number of groups.

    `images` [G, K] counts those of each group and true class.

    Resampling inside the strata keeps every class that has a stratum present in every resample, the rarest one always.
    """
    holds = images > 0
    num_groups = np.where(holds, holds.sum(axis=0), len(holds) + 1)
    rarest: NDArray[np.int64] = np.argmin(num_groups, axis=1)
    return rarest


def group_weights(strata: NDArray[np.int64], num_resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The weight of each group in each resample: [R, G], of mean 1.

    Of the n groups of a stratum n − 1 are drawn with replacement, each counting n / (n − 1): the variance of a mean
    over groups is then the unbiased s²/n, where drawing n would give (n − 1)/n of it, which is half for two patients.
    A stratum of one group can only be kept as it is; it adds nothing to the interval.
    Source: Rao and Wu 1988, "Resampling inference with complex survey data".
    """
    weights = np.ones((num_resamples, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = _draw_weights(len(members), num_resamples, rng)
    return weights


def seed_weights(num_folds: int, num_seeds: int, num_resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The weight of each training run in each resample: [R, F, S], of mean 1; seeds are drawn fold by fold.

    A seed is another training run in every fold, so each fold draws its own. One seed alone is kept as it is.
    """
    draws = [_draw_weights(num_seeds, num_resamples, rng) for _ in range(num_folds)]
    return np.stack(draws, axis=1)


def _draw_weights(size: int, num_resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if size == 1:
        return np.ones((num_resamples, 1))
    draws = rng.multinomial(size - 1, np.full(size, 1 / size), size=num_resamples)
    return draws * np.float64(size / (size - 1))
