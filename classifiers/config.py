"""The options of a classifier's training, as a frozen dataclass that checks itself."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

ClassicalAugmentation = Literal["none", "light", "standard", "strong"]  # defined in `classifiers.transforms.augment`
OptimizerName = Literal["adamw", "sgd"]
ClassBalance = Literal["none", "weights", "sampler"]
Precision = Literal["float32", "bfloat16"]
Selection = Literal["best", "last"]


@dataclass(frozen=True)
class FitConfig:
    """The options of one training run; it costs `num_steps` steps, whatever the number of images.

    The body is what `model.pretrained_parts` names: the backbones that hold weights from a file. A model drawn from a
    seed has none, so `body_learning_rate` does nothing there.
    """

    num_steps: int = 400  # optimiser steps
    batch: int = 32  # images per step
    optimizer: OptimizerName = "adamw"  # or "sgd", with momentum 0.9
    learning_rate: float = 3e-3  # at its peak; suits small models and new layers
    body_learning_rate: float | None = None  # the same of the body; None: as all others
    freeze_body: bool = False  # the body keeps its weights and its statistics, and drops nothing
    warmup: float = 0.1  # fraction of the steps in which the learning rate rises from 0; then a cosine back to 0
    weight_decay: float = 0.05  # of matrices and kernels; biases and norms have none
    grad_clip: float = 1.0  # largest norm of all gradients together
    ema: float = 0.0  # decay per step of the averaged weights, which are then the ones evaluated and kept; 0: none
    label_smoothing: float = 0.1  # probability that is spread evenly over all classes
    mixup: float = 0.0  # α of the Beta distribution from which two images are blended; 0: off
    cutmix: float = 0.0  # α of the Beta distribution from which a box of another image is pasted; 0: off
    class_balance: ClassBalance = "none"  # "weights": rare classes weigh more; "sampler": all are drawn equally often
    classical_augmentation: ClassicalAugmentation = "standard"
    precision: Precision = "float32"  # "bfloat16": matrix products and convolutions of the training in half the bits
    eval_every: int = 50  # steps between two evaluations of the validation images
    select: Selection = "best"  # "best": the weights with the lowest validation loss, where there is one
    seed: int = 0  # of the order of the images, their augmentation, blending and dropout; not of the initial weights
    device: str = "cpu"

    def __post_init__(self) -> None:
        _require(self.num_steps >= 1, f"{self.num_steps} steps", "at least 1")
        _require(self.batch >= 2, f"batch {self.batch}", "at least 2, as batch normalisation compares images")
        _require_choice("optimizer", self.optimizer, OptimizerName)
        _require(_positive(self.learning_rate), f"learning rate {self.learning_rate}", "a positive number")
        body = self.body_learning_rate
        _require(body is None or _positive(body), f"body learning rate {body}", "a positive number, or None")
        both = self.freeze_body and body is not None
        _require(not both, f"a frozen body with the learning rate {body}", "one of the two")
        _require(0 <= self.warmup < 1, f"warm-up {self.warmup}", "a fraction of the steps, at least 0 and below 1")
        _require(0 <= self.weight_decay < math.inf, f"weight decay {self.weight_decay}", "zero or more")
        _require(_positive(self.grad_clip), f"gradient clip {self.grad_clip}", "a positive number")
        _require(0 <= self.ema < 1, f"EMA decay {self.ema}", "at least 0 and below 1")
        _require(0 <= self.label_smoothing < 1, f"label smoothing {self.label_smoothing}", "at least 0 and below 1")
        _require(0 <= self.mixup < math.inf, f"MixUp with α {self.mixup}", "zero or more")
        _require(0 <= self.cutmix < math.inf, f"CutMix with α {self.cutmix}", "zero or more")
        _require_choice("class balance", self.class_balance, ClassBalance)
        _require_choice("augmentation", self.classical_augmentation, ClassicalAugmentation)
        _require_choice("precision", self.precision, Precision)
        _require(self.eval_every >= 1, f"evaluation every {self.eval_every} steps", "at least 1")
        _require_choice("select", self.select, Selection)
        _require(self.seed >= 0, f"seed {self.seed}", "zero or more")


def _positive(number: float) -> bool:
    return 0 < number < math.inf


def _require_choice(what: str, value: str, choices: Any) -> None:
    names = get_args(choices)
    _require(value in names, f"{what} {value!r}", " or ".join(map(repr, names)))


def _require(holds: bool, seen: str, expected: str) -> None:
    if not holds:
        raise ValueError(f"{seen}; expected {expected}")
