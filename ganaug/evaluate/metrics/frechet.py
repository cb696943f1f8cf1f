"""The Fréchet distance between two sets of features, each taken as a Gaussian."""

import numpy as np

from ganaug.errors import DataError
from ganaug.evaluate.metrics.metric import Features, Figure, Metric


def frechet_distance(x: Features, y: Features) -> float:
    """Squared Fréchet distance |mx - my|² + tr(Cx + Cy - 2 (Cx Cy)^½) of Gaussians fitted to `x` [N,D] and `y` [M,D].

    Zero only for equal means and covariances. The estimate grows as N and M shrink, so two figures compare only at
    equal sizes. N and M may be smaller than D. Raises DataError where a side has fewer than 2 images.
    Source: Heusel et al. 2017 (1706.08500), equation 6; the trace of the root as a nuclear norm is ours.

    >>> real = np.random.default_rng(0).normal(size=(100, 2))
    >>> round(frechet_distance(real, real + [3, 4]), 6)  # equal covariances, means 5 apart
    25.0
    """
    if min(len(x), len(y)) < 2:
        raise DataError(f"{len(x)} and {len(y)} images", expected="at least 2 on each side, to have a covariance")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    root_x, root_y = _covariance_root(x), _covariance_root(y)
    # Cx = Rx' Rx and Cy = Ry' Ry, so the eigenvalues of Cx Cy are the squared singular values of Rx Ry'. No root of a
    # (nearly always singular) D x D matrix is taken.
    trace_of_root = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
    mean_gap = x.mean(0) - y.mean(0)
    distance = mean_gap @ mean_gap + (root_x**2).sum() + (root_y**2).sum() - 2 * trace_of_root
    return float(max(distance, 0.0))  # rounding alone can bring it below zero


def _covariance_root(x: Features) -> Features:
    """R [min(N,D),D] with R' R the unbiased covariance of `x` [N,D]."""
    centred = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(x) > x.shape[1] else centred


FRECHET = Metric(
    name="frechet",
    compute=lambda real, synthetic, rng: Figure(frechet_distance(real, synthetic)),  # it draws nothing
    higher_is_better=False,
    needs=8,  # our choice
    source="Heusel et al. 2017 (1706.08500), equation 6",
)
