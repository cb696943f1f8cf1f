"""The Fréchet distance between two sets of features, each taken as a Gaussian."""

import math

import numpy as np

from ganaug.evaluate.metrics.checks import require_features
from ganaug.evaluate.metrics.metric import Features, Figure, Metric
from ganaug.evaluate.metrics.moments import Moments, moments_of

_WELL_CONDITIONED = 1e-10  # smallest to largest square of a singular value, above which their roots keep 10 digits


def frechet_distance(x: Features, y: Features) -> float:
    """Squared Fréchet distance |mx - my|² + tr(Cx + Cy - 2 (Cx Cy)^½) of Gaussians fitted to `x` [N,D] and `y` [M,D].

    Zero only for equal means and covariances. The estimate grows as N and M shrink, so two figures compare only at
    equal sizes. It is not extrapolated to infinitely many images, as FID∞ (Chong and Forsyth 2020, 1911.07023) is: that
    draws a line through distances of 5,000 images and more, and at a few hundred the line would be noise; the kernel
    distance is free of the bias at every size. N and M may be smaller than D; above it the distance is taken of
    streaming moments. Raises DataError where a side has fewer than 2 images, or a feature is NaN or infinite.

    Source: Heusel et al. 2017 (1706.08500), equation 6; the trace of the root as a nuclear norm is ours.

    >>> real = np.random.default_rng(0).normal(size=(100, 2))
    >>> round(frechet_distance(real, real + [3, 4]), 6)  # equal covariances, means 5 apart
    25.0
    """
    x, y = require_features(x, y, at_least=2, why="to have a covariance")
    if min(len(x), len(y)) > x.shape[1]:
        return frechet_distance_of_moments(moments_of(x), moments_of(y))
    root_x, root_y = _root_of_features(x), _root_of_features(y)
    # Cx = Rx' Rx and Cy = Ry' Ry, so the eigenvalues of Cx Cy are the squared singular values of Rx Ry'. No root of a
    # (nearly always singular) D x D matrix is taken.
    trace_of_root = float(np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum())
    return _distance(x.mean(0) - y.mean(0), float((root_x**2).sum() + (root_y**2).sum()), trace_of_root)


def frechet_distance_of_moments(x: Moments, y: Moments) -> float:
    """The same of two sets whose moments were taken block by block; each may hold any number of images from 2 on."""
    covariance_x, covariance_y = x.covariance, y.covariance
    mean_gap, traces = x.mean - y.mean, float(np.trace(covariance_x) + np.trace(covariance_y))
    root = _root(covariance_x)
    if not root.size:  # the images of a side are all alike
        return _distance(mean_gap, traces, 0.0)
    # Cx = R' R, so the eigenvalues of Cx Cy are those of the symmetric R Cy R'.
    squares = _eigenvalues(root @ covariance_y @ root.T)
    if squares[0] > _WELL_CONDITIONED * squares[-1]:
        return _distance(mean_gap, traces, float(np.sqrt(squares).sum()))
    product = (
        root @ _root(covariance_y).T
    )  # of which they are the squared singular values, at more digits and more cost
    return _distance(mean_gap, traces, float(np.linalg.svd(product, compute_uv=False).sum()) if product.size else 0.0)


def _eigenvalues(symmetric: Features) -> Features:
    """Those of a symmetric matrix, in ascending order; by PyTorch, which takes half of NumPy's time on a CPU."""
    import torch

    return np.asarray(torch.linalg.eigvalsh(torch.from_numpy(symmetric)).numpy())


def _distance(mean_gap: Features, sum_of_traces: float, trace_of_root: float) -> float:
    return max(float(mean_gap @ mean_gap) + sum_of_traces - 2 * trace_of_root, 0.0)  # rounding can bring it below zero


def _root_of_features(x: Features) -> Features:
    """R [min(N,D),D] with R' R the unbiased covariance of `x` [N,D]."""
    if len(x) > x.shape[1]:
        return _root(moments_of(x).covariance)
    centred: Features = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return centred


def _root(covariance: Features) -> Features:
    """R [r,D] with R' R the covariance [D,D]; fewer rows than D where it is singular, as constant features make it."""
    try:
        return np.asarray(np.linalg.cholesky(covariance).T)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        is_kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        root: Features = (vectors[:, is_kept] * np.sqrt(values[is_kept])).T
        return root


FRECHET = Metric(
    name="frechet",
    compute=lambda real, synthetic, rng: Figure(frechet_distance(real, synthetic)),  # it draws nothing
    higher_is_better=False,
    needs=8,  # our choice
    source="Heusel et al. 2017 (1706.08500), equation 6",
    bounds=(0.0, math.inf),
)
