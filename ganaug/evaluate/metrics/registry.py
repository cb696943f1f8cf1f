"""METRICS, the metrics on features, and what each is called on a given extractor."""

from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.metrics.frechet import FRECHET
from ganaug.evaluate.metrics.kernel import KERNEL
from ganaug.evaluate.metrics.metric import Metric
from ganaug.evaluate.metrics.mind import MIND
from ganaug.evaluate.metrics.neighbours import COVERAGE, DENSITY, PRECISION, RECALL
from ganaug.evaluate.metrics.vendi import VENDI

METRICS: dict[str, Metric] = {
    "kernel": KERNEL,  # the headline: unbiased at a few hundred images
    "frechet": FRECHET,
    "precision": PRECISION,
    "recall": RECALL,
    "density": DENSITY,
    "coverage": COVERAGE,
    "vendi": VENDI,
    "mind": MIND,  # on trial
}


def figure_name(metric: Metric, extractor: Extractor) -> str:
    """What a figure is called: as papers do on this network, such as FID on Inception, else `metric[extractor]`."""
    return extractor.figure_names.get(metric.name, f"{metric.name}[{extractor.name}]")
