"""The phantom: procedural H&E breast tissue on which a gain from GAN augmentation can be known to exist.

Four classes named as BACH's. Stain, section and habits of growth vary by patient and laboratory more than by class, so
that a classifier that has seen few patients learns shortcuts which fail on the next one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ganaug.config import BREAST_CLASSES, PhantomConfig
from ganaug.data.sources.phantom.anatomy import Habits, paint_tissue
from ganaug.data.sources.phantom.tissue import Array, Scene
from ganaug.errors import ConfigError

# Absorbance of haematoxylin and eosin in red, green and blue, as each laboratory's protocol and scanner yield it.
SITES = (
    ((0.60, 0.70, 0.38), (0.16, 0.84, 0.50)),
    ((0.68, 0.66, 0.30), (0.10, 0.90, 0.38)),
    ((0.52, 0.73, 0.42), (0.24, 0.78, 0.58)),
    ((0.64, 0.72, 0.24), (0.20, 0.88, 0.34)),
)


@dataclass(frozen=True)
class PhantomImage:
    """One image, the mask of what decides its class, and where it comes from."""

    image: NDArray[np.uint8]  # u8 [H,W,3]
    mask: NDArray[np.uint8]  # u8 [H,W], 255 where the structures are that decide the class
    label: int  # index into BREAST_CLASSES
    group_id: str
    site: str
    image_id: str


@dataclass(frozen=True)
class Patient:
    """What the images of one patient share: the laboratory's colours and the habits of the tissue."""

    label: int
    group_id: str
    site: int
    absorbance: Array  # f32 [2,3], of a unit of haematoxylin and of eosin in red, green and blue
    background: Array  # f32 [3], the light of an empty slide, 0 to 1
    habits: Habits


def num_images(config: PhantomConfig) -> int:
    """How many images `draw` yields."""
    return config.num_patients * config.images_per_patient


def draw(config: PhantomConfig, seed: int) -> Iterator[PhantomImage]:
    """Every image, patient by patient; raises ConfigError for a negative seed."""
    for patient in range(config.num_patients):
        for index in range(config.images_per_patient):
            yield draw_one(config, seed, patient, index)


def draw_one(config: PhantomConfig, seed: int, patient: int, index: int, tissue: str = "") -> PhantomImage:
    """One image by its patient and its place among the patient's images, independent of all others.

    `tissue` is the class that is drawn, the patient's own where it is empty. One field of view shows the same scene at
    every resolution. Raises ConfigError for a negative seed, and for a patient or image that the configuration does not
    have.
    """
    if seed < 0:
        raise ConfigError(f"phantom seed {seed}", expected="zero or more")
    for name, number, count in (("patient", patient, config.num_patients), ("image", index, config.images_per_patient)):
        if not 0 <= number < count:
            raise ConfigError(f"phantom {name} {number}", expected=f"a number from 0 to {count - 1}")
    person = draw_patient(seed, patient)
    scene, finer = _set_up(config, seed, patient, index)
    tissue = tissue or BREAST_CLASSES[person.label]
    paint_tissue(scene, person.habits, tissue)
    return PhantomImage(
        image=_expose(scene, person, finer),
        mask=np.where(_shrink(scene.mask, finer) >= 0.5, 255, 0).astype(np.uint8),
        label=BREAST_CLASSES.index(tissue),
        group_id=person.group_id,
        site=f"site-{person.site}",
        image_id=f"{person.group_id}-{index:03d}",
    )


def draw_patient(seed: int, number: int) -> Patient:
    """A patient: the class goes round with the number, all else is random and independent of the class."""
    # A spawn key, as SeedSequence([seed, number]) alone would repeat the stream of the patient's image 0.
    rng = np.random.default_rng(np.random.SeedSequence([seed, number], spawn_key=(0,)))
    site = int(rng.integers(len(SITES)))
    colour = np.clip(SITES[site] + rng.normal(0, 0.05, (2, 3)), 0.02, None)
    colour /= np.linalg.norm(colour, axis=1, keepdims=True)
    strength = np.exp(rng.normal(0, 0.18) + rng.normal(0, 0.2, (2, 1)))  # thickness of the section, and each dye's bath
    warmth = rng.normal(0, 0.03)
    background = np.array([0.95 + warmth, 0.94, 0.95 - warmth]) + rng.normal(0, 0.015)
    return Patient(
        label=number % len(BREAST_CLASSES),
        group_id=f"phantom-p{number:03d}",
        site=site,
        absorbance=(colour * strength).astype(np.float32),
        background=np.clip(background, 0, 1).astype(np.float32),
        habits=Habits(
            nuclear_scale=float(np.exp(rng.normal(0, 0.12))),
            grade=float(rng.random()),
            collagen=float(rng.uniform(0.4, 0.95)),
            looseness=float(rng.uniform(0.2, 0.8)),
            wave_um=float(rng.uniform(2, 9)),
            fat=float(rng.choice([0.0, 0.1, 0.5])),
            lymphocytes=float(rng.gamma(0.6, 8.0)),
        ),
    )


def _set_up(config: PhantomConfig, seed: int, patient: int, index: int) -> tuple[Scene, int]:
    """An empty scene, and how many of its pixels make the side of one of the image's."""
    finer = min(4, max(2, ceil(config.um_per_px)))  # shapes are anti-aliased, and nuclei still drawn as such
    rng = np.random.default_rng(np.random.SeedSequence([seed, patient, index]))
    return Scene(config.resolution_px * config.um_per_px, config.resolution_px * finer, rng), finer


def _expose(scene: Scene, patient: Patient, finer: int) -> NDArray[np.uint8]:
    """The photograph u8 [H,W,3]: absorbance by Beer–Lambert, the lens's blur, the sensor's pixels and their noise.

    Source: Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution, 2001, equation 1.
    """
    dyes = np.stack([scene.haematoxylin, scene.eosin], axis=-1)
    light = patient.background * np.exp(-(dyes @ patient.absorbance))
    blur_px = 0.35 / scene.um_per_px
    if blur_px > 0.4:  # below, the pixels themselves blur more than the lens
        light = ndimage.gaussian_filter(light, (blur_px, blur_px, 0), truncate=2.5)
    pixels = _shrink(light, finer)
    pixels = pixels + 0.012 * scene.rng.standard_normal(pixels.shape, dtype=np.float32) * np.sqrt(pixels)
    return np.asarray(np.clip(np.rint(255 * pixels), 0, 255), np.uint8)


def _shrink(plane: NDArray[Any], factor: int) -> Array:
    """Mean over squares of `factor` by `factor` pixels."""
    side = len(plane) // factor
    return np.asarray(plane.reshape(side, factor, side, factor, *plane.shape[2:]).mean(axis=(1, 3)))
