"""Classifiers that are built for a data set and trained on images of one of its folds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from classifiers.config import FitConfig
from classifiers.fit import FitResult, fit
from classifiers.names import find_entry, split_name
from classifiers.registry import CLASSIFIERS, build_seeded
from ganaug.data.dataset import DataSet
from ganaug.data.mixture import Mixture
from ganaug.provenance import digest_of_bytes


@dataclass(frozen=True)
class TrainedModel:
    """A classifier after its training, and how that went."""

    model: nn.Module
    initial_weights: str  # digest of the weights that the training began with
    result: FitResult


def build_classifier(dataset: DataSet, name: str, seed: int, weights: Path | None = None) -> nn.Module:
    """A classifier of the data set's classes and resolution, its weights drawn with `seed` or read from a file.

    Raises ValueError, RuntimeError or OSError for an unknown name, for a classifier that reads more than images, and
    for weights that cannot be read or do not fit.
    """
    table = dataset.table
    if split_name(name)[0] in CLASSIFIERS and find_entry(name, CLASSIFIERS)[0].inputs != "image":
        raise ValueError(
            f"{name} reads a patient's tiles and expression; expected a classifier of images; "
            f"use `ganaug train-classifier --classifier {split_name(name)[0]}`"
        )
    return build_seeded(name, table.num_classes, seed, image_size_px=table.resolution_px, weights=weights)


def train_classifier(
    dataset: DataSet,
    fold: int,
    name: str,
    images: Mixture,
    config: FitConfig,
    *,
    seed: int,
    weights: Path | None = None,
) -> TrainedModel:
    """Train a new classifier on `images`, and choose its weights by the real validation images of the fold."""
    model = build_classifier(dataset, name, seed, weights)
    initial = digest_of_bytes(tensor.numpy().tobytes() for tensor in model.state_dict().values())
    validation = images_of(dataset, fold, dataset.val(fold))
    result = fit(model, images, images.labels, val=(validation, validation.labels), config=config)
    return TrainedModel(model, initial, result)


def images_of(dataset: DataSet, fold: int, indices: NDArray[np.int64]) -> Mixture:
    """Images of the data set, as the fold has them, with their labels."""
    return Mixture.of([(dataset.images(fold), indices, dataset.table.label[indices])])
