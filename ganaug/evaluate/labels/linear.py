"""Linear classifiers on features, whose classes count alike and whose L2 penalty is chosen on other patients."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.probe import LinearProbe, ProbeConfig, fit_probe
from ganaug.evaluate.metrics.metric import Features

NUM_FOLDS = 3  # of the patients, at most, over which a penalty is chosen
CONFIG = ProbeConfig()
USUAL_PENALTY = 0.03  # where too few patients are there to choose: the middle of the grid
NUM_ITERATIONS = 100  # for one penalty, that begins from nothing; as many as for the whole grid

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Features of images with their classes, 0 to K − 1, and patients; synthetic images have none: empty text."""

    features: Features  # [n,D]
    label: Labels  # [n]
    group: NDArray[np.str_]  # [n]

    def at(self, positions: NDArray[np.int64] | NDArray[np.bool_]) -> "Labelled":
        """The images at these positions."""
        return Labelled(self.features[positions], self.label[positions], self.group[positions])

    def of_classes(self, labels: Labels) -> "Labelled":
        """The images of these classes, given in ascending order and numbered by their place in it."""
        chosen = self.at(np.isin(self.label, labels))
        return Labelled(chosen.features, np.searchsorted(labels, chosen.label).astype(np.int64), chosen.group)


def fit_by_patients(images: Labelled, num_classes: int, rng: np.random.Generator) -> LinearProbe:
    """A probe on all images, with the penalty of the lowest validation loss over folds of the patients.

    Every class must have an image.
    """
    penalty = _choose_penalty(images, num_classes, rng)
    rows, label = _balanced(images)
    first = rows[:1][None], label[:1]  # one penalty only, so nothing is chosen by it
    config = ProbeConfig((penalty,), NUM_ITERATIONS)
    return fit_probe(rows, label, val=first, num_classes=num_classes, config=config).probe


def fit_by_validation(images: Labelled, validation: Labelled, num_classes: int) -> LinearProbe:
    """A probe on images that have no patients, with the penalty of the lowest loss on `validation`."""
    rows, label = _balanced(images)
    val_rows, val_label = _balanced(validation)
    return fit_probe(rows, label, val=(val_rows[None], val_label), num_classes=num_classes, config=CONFIG).probe


def predict(probe: LinearProbe, features: Features) -> Labels:
    """The likeliest class of each image, [n]."""
    with torch.inference_mode():
        predicted: Labels = probe(torch.from_numpy(features.astype(np.float32))).argmax(1).numpy()
    return predicted


def _choose_penalty(images: Labelled, num_classes: int, rng: np.random.Generator) -> float:
    losses = []
    for is_val in _folds(images, num_classes, rng):
        rows, label = _balanced(images.at(~is_val))
        val_rows, val_label = _balanced(images.at(is_val))
        val = val_rows[None], val_label
        history = fit_probe(rows, label, val=val, num_classes=num_classes, config=CONFIG).history
        losses.append([row["val_loss"] for row in history])
    if not losses:
        return USUAL_PENALTY
    return CONFIG.penalties[int(np.mean(losses, axis=0).argmin())]  # the strongest of equals


def _folds(images: Labelled, num_classes: int, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """The images [n] of each fold of the patients, dealt class by class; folds without which a class has none go."""
    names, owner = np.unique(images.group, return_inverse=True)
    counts = np.zeros((len(names), num_classes), np.int64)
    np.add.at(counts, (owner, images.label), 1)
    main_class = counts.argmax(1)
    num_folds = min(NUM_FOLDS, int(np.bincount(main_class, minlength=num_classes).min()))
    if num_folds < 2:
        return []
    fold = np.zeros(len(names), np.int64)
    for label in range(num_classes):
        members = rng.permutation(np.flatnonzero(main_class == label))
        fold[members] = np.arange(len(members)) % num_folds
    parts = [fold[owner] == number for number in range(num_folds)]
    return [part for part in parts if len(np.unique(images.label[~part])) == num_classes]


def _balanced(images: Labelled) -> tuple[NDArray[np.float32], Labels]:
    """Features f32 and labels with the images of rarer classes repeated, until all classes have as many."""
    size = int(np.bincount(images.label).max())
    rows = np.concatenate([np.resize(np.flatnonzero(images.label == label), size) for label in np.unique(images.label)])
    return images.features[rows].astype(np.float32), images.label[rows]
