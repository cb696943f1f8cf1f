"""The log spectral distance of synthetic images to real ones, per class, with the floor of patient-disjoint halves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.appearance.grid import grid_contrasts
from ganaug.evaluate.appearance.power import decibels, plane_power, radial_mean
from ganaug.evaluate.appearance.samples import blocks, sample
from ganaug.evaluate.comparison.halves import draw_per_class, patient_halves
from ganaug.evaluate.judged import ImageSet
from ganaug.evaluate.scores import ALL, ImageScore

DISTANCE = "log spectral distance (dB)"
NUM_SPLITS = 10  # of the patients into halves
MIN_IMAGES = 2  # per class and side

Levels = NDArray[np.float32]  # [n,R], decibels by distance from frequency 0


@dataclass(frozen=True)
class Spectra:
    """The spectra of images of one side."""

    levels: Levels
    contrasts: NDArray[np.float32]  # [n,3,C,2], see `grid.grid_contrasts`
    label: NDArray[np.int64]  # [n]
    group: NDArray[np.str_]  # [n]
    side_px: int

    def of_class(self, label: int) -> "Spectra":
        """Those of a class."""
        own = self.label == label
        return Spectra(self.levels[own], self.contrasts[own], self.label[own], self.group[own], self.side_px)


def spectra_of(images: ImageSet, num_classes: int) -> Spectra:
    """Spectra of a sample of the images; the power is the mean over the three colours."""
    positions = sample(images, num_classes)
    levels, contrasts, side = [], [], 0
    for block in blocks(images, positions):
        pixels = block.astype(np.float32)
        power = plane_power(np.moveaxis(pixels, 3, 1)).mean(1)
        levels.append(decibels(radial_mean(power)))
        contrasts.append(grid_contrasts(pixels, power))
        side = pixels.shape[1]
    if not levels:
        levels, contrasts = [np.zeros((0, 1), np.float32)], [np.zeros((0, 3, 0, 2), np.float32)]
    return Spectra(
        np.concatenate(levels), np.concatenate(contrasts), images.label[positions], images.group[positions], side
    )


def spectral_distance(real: Levels, synthetic: Levels) -> float:
    """The root mean square difference of the mean levels of two sets of images [n,R] and [m,R], in decibels."""
    return float(np.sqrt(np.mean((real.mean(0) - synthetic.mean(0)) ** 2)))


def distance_scores(
    real: Spectra, synthetic: Spectra, names: tuple[str, ...], rng: np.random.Generator
) -> list[ImageScore]:
    counts = np.bincount(synthetic.label, minlength=len(names))
    values = _per_class(real.levels, real.label, synthetic.levels, synthetic.label, len(names))
    halves, against, sizes = [], [], []
    for _ in range(NUM_SPLITS):
        first, second = patient_halves(real.group, real.label, counts, rng)
        drawn = draw_per_class(synthetic.label, np.bincount(real.label[first], minlength=len(names)), rng)
        own = real.levels[first], real.label[first]
        size = np.bincount(own[1], minlength=len(names))
        sizes.append([*size, len(first)])
        halves.append(_per_class(*own, real.levels[second], real.label[second], len(names)))
        against.append(_per_class(*own, synthetic.levels[drawn], synthetic.label[drawn], len(names)))
    rows = []
    for k, name in enumerate((*names, ALL)):
        n_real, n_synthetic = (
            int(np.sum(side.label == k)) if name != ALL else len(side.label) for side in (real, synthetic)
        )
        floors, with_half = (np.array([split[k] for split in splits], np.float64) for splits in (halves, against))
        floor, value_at_half = (float(each.mean()) if np.isfinite(each).all() else None for each in (floors, with_half))
        value = values[k]
        rows.append(
            ImageScore(
                DISTANCE,
                name,
                value if np.isfinite(value) else None,
                value_at_half=value_at_half,
                floor=floor,
                floor_std=float(floors.std()) if floor is not None else None,
                ratio=value_at_half / floor if floor and value_at_half is not None else None,
                n_real=n_real,
                n_synthetic=n_synthetic,
                n_half=round(float(np.mean(sizes, axis=0)[k])) if value_at_half is not None else None,
                num_splits=NUM_SPLITS if floor is not None else 0,
                question="appearance",
                note=_note(name, value, floor),
            )
        )
    return [rows[-1], *rows[:-1]]


def _note(name: str, value: float, floor: float | None) -> str:
    if not np.isfinite(value):
        return f"{name}: it takes {MIN_IMAGES} real and {MIN_IMAGES} synthetic images"
    return (
        f"{name}: no floor, as the halves take {MIN_IMAGES} images each, of different patients" if floor is None else ""
    )


def _per_class(
    real: Levels, real_label: NDArray[np.int64], other: Levels, other_label: NDArray[np.int64], num_classes: int
) -> list[float]:
    """The distance of each class, NaN where a side is too small, and last that of the mean of the others' means."""
    distances, means = [], []
    for label in range(num_classes):
        first, second = real[real_label == label], other[other_label == label]
        if min(len(first), len(second)) < MIN_IMAGES:
            distances.append(np.nan)
            continue
        distances.append(spectral_distance(first, second))
        means.append((first.mean(0), second.mean(0)))
    if not means:
        return [*distances, np.nan]
    return [*distances, spectral_distance(np.stack([a for a, _ in means]), np.stack([b for _, b in means]))]
