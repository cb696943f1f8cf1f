"""Stained slides of known concentrations, and image sets made of them."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.evaluate.judged import ImageSet, Judged

STAINS = np.array([[0.65, 0.07], [0.70, 0.99], [0.29, 0.11]])
SIDE = 32
Images = NDArray[np.uint8]


def slides(
    label: NDArray[np.int64],
    group: NDArray[np.str_],
    rng: np.random.Generator,
    strength: float = 1.0,
    nuclei: float = 1.0,
    stains: NDArray[np.float64] = STAINS,
) -> Images:
    """Images u8 [n,32,32,3]: eosin everywhere, and discs of haematoxylin, of which class 1 has more."""
    unit = stains / np.linalg.norm(stains, axis=0)
    down, across = np.mgrid[:SIDE, :SIDE]
    names, owner = np.unique(group, return_inverse=True)
    patient = (1 + 0.04 * rng.normal(size=(len(names), 2)))[owner]
    images = np.empty((len(label), SIDE, SIDE, 3), np.uint8)
    for number, own in enumerate(label):
        haematoxylin = np.full((SIDE, SIDE), 0.1)
        for _ in range(8 + 4 * own):
            y, x = rng.integers(SIDE, size=2)
            haematoxylin[(down - y) ** 2 + (across - x) ** 2 < 7] = nuclei
        eosin = 0.4 + 0.05 * rng.normal(size=(SIDE, SIDE))
        noise = 1 + 0.05 * rng.normal(size=(SIDE, SIDE))
        amounts = np.stack([haematoxylin * noise, eosin], -1) * patient[number] * strength
        images[number] = np.clip(255 * np.exp(-amounts @ unit.T) - 1, 0, 255).round()
    return images


def image_set(images: Images, label: NDArray[np.int64], group: NDArray[np.str_]) -> ImageSet:
    return ImageSet(images, np.arange(len(label)), label, group)


def judged_of(
    real: Images, label: NDArray[np.int64], group: NDArray[np.str_], made: Images, made_label: NDArray[np.int64]
) -> Judged:
    nothing = image_set(real[:0], label[:0], group[:0])
    synthetic = image_set(made, made_label, np.full(len(made_label), ""))
    return Judged(image_set(real, label, group), nothing, synthetic, ("Benign", "Malignant"), "validation patients")


@pytest.fixture
def real_label() -> NDArray[np.int64]:
    return np.repeat(np.arange(16) % 2, 5)


@pytest.fixture
def real_group() -> NDArray[np.str_]:
    return np.repeat([f"patient-{number}" for number in range(16)], 5)


@pytest.fixture
def made_label() -> NDArray[np.int64]:
    return np.arange(80) % 2


@pytest.fixture
def draw() -> Callable[..., Images]:
    return slides


@pytest.fixture
def judge() -> Callable[..., Judged]:
    return judged_of
