"""A metric of images: a formula on the features of real and of synthetic images, with what its figures mean."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]  # [n,D], a row per image


@dataclass(frozen=True)
class Figure:
    """What a metric gives for two sets of images."""

    value: float
    std: float | None = None  # standard deviation over the metric's own random subsets; None where it draws none


@dataclass(frozen=True)
class Metric:
    """An entry of METRICS."""

    name: str
    compute: Callable[[Features, Features, np.random.Generator], Figure]  # real [N,D], synthetic [M,D]
    higher_is_better: bool
    needs: int  # the fewest images on each side; a figure of fewer is noise
    source: str  # of the definition: paper, section or equation
