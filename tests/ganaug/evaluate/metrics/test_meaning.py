"""What each fault of a generator does to each metric, compared with an honest generator of the same images.

A row is a fault, a column a metric. `worse` and `better` are as the metric would have it read, `same` is no change that
an honest generator's own draws do not show: there the metric is blind to the fault. No column is free of blind spots,
and the last row is seen by none: an image that was copied is the most real of all, which is why copies have an audit of
their own.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from ganaug.config import PhantomConfig
from ganaug.data.sources.phantom.draw import draw_one
from ganaug.evaluate.extractors.extractor import ExtractorInputs, root_mean_square
from ganaug.evaluate.extractors.registry import EXTRACTORS
from ganaug.evaluate.metrics.metric import Features
from ganaug.evaluate.metrics.registry import METRICS

ON_FEATURES = """
                          kernel  frechet  precision  recall  density  coverage  vendi   mind
mode collapse             worse   worse    same       worse   same     worse     worse   worse
mode dropping             worse   worse    same       worse   same     worse     worse   worse
classes swapped, pooled   same    same     same       same    same     same      same    same
classes swapped, by class worse   worse    worse      worse   worse    worse     same    worse
detail lost               worse   worse    better     worse   better   same      same    worse
noise                     same    worse    worse      better  worse    worse     better  worse
copying                   better  better   better     better  better   better    same    better
"""
ON_IMAGES = """
                          kernel  frechet  precision  recall  density  coverage  vendi   mind
blur                      worse   worse    worse      worse   worse    worse     worse   worse
noise                     worse   worse    worse      worse   worse    worse     worse   worse
"""

NUM_CLASSES, NUM_MODES, NUM_FEATURES = 4, 6, 16  # a mode is a kind of tissue, or a patient
PER_CLASS = 60
NUM_DRAWS = 10
MOVED = 1.5  # standard deviations over the draws, of both generators together

Draw = Callable[[Features, np.random.Generator], Features]  # real [K,n,D] -> synthetic [K,n,D]


def read(table: str) -> dict[tuple[str, str], str]:
    """The table's cells by row and column."""
    head, *rows = table.strip("\n").splitlines()
    assert head.split() == list(METRICS)
    return {
        (row[:25].strip(), name): cell for row in rows for name, cell in zip(METRICS, row[25:].split(), strict=True)
    }


def modes() -> Features:
    """The centre of each mode of each class, [K,6,D]: modes of a class are nearer to each other than classes are."""
    rng = np.random.default_rng(7)
    classes = 3 * rng.normal(size=(NUM_CLASSES, 1, NUM_FEATURES))
    return classes + 1.5 * rng.normal(size=(NUM_CLASSES, NUM_MODES, NUM_FEATURES)) + 4


def draw(rng: np.random.Generator, *, num_modes: int = NUM_MODES, spread: float = 1.0) -> Features:
    """Images of all classes [K,n,D], each of a random mode of its class."""
    of_image = rng.integers(num_modes, size=(NUM_CLASSES, PER_CLASS))
    centres = np.take_along_axis(modes(), of_image[..., None], axis=1)
    sample: Features = centres + spread * rng.normal(size=centres.shape)
    return sample


GENERATORS: Mapping[str, Draw] = {
    "honest": lambda real, rng: draw(rng),
    "mode collapse": lambda real, rng: draw(rng)[:, :1] + 0.1 * rng.normal(size=real.shape),  # one image per class
    "mode dropping": lambda real, rng: draw(rng, num_modes=NUM_MODES // 2),
    "classes swapped": lambda real, rng: np.roll(draw(rng), 1, axis=0),
    "detail lost": lambda real, rng: draw(rng, spread=0.3) - 0.5,  # sharpness is a direction of its own
    "noise": lambda real, rng: draw(rng) + 1.5 * rng.normal(size=real.shape),
    "copying": lambda real, rng: real.copy(),
}


@cache
def figures(generator: str, metric: str, *, by_class: bool) -> NDArray[np.float64]:
    """A metric of a generator, over all classes or as the mean of each class's own, for every draw; higher is better.

    Every generator is compared with the same real images, and draws from the same numbers.
    """
    values = []
    for seed in range(NUM_DRAWS):
        rng = np.random.default_rng(seed)
        real = draw(rng)
        synthetic = GENERATORS[generator](real, rng)
        scale = root_mean_square(real)
        pairs = zip(real, synthetic, strict=True) if by_class else [(flat(real), flat(synthetic))]
        compute = METRICS[metric].compute
        values.append(np.mean([compute(x / scale, y / scale, np.random.default_rng(seed)).value for x, y in pairs]))
    return np.array(values) * (1 if METRICS[metric].higher_is_better else -1)


def flat(images: Features) -> Features:
    return images.reshape(-1, NUM_FEATURES)


@pytest.mark.parametrize(("fault", "metric"), read(ON_FEATURES))
def test_a_fault_moves_a_metric_as_the_table_says(fault: str, metric: str) -> None:
    generator, by_class = fault.split(",")[0], fault.endswith("by class")
    of_fault, of_honest = (figures(name, metric, by_class=by_class) for name in (generator, "honest"))
    moved = (of_fault.mean() - of_honest.mean()) / max(np.hypot(of_fault.std(), of_honest.std()), 1e-9)
    found = "same" if abs(moved) < MOVED else "better" if moved > 0 else "worse"
    assert found == read(ON_FEATURES)[fault, metric], f"by {moved:.1f} standard deviations"


@pytest.fixture(scope="module")
def tissue() -> dict[str, Features]:
    """Features of drawn tissue by EfficientNet-Lite0: real, as real but others, and the latter blurred and noisy."""
    config = PhantomConfig(num_patients=12, images_per_patient=6)
    images = np.stack([draw_one(config, 0, patient, index).image for patient in range(12) for index in range(6)])
    real, honest = images[::2], images[1::2]
    blurred = ndimage.gaussian_filter(honest.astype(np.float64), (0, 1.5, 1.5, 0)).round().astype(np.uint8)
    noisy = honest + np.random.default_rng(0).normal(0, 25, size=honest.shape)
    sets = {"real": real, "honest": honest, "blur": blurred, "noise": np.clip(noisy, 0, 255).astype(np.uint8)}
    extractor = EXTRACTORS["efficientnet_lite0"](ExtractorInputs())
    features = {name: extractor.features(pixels) for name, pixels in sets.items()}
    scale = root_mean_square(features["real"])
    return {name: values / scale for name, values in features.items()}


@pytest.mark.parametrize(("fault", "metric"), read(ON_IMAGES))
def test_a_fault_of_drawn_tissue_moves_a_metric_by_much(tissue: dict[str, Features], fault: str, metric: str) -> None:
    entry = METRICS[metric]
    of_fault, of_honest = (
        entry.compute(tissue["real"], tissue[name], np.random.default_rng(0)).value for name in (fault, "honest")
    )
    better, lesser = (of_fault, of_honest) if entry.higher_is_better else (of_honest, of_fault)
    found = "better" if better > 1.25 * lesser else "worse" if lesser > 1.25 * better else "same"
    assert found == read(ON_IMAGES)[fault, metric], (of_fault, of_honest)
