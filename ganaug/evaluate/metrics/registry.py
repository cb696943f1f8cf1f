"""The distances between real and synthetic features: METRICS, and what each is called on a given extractor."""

from collections.abc import Callable

import numpy as np

from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.metrics.frechet import frechet_distance
from ganaug.evaluate.metrics.kernel import kernel_distance


def frechet(real: np.ndarray, fake: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Fréchet distance; `rng` is not needed, the distance has no draw in it."""
    return {"value": frechet_distance(real, fake)}


def kernel(real: np.ndarray, fake: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Kernel distance and its spread over 100 subsets of at most 1000 images."""
    value, std = kernel_distance(real, fake, rng=rng)
    return {"value": value, "value_std": std}


# Each maps features real [N,D] and fake [M,D] to {"value": ..., and what else is worth a record}; smaller is better.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], dict[str, float]]] = {
    "frechet": frechet,
    "kernel": kernel,
}


def title(metric: str, extractor: Extractor) -> str:
    """What a figure is called: as papers do on this network, such as FID on Inception, else `metric[extractor]`."""
    return extractor.figure_names.get(metric, f"{metric}[{extractor.name}]")
