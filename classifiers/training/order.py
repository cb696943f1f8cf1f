"""The order in which a training sees its images, the weight of each class, and the checks of both."""

import math

import numpy as np
from numpy.typing import NDArray

from classifiers.config import ClassBalance, FitConfig
from classifiers.samples import Samples
from classifiers.scores import Labels


def make_order(labels: Labels, num_steps: int, batch: int, seed: int, balance: ClassBalance) -> NDArray[np.int64]:
    """Indices i64 [num_steps,batch] of the images of each step."""
    if balance == "sampler":
        return balanced_order(labels, num_steps, batch, seed)
    return epoch_order(len(labels), num_steps, batch, seed)


def epoch_order(num_images: int, num_steps: int, batch: int, seed: int) -> NDArray[np.int64]:
    """Indices i64 [num_steps,batch]: random permutations of all images end to end, cut into batches of equal size."""
    return _walk(num_images, num_steps * batch, np.random.default_rng(seed)).reshape(num_steps, batch)


def balanced_order(labels: Labels, num_steps: int, batch: int, seed: int) -> NDArray[np.int64]:
    """Indices i64 [num_steps,batch] in which all classes come equally often, to one image, in every stretch.

    The classes come in random permutations end to end, and so do the images of each class: those of a rare class come
    back sooner, and none comes a second time before all others of its class.
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    classes = _walk(len(members), num_steps * batch, generator)
    order = np.empty(num_steps * batch, dtype=np.int64)
    for number, images in enumerate(members):
        places = np.flatnonzero(classes == number)
        order[places] = images[_walk(len(images), len(places), generator)]
    return order.reshape(num_steps, batch)


def class_weights(labels: Labels, num_classes: int) -> NDArray[np.float32]:
    """A weight for each class, f32 [num_classes], inverse to its number of images, with mean 1 over the images.

    A class without images has weight 0.
    """
    counts = np.bincount(labels, minlength=num_classes)
    scale = len(labels) / np.count_nonzero(counts)
    return np.divide(scale, counts, out=np.zeros(num_classes), where=counts > 0).astype(np.float32)


def _walk(num_items: int, length: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Random permutations of 0 to num_items - 1 end to end, cut at `length`."""
    num_rounds = max(math.ceil(length / num_items), 1)
    return np.concatenate([generator.permutation(num_items) for _ in range(num_rounds)])[:length].astype(np.int64)


def check_labels(role: str, images: Samples, labels: Labels, num_classes: int) -> None:
    """Raise TypeError or ValueError where the labels are not i64 [N] in [0,num_classes), one for each image."""
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.ndim != 1:
        raise TypeError(f"{role} labels are {type(labels).__name__}; expected an int64 array [N]")
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(
            f"{len(images)} {role} images with {len(labels)} labels; expected at least one image, and a label for each"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"{role} labels run from {labels.min()} to {labels.max()}; expected 0 to {num_classes - 1}")


def check_order(order: NDArray[np.int64], num_images: int, config: FitConfig) -> None:
    """Raise ValueError where an order that was given is not i64 [num_steps,batch] of images that are there."""
    if config.class_balance == "sampler":
        raise ValueError("an order and a balanced sampler; expected one of them; leave out the order")
    if order.shape != (config.num_steps, config.batch):
        raise ValueError(f"an order of shape {list(order.shape)}; expected [{config.num_steps}, {config.batch}]")
    if order.min() < 0 or order.max() >= num_images:
        raise ValueError(f"an order with images {order.min()} to {order.max()}; expected 0 to {num_images - 1}")
