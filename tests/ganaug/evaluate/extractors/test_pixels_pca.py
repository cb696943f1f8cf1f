"""Principal components of pixels: a projection of the training images, blind to fine texture."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.networks import pixels_pca
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.evaluate.metrics.registry import METRICS, figure_name


@pytest.fixture
def extractor(dataset: DataSet) -> Extractor:
    return open_extractor("pixels_pca", ExtractorInputs(dataset, 0))


def test_components_are_those_of_the_training_images(extractor: Extractor, dataset: DataSet) -> None:
    images = [dataset.reader[part] for part in (dataset.train(0), dataset.val(0))]
    train, val = (part.transpose(0, 3, 1, 2).reshape(len(part), -1) / 255 for part in images)
    expected = PCA(pixels_pca.MAX_COMPONENTS, svd_solver="full").fit(train).transform(val)
    features = extractor.features(images[1])
    assert features.shape == (len(val), pixels_pca.MAX_COMPONENTS)
    np.testing.assert_allclose(np.abs(features[:, :8]), np.abs(expected[:, :8]), atol=1e-4)


def test_distances_are_those_of_the_pixels_where_few_images_span_all(
    dataset: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels_pca, "MAX_IMAGES", 10)
    extractor = open_extractor("pixels_pca", ExtractorInputs(dataset, 0))
    train = dataset.train(0)
    used = dataset.reader[train[np.linspace(0, len(train) - 1, 10).astype(int)]]
    features, pixels = extractor.features(used), used.reshape(10, -1) / 255
    assert np.linalg.norm(features[3] - features[7]) == pytest.approx(np.linalg.norm(pixels[3] - pixels[7]), rel=1e-4)


def test_it_does_not_see_texture(extractor: Extractor, dataset: DataSet) -> None:
    """The limit that its note states: a checkerboard of pixels averages out, a shift of colour does not."""
    assert "texture" in extractor.note
    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    board = grey + 40 * (np.indices((64, 64)).sum(0) % 2 * 2 - 1)[None, :, :, None].astype(np.int64)
    features = extractor_at_64(dataset).features(np.concatenate([grey, board.astype(np.uint8), grey + np.uint8(40)]))
    texture, colour = np.linalg.norm(features[1:] - features[0], axis=1)
    assert texture < 0.05 * colour


def extractor_at_64(dataset: DataSet) -> Extractor:
    """The components of the training images enlarged to 64 px, which 32 px are averaged from."""

    class Enlarged:
        digest = "d" * 64

        def __getitem__(self, indices: NDArray[Any]) -> NDArray[Any]:
            return dataset.reader[indices].repeat(4, 1).repeat(4, 2)

    class EnlargedSet:
        name = dataset.name

        def train(self, fold: int) -> NDArray[Any]:
            return dataset.train(fold)

        def images(self, fold: int) -> Enlarged:
            return Enlarged()

    return open_extractor("pixels_pca", ExtractorInputs(EnlargedSet(), 0))  # type: ignore[arg-type]


def test_held_out_images_decide_nothing(
    extractor: Extractor, dataset: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = dataset.reader

    class Forbidden:
        """Gives training images, and fails on any other."""

        digest = reader.digest

        def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
            assert set(indices) <= set(dataset.train(0))
            return reader[indices]

    monkeypatch.setattr(DataSet, "images", lambda _, fold: Forbidden())
    assert open_extractor("pixels_pca", ExtractorInputs(dataset, 0)).digest == extractor.digest


def test_the_digest_is_that_of_the_training_images(extractor: Extractor, dataset: DataSet) -> None:
    again, other = (open_extractor("pixels_pca", ExtractorInputs(dataset, fold)) for fold in (0, 1))
    assert again.digest == extractor.digest
    assert other.digest != extractor.digest, "other patients"


def test_its_figures_name_it(extractor: Extractor) -> None:
    assert figure_name(METRICS["frechet"], extractor) == "frechet[pixels-pca]"


def test_without_a_data_set_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="no data set"):
        open_extractor("pixels_pca", ExtractorInputs())


def test_training_images_of_one_colour_are_no_error(dataset: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels_pca, "read_batch", lambda images, part, device: constant(len(part)))
    extractor = open_extractor("pixels_pca", ExtractorInputs(dataset, 0))
    assert np.isfinite(extractor.features(dataset.reader[np.arange(3)])).all()


def constant(number: int) -> torch.Tensor:
    return torch.full((number, 3, 16, 16), 7, dtype=torch.uint8)
