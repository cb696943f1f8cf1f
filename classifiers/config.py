"""The options of a classifier's training, as a frozen dataclass that checks itself."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

ClassicalAugmentation = Literal["none", "standard", "strong"]  # defined in `classifiers.transforms.augment`


@dataclass(frozen=True)
class FitConfig:
    """The options of one training run; it costs `num_steps` steps, whatever the number of images."""

    num_steps: int = 400  # optimiser steps
    batch: int = 32  # images per step
    learning_rate: float = 3e-3  # at its peak; suits the small models, 1e-4 suits pretrained weights
    warmup: float = 0.1  # fraction of the steps in which the learning rate rises from 0; then a cosine back to 0
    weight_decay: float = 0.05  # of matrices and kernels; biases and norms have none
    label_smoothing: float = 0.1
    grad_clip: float = 1.0  # largest norm of all gradients together
    classical_augmentation: ClassicalAugmentation = "standard"
    eval_every: int = 50  # steps between two evaluations of the validation images
    select: Literal["best", "last"] = "best"  # "best": the weights with the lowest validation loss, where there is one
    seed: int = 0  # of the order of the images, their classical augmentation and dropout; not of the initial weights
    device: str = "cpu"

    def __post_init__(self) -> None:
        _require(self.num_steps >= 1, f"{self.num_steps} steps", "at least 1")
        _require(self.batch >= 2, f"batch {self.batch}", "at least 2, as batch normalisation compares images")
        _require(_positive(self.learning_rate), f"learning rate {self.learning_rate}", "a positive number")
        _require(0 <= self.warmup < 1, f"warm-up {self.warmup}", "a fraction of the steps, at least 0 and below 1")
        _require(0 <= self.weight_decay < math.inf, f"weight decay {self.weight_decay}", "zero or more")
        _require(0 <= self.label_smoothing < 1, f"label smoothing {self.label_smoothing}", "at least 0 and below 1")
        _require(_positive(self.grad_clip), f"gradient clip {self.grad_clip}", "a positive number")
        levels = get_args(ClassicalAugmentation)
        _require(
            self.classical_augmentation in levels,
            f"augmentation {self.classical_augmentation!r}",
            " or ".join(map(repr, levels)),
        )
        _require(self.eval_every >= 1, f"evaluation every {self.eval_every} steps", "at least 1")
        _require(self.select in ("best", "last"), f"select {self.select!r}", "'best' or 'last'")


def _positive(number: float) -> bool:
    return 0 < number < math.inf


def _require(holds: bool, seen: str, expected: str) -> None:
    if not holds:
        raise ValueError(f"{seen}; expected {expected}")
