"""The distances between real and synthetic features: METRICS, and what each is called on a given extractor."""

from collections.abc import Callable

import numpy as np

from ganaug.evaluate.extractors import Extractor
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

# The names that papers know are kept for the network that papers mean.
_ON_INCEPTION = {"frechet": "FID", "kernel": "KID"}


def title(metric: str, extractor: Extractor) -> str:
    """What a figure is called: FID or KID on the standard Inception features, else `metric[extractor]`."""
    return _ON_INCEPTION[metric] if extractor.is_inception else f"{metric}[{extractor.name}]"
