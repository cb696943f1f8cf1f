"""Resamples of patients and of training runs, and the metrics that are computed on thousands of them at once.

Every metric here is a function of a confusion matrix, and the confusion matrix of a resample is a weighted sum of the
patients' own. So a bootstrap is one matrix product: weights [R, S·G] times counts [S·G, K·K].
"""

from collections.abc import Callable

import numpy as np


def confusions(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray, num_classes: int) -> np.ndarray:
    """Confusion matrix of every group: i64 [G, K, K], [g, true, predicted], groups in sorted order.

    `labels` and `predicted` are i64 [N] class indices, `groups` text [N].
    """
    names, position = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (position, labels, predicted), 1)
    return counts


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of images that are right, from confusion matrices [..., K, K] to [...]."""
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean over the classes present of their recall, from confusion matrices [..., K, K] to [...]."""
    return _mean_over_present(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts)


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean over the classes present of 2·TP / (true + predicted), from confusion matrices [..., K, K] to [...]."""
    hits = 2 * np.diagonal(counts, axis1=-2, axis2=-1)
    return _mean_over_present(hits, counts.sum(axis=-1) + counts.sum(axis=-2), counts)


def _mean_over_present(hits: np.ndarray, totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    present = counts.sum(axis=-1) > 0
    shares = hits / np.where(totals > 0, totals, 1)
    return (shares * present).sum(axis=-1) / present.sum(axis=-1)


METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
    "macro_f1": macro_f1,
}


def strata_of(images: np.ndarray) -> np.ndarray:
    """The stratum of every group, i64 [G]: the rarest class that it holds, rarest by the number of groups.

    `images` is i64 [G,K], those of each group and true class.

    Resampling inside the strata keeps every class that has a stratum present in every resample, the rarest one always.
    """
    holds = images > 0
    num_groups = np.where(holds, holds.sum(axis=0), len(holds) + 1)
    return np.argmin(num_groups, axis=1)


def group_weights(strata: np.ndarray, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each group counts in each resample: f64 [R, G], of mean 1.

    Of the n groups of a stratum n − 1 are drawn with replacement, each counting n / (n − 1): the variance of a mean
    over groups is then the unbiased s²/n, where drawing n would give (n − 1)/n of it, which is half for two patients.
    A stratum of one group can only be kept as it is; it adds nothing to the interval.
    Source: Rao and Wu 1988, "Resampling inference with complex survey data".
    """
    weights = np.ones((num_resamples, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = _draws(len(members), num_resamples, rng)
    return weights


def seed_weights(num_folds: int, num_seeds: int, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each training run counts in each resample: f64 [R, F, S], of mean 1; seeds are drawn fold by fold.

    A seed is another training run in every fold, so the folds draw apart. One seed alone is kept as it is.
    """
    draws = [_draws(num_seeds, num_resamples, rng) for _ in range(num_folds)]
    return np.stack(draws, axis=1)


def _draws(size: int, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    if size == 1:
        return np.ones((num_resamples, 1))
    return rng.multinomial(size - 1, np.full(size, 1 / size), size=num_resamples) * (size / (size - 1))
