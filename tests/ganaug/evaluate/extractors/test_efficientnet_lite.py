"""Features of EfficientNet-Lite0, with the weights of its package."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from classifiers.files.torch_files import read_state_dict
from ganaug.data.dataset import DataSet
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.evaluate.metrics.frechet import frechet_distance
from ganaug.weights import WEIGHTS, find_weights

LABELS = {"china.jpg": 698, "flower.jpg": 985}  # palace and daisy


@pytest.fixture
def extractor(dataset: DataSet) -> Extractor:
    return open_extractor("efficientnet_lite0", ExtractorInputs(dataset, 0))


def photograph(name: str) -> NDArray[np.uint8]:
    from sklearn.datasets import load_sample_image

    image: NDArray[np.uint8] = load_sample_image(name)[:, 106:533]
    return image


def test_its_features_are_those_that_the_published_head_was_trained_on(extractor: Extractor) -> None:
    images = np.stack([photograph(name) for name in LABELS])
    state = read_state_dict(find_weights(None, "efficientnet_lite0"))
    logits = extractor.features(images) @ state["_fc.weight"].double().numpy().T + state["_fc.bias"].double().numpy()
    assert logits.argmax(axis=1).tolist() == list(LABELS.values())


def test_a_feature_depends_on_its_image_alone(extractor: Extractor) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(5, 32, 32, 3), dtype=np.uint8)
    whole = extractor.features(images, batch=5)
    assert whole.shape == (5, 1280)
    np.testing.assert_allclose(extractor.features(images[::-1], batch=2)[::-1], whole, rtol=1e-3, atol=1e-4)


def test_it_is_named_by_its_file_and_known_by_its_digest(extractor: Extractor) -> None:
    (file,) = WEIGHTS["efficientnet_lite0"].files
    assert extractor.name == Path(file.name).stem
    assert extractor.digest == file.sha256


def test_blurred_tissue_is_far_from_sharp_tissue(extractor: Extractor, dataset: DataSet) -> None:
    """On procedural tissue; a distance that cannot see blur judges no generator."""
    images = dataset.reader[np.arange(len(dataset.table))[:48]]
    kernel = np.ones(5) / 5
    blurred = images.astype(float)
    for axis in (1, 2):
        blurred = np.apply_along_axis(np.convolve, axis, blurred, kernel, mode="same")
    sharp, soft = extractor.features(images), extractor.features(blurred.round().astype(np.uint8))
    assert frechet_distance(sharp[::2], soft[1::2]) > 1.5 * frechet_distance(sharp[::2], sharp[1::2])
