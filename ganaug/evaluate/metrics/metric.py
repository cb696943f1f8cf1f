"""A metric of images: a formula on the features of real and of synthetic images, with what its figures mean."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]  # [n,D], a row per image

# What a person asks of a generator, by the name that rows, findings and the page use for it
QUESTIONS = {
    "overall": "How near are the images to real ones?",
    "faithful": "Do the images look real?",
    "diverse": "Do the images vary as real ones do?",
    "obedient": "Do the images show the class that was asked for?",
    "copying": "Do the images repeat training images?",
    "appearance": "Are stain, nuclei and texture as in real images?",
}


@dataclass(frozen=True)
class Figure:
    """What a metric gives for two sets of images."""

    value: float
    std: float | None = None  # standard error of `value`, images taken as independent; None where the metric has none


@dataclass(frozen=True)
class Metric:
    """An entry of METRICS."""

    name: str
    compute: Callable[[Features, Features, np.random.Generator], Figure]  # real [N,D], synthetic [M,D]
    higher_is_better: bool
    needs: int  # the fewest images on each side; a figure of fewer is noise
    source: str  # of the definition: paper, section or equation
    question: str = "overall"  # of QUESTIONS
    is_ratio: bool = False  # whether it is read as a ratio to its floor, as precision is
