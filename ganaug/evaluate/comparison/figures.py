"""Every metric on the same two sets of features; where one has no figure, the reason."""

from dataclasses import dataclass

import numpy as np

from ganaug.errors import DataError
from ganaug.evaluate.metrics.metric import Features, Figure
from ganaug.evaluate.metrics.neighbours import Neighbours, compare_neighbours
from ganaug.evaluate.metrics.registry import METRICS

OF_NEIGHBOURS = ("precision", "recall", "density", "coverage")  # which one comparison of neighbours gives together


@dataclass(frozen=True)
class Attempt:
    """What a metric gave for two sets of images."""

    value: float | None
    std: float | None = None
    reason: str = ""  # why there is no value


NOT_FINITE = Attempt(None, reason="no finite number; check whether the images of a side are all alike")


def compute_all(real: Features, synthetic: Features, seed: int, names: tuple[str, ...] = ()) -> dict[str, Attempt]:
    """The figure of every metric of METRICS, or of those with these `names`, by name.

    real is [N,D], synthetic [M,D].

    Equal seeds give a metric equal random draws, so that figures of nearly the same images differ by the images only.
    """
    chosen = {name: METRICS[name] for name in names or METRICS}
    unusable = [int(np.count_nonzero(~np.isfinite(side).all(axis=1))) for side in (real, synthetic)]
    if any(unusable):
        reason = (
            f"{unusable[0]} real and {unusable[1]} synthetic images have NaN or infinite features; check the images "
            "and the extractor's weights"
        )
        return dict.fromkeys(chosen, Attempt(None, reason=reason))
    attempts: dict[str, Attempt] = {}
    neighbours: Neighbours | None = None
    for name, metric in chosen.items():
        if min(len(real), len(synthetic)) < metric.needs:
            attempts[name] = Attempt(None, reason=f"too small, below {metric.needs} images")
            continue
        try:
            if name in OF_NEIGHBOURS:
                neighbours = neighbours or compare_neighbours(real, synthetic)
                figure = Figure(getattr(neighbours, name))
            else:
                figure = metric.compute(real, synthetic, np.random.default_rng(seed))
        except (DataError, np.linalg.LinAlgError) as error:  # such as images that are all alike
            attempts[name] = Attempt(None, reason=str(error))
            continue
        attempts[name] = Attempt(figure.value, figure.std) if np.isfinite(figure.value) else NOT_FINITE
    return attempts
