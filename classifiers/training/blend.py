"""Two images in one, with both their labels: MixUp and CutMix."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from classifiers.config import FitConfig


@dataclass(frozen=True)
class Targets:
    """The labels of a batch: image i is of class `labels[i]` in the fraction `weight`, of `others[i]` in the rest."""

    labels: Tensor  # i64 [N]
    others: Tensor | None = None  # i64 [N]; None: no image is blended
    weight: float = 1.0

    def loss(self, logits: Tensor, label_smoothing: float, class_weights: Tensor | None) -> Tensor:
        """Mean cross-entropy over the images, each class times its weight in `class_weights` [K].

        The sum is divided by the number of images and not by that of the weights, so that a batch of common classes
        weighs less than one of rare ones. Smoothing gives each label 1 - s + s/K and all others s/K, as Szegedy et
        al. 2016, "Rethinking the Inception architecture".
        """
        first = _cross_entropy(logits, self.labels, label_smoothing, class_weights)
        if self.others is None:
            return first
        return self.weight * first + (1 - self.weight) * _cross_entropy(
            logits, self.others, label_smoothing, class_weights
        )


def blend(images: Tensor, labels: Tensor, config: FitConfig, step: int) -> tuple[Tensor, Targets]:
    """Float images [N,3,H,W] with those of the same batch in another order, by MixUp or CutMix, or as they are.

    With both on, each step takes one of them with probability ½. All draws depend on the seed and the step alone.
    MixUp: λ x + (1 - λ) x', λ from Beta(α, α) per batch. Source: Zhang et al. 2018, "mixup: Beyond empirical risk
    minimization". CutMix: a box of 1 - λ of the area, anywhere, from the other image; where the border cuts the box,
    the labels weigh what is left. Source: Yun et al. 2019, "CutMix".
    """
    if not (config.mixup or config.cutmix):
        return images, Targets(labels)
    generator = np.random.default_rng([config.seed, step])
    partner = torch.from_numpy(generator.permutation(len(images))).to(images.device)
    takes_mixup = generator.random() < 0.5 if config.mixup and config.cutmix else config.mixup > 0
    alpha = config.mixup if takes_mixup else config.cutmix
    weight = float(generator.beta(alpha, alpha))
    if takes_mixup:
        return torch.lerp(images[partner], images, weight), Targets(labels, labels[partner], weight)
    top, bottom, left, right = draw_box(images.shape[2], images.shape[3], 1 - weight, generator)
    pasted = images.clone()
    pasted[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    area = (bottom - top) * (right - left) / (images.shape[2] * images.shape[3])
    return pasted, Targets(labels, labels[partner], 1 - area)


def draw_box(height: int, width: int, area: float, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a box of this fraction of the area round a random pixel, cut at the border."""
    ends: list[int] = []
    for side in (height, width):
        centre, half = int(generator.integers(side)), round(side * area**0.5) // 2
        ends += [max(centre - half, 0), min(centre + half, side)]
    return ends[0], ends[1], ends[2], ends[3]


def _cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float, class_weights: Tensor | None) -> Tensor:
    if class_weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    losses = F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
    return (losses * class_weights[labels]).mean()
