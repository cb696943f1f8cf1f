"""Generators of known faults, as features: a class is a place, a patient shifts it, and images scatter around it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.judged import Embedded, ImageSet, Judged

NUM_FEATURES = 12
CLASSES = ("Ductal", "Lobular", "Mucinous", "Papillary")


@dataclass(frozen=True)
class Plan:
    """What is drawn: `fault` of the generator, and how easy the classes are."""

    fault: str = "honest"
    num_classes: int = 3
    per_class: int = 60  # synthetic images
    apart: float = 3.0  # of the class means, in standard deviations of the images of a patient
    patients: int = 8  # of each class, of the training images; half as many are held out
    seed: int = 0


def image_set(label: NDArray[np.int64], group: NDArray[np.str_]) -> ImageSet:
    return ImageSet(np.zeros((len(label), 2, 2, 3), np.uint8), np.arange(len(label)), label, group)


def real_side(
    plan: Plan, patients: int, name: str, means: NDArray[np.float64], rng: np.random.Generator
) -> tuple[ImageSet, NDArray[np.float64]]:
    label = np.repeat(np.arange(plan.num_classes), patients * 8)
    owner = np.repeat(np.arange(plan.num_classes * patients), 8)
    effect = rng.normal(0, 0.5, size=(plan.num_classes * patients, NUM_FEATURES))
    rows = means[label] + effect[owner] + rng.normal(size=(len(label), NUM_FEATURES))
    return image_set(label, np.array([f"{name}{patient:03d}" for patient in owner])), rows


def planted(plan: Plan, extractor: Extractor) -> tuple[Judged, Embedded]:
    rng = np.random.default_rng(plan.seed)
    means = plan.apart / 2**0.5 * np.eye(plan.num_classes, NUM_FEATURES)
    train, of_train = real_side(plan, plan.patients, "t", means, rng)
    held_out, of_held_out = real_side(plan, plan.patients // 2, "h", means, rng)
    label = np.repeat(np.arange(plan.num_classes), plan.per_class)
    shown = label.copy()
    if plan.fault == "shuffled":
        shown = rng.permutation(label)
    elif plan.fault == "one class":
        shown[:] = 0
    elif plan.fault == "two alike":  # the first two classes are drawn from both
        shown[label < 2] = rng.permutation(label[label < 2])
    elif plan.fault == "half swapped":  # of the first class, with the second
        shown[np.flatnonzero(label == 0)[::2]] = 1
    effect = rng.normal(0, 0.5, size=(len(label), NUM_FEATURES))
    rows = means[shown] + effect + rng.normal(size=(len(label), NUM_FEATURES))
    synthetic = image_set(label, np.full(len(label), ""))
    judged = Judged(train, held_out, synthetic, CLASSES[: plan.num_classes], "validation patients")
    return judged, Embedded(extractor, of_train, of_held_out, rows)


Plant = Callable[[Plan], tuple[Judged, Embedded]]


@pytest.fixture
def plant(pixels: Extractor) -> Plant:
    return lambda plan: planted(plan, pixels)


@pytest.fixture
def plan() -> type[Plan]:
    return Plan
