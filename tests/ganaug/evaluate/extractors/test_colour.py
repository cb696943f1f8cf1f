"""Colour features know colours and stains, and nothing of where they are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganaug.evaluate.extractors.extractor import ExtractorInputs
from ganaug.evaluate.extractors.networks.colour import NUM_FEATURES, colour, embed


def draw_images(seed: int, num_images: int = 3, side_px: int = 8) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (num_images, 3, side_px, side_px), dtype=np.uint8))


@given(st.integers(0, 2**31))
def test_order_of_the_pixels_does_not_matter(seed: int) -> None:
    img = draw_images(seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(64))
    shuffled = img.flatten(2)[:, :, order].reshape(img.shape)
    torch.testing.assert_close(embed(img), embed(shuffled))


def test_features_are_the_means_and_covariances_of_pixels_and_densities() -> None:
    img = draw_images(1, num_images=1)
    pixels = img[0].flatten(1).numpy().astype(float)
    density = -np.log((pixels + 1) / 256)
    covariance = np.cov(density, bias=True)[np.triu_indices(3)]
    expected = np.concatenate([pixels.mean(axis=1) / 255, density.mean(axis=1), covariance])
    np.testing.assert_allclose(embed(img)[0].numpy(), expected, rtol=1e-5)


def test_white_has_no_density_and_black_much() -> None:
    white, black = embed(torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)), embed(torch.zeros(1, 3, 4, 4).byte())
    assert white[0, 3:].abs().max() < 1e-6
    assert black[0, 3:6].tolist() == pytest.approx([float(np.log(256))] * 3)


def test_extractor_says_how_many_features_it_gives() -> None:
    extractor = colour(ExtractorInputs())
    assert extractor.num_features == NUM_FEATURES == embed(draw_images(2)).shape[1]
