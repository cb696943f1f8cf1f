"""Phantom images of many patients, drawn once, and what judges make of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganaug.config import BREAST_CLASSES, CPU, Compute
from ganaug.evaluate.copies.judge import judge_copies
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.judged import Chapter, Embedded, ImageSet, Judged
from ganaug.evaluate.metrics.metric import Features

NUM_PATIENTS, PER_PATIENT = 150, 10

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def bench() -> ModuleType:
    """`scripts/bench_copies.py`, with the disguises."""
    import bench_copies

    return bench_copies


@dataclass(frozen=True)
class Phantom:
    """Images of all patients, in their order."""

    images: Pixels
    label: NDArray[np.int64]
    group: NDArray[np.str_]

    def of(self, first: int, last: int, most: int = 10_000) -> "Phantom":
        """Those of the patients from `first` to before `last`, the first `most` of them."""
        here = slice(first * PER_PATIENT, min(last * PER_PATIENT, first * PER_PATIENT + most))
        return Phantom(self.images[here], self.label[here], self.group[here])

    def as_set(self, *, synthetic: bool = False) -> ImageSet:
        group = np.full(len(self.group), "") if synthetic else self.group
        return ImageSet(self.images, np.arange(len(self.images)), self.label, group)


@pytest.fixture(scope="session")
def phantom(bench: ModuleType) -> Phantom:
    pool = bench.draw_phantom(NUM_PATIENTS, PER_PATIENT)
    patient = np.repeat(np.arange(NUM_PATIENTS), PER_PATIENT)
    return Phantom(pool.images, patient % len(BREAST_CLASSES), pool.group)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def colours(images: Pixels) -> Features:
    """The mean and standard deviation of each colour [n,6]."""
    flat = images.reshape(len(images), images.shape[1] * images.shape[2], 3) / 255
    return np.concatenate([flat.mean(1), flat.std(1)], axis=1)


def embed(judged: Judged, extract: Callable[[Pixels], Features] = colours) -> Embedded:
    extractor = Extractor("colours", "d" * 64, "mean and standard deviation", lambda img: img)
    sets = (judged.train, judged.held_out, judged.synthetic)
    return Embedded(extractor, *(extract(each.pixels()) for each in sets))


Judge = Callable[..., Chapter]


@pytest.fixture
def judge(one_thread: None) -> Judge:
    """Judge synthetic images by phantom images of other patients; with the classes' names."""

    def judge_sets(train: Phantom, held_out: Phantom, synthetic: Phantom, compute: Compute = CPU) -> Chapter:
        judged = Judged(
            train.as_set(), held_out.as_set(), synthetic.as_set(synthetic=True), BREAST_CLASSES, "validation patients"
        )
        return judge_copies(judged, embed(judged), compute=compute, seed=0)

    return judge_sets
