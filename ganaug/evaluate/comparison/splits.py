"""Figures at equal numbers of images: between halves of the training patients, and against held-out patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.comparison.figures import Attempt, compute_all
from ganaug.evaluate.comparison.halves import draw_per_class, patient_halves
from ganaug.evaluate.comparison.scopes import match_counts
from ganaug.evaluate.judged import Embedded, Judged
from ganaug.evaluate.metrics.registry import METRICS

NUM_SPLITS = 10  # random partitions of the training patients into two halves
NUM_DRAWS = 4  # random draws of images that are compared with those of held-out patients

Indices = NDArray[np.int64]


@dataclass
class Repeats:
    """Figures of the random splits of one row."""

    floor: list[float] = field(default_factory=list)  # between two real halves
    at_half: list[float] = field(default_factory=list)  # between a real half and synthetic images
    n_half: list[int] = field(default_factory=list)
    reason: str = ""  # why there is no figure of the halves, if not their size
    held_out: list[float] = field(default_factory=list)  # between held-out and synthetic images
    held_out_floor: list[float] = field(default_factory=list)  # between held-out and training images
    n_held_out: int = 0
    held_out_reason: str = ""  # why there is none of these


Rows = Mapping[tuple[int | None, str], Repeats]  # by class, None for all of them, and the metric's name


def add_split(rows: Rows, judged: Judged, embedded: Embedded, patient: Indices, rng: np.random.Generator) -> None:
    """Draw two patient-disjoint halves and as many synthetic images, and add the figures between them to every row.

    Equal real images, numbers and seeds give equal halves, hence an equal floor, whatever the synthetic images.
    """
    train, made = judged.train, judged.synthetic
    num_classes = len(judged.class_names)
    first, second = patient_halves(patient, train.label, made.counts(num_classes), rng)
    drawn = draw_per_class(made.label, np.bincount(train.label[first], minlength=num_classes), rng)
    seed = int(rng.integers(2**32))
    for label in _labels(rows):
        here, there = _of_class(first, train.label, label), _of_class(second, train.label, label)
        half = embedded.train[here]
        floors = compute_all(half, embedded.train[there], seed)
        values = compute_all(half, embedded.synthetic[_of_class(drawn, made.label, label)], seed)
        for name, floor in floors.items():
            row, value = rows[label, name], values[name]
            if floor.value is not None and value.value is not None:
                row.floor.append(floor.value)
                row.at_half.append(value.value)
                row.n_half.append(len(here))
            elif len(here) >= METRICS[name].needs:
                row.reason = floor.reason or value.reason


def add_held_out(rows: Rows, judged: Judged, embedded: Embedded, rng: np.random.Generator) -> None:
    """Draw as many held-out, training and synthetic images of each class, and add the figures to every row."""
    sets = [judged.held_out, judged.synthetic, judged.train]
    out, made, train = match_counts(sets, len(judged.class_names), rng)
    seed = int(rng.integers(2**32))
    for label in _labels(rows):
        here = embedded.held_out[_of_class(out, judged.held_out.label, label)]
        synthetic = embedded.synthetic[_of_class(made, judged.synthetic.label, label)]
        real = embedded.train[_of_class(train, judged.train.label, label)]
        values, floors = compute_all(here, synthetic, seed), compute_all(here, real, seed)
        for name, value in values.items():
            _add_held_out(rows[label, name], value, floors[name], len(here))


def _add_held_out(row: Repeats, value: Attempt, floor: Attempt, size: int) -> None:
    row.n_held_out = size
    if value.value is None or floor.value is None:
        row.held_out_reason = value.reason or floor.reason
        return
    row.held_out.append(value.value)
    row.held_out_floor.append(floor.value)


def _labels(rows: Rows) -> Sequence[int | None]:
    return list(dict.fromkeys(label for label, _ in rows))


def _of_class(places: Indices, labels: Indices, label: int | None) -> Indices:
    """Those of `places` whose image is of the class; all of them for None."""
    return places if label is None else places[labels[places] == label]
