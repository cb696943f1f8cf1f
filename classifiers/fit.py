"""Training a classifier for a fixed number of optimiser steps."""

import copy
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from classifiers.config import FitConfig
from classifiers.predict import predict_logits
from classifiers.samples import Batch, Samples, read_samples
from classifiers.scores import Labels
from classifiers.transforms import augment


@dataclass(frozen=True)
class FitResult:
    """The record of a training run; the weights that it chose are in the model."""

    history: list[
        dict[str, float]
    ]  # step, train_loss (mean since the last row), with `val` also val_loss, val_accuracy
    best_step: int  # after which the model had the weights that it has now
    seconds: float


def fit(
    model: nn.Module,
    images: Samples,
    labels: Labels,
    *,
    val: tuple[Samples, Labels] | None = None,
    config: FitConfig,
    progress: bool = False,
    order: NDArray[np.int64] | None = None,
) -> FitResult:
    """Train the model in place for exactly `config.num_steps` steps of AdamW on the unweighted cross-entropy.

    `images` u8 [N,H,W,3], or a reader indexed by arrays, of images or of a model's own batches; `labels` i64 [N] in
    [0,K). `order` i64 [num_steps,batch] says which images each step sees; by default it walks through one random
    permutation after another (`epoch_order`). With `val`, and `config.select` "best", the model ends with the weights
    of the lowest validation loss, which is computed every `config.eval_every` steps and at the end, the earliest on a
    tie; else with the last ones. It ends on `config.device`, in evaluation mode.

    The same model, images and config give the same bytes on the same machine's CPU; the global generators are left as
    they were.

    Raises ValueError for labels or an order that do not fit the images, and where the loss stops being finite;
    TypeError for images that are not uint8 or labels that are not int64.
    """
    num_classes = int(model.num_classes)  # type: ignore[arg-type]
    _check_labels("training", images, labels, num_classes)
    if val is not None:
        _check_labels("validation", *val, num_classes)
    if order is None:
        order = epoch_order(len(images), config.num_steps, config.batch, config.seed)
    _check_order(order, len(images), config)

    started = time.perf_counter()
    device = torch.device(config.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)  # dropout inside the models draws from the global generator
        run = _Run(model.to(device), val, config)
        steps: Iterable[NDArray[np.int64]] = order
        if progress:
            from tqdm import tqdm

            steps = tqdm(order, desc="fit", unit="step", disable=None)  # None: off when not a terminal
        for indices in steps:
            run.step(read_samples(images, indices, device), torch.from_numpy(labels[indices]).to(device))
    if run.best_weights is not None:
        model.load_state_dict(run.best_weights)
    model.eval()
    return FitResult(run.history, run.best_step, time.perf_counter() - started)


def epoch_order(num_images: int, num_steps: int, batch: int, seed: int) -> NDArray[np.int64]:
    """Indices i64 [num_steps,batch]: random permutations of all images end to end, cut into batches of equal size."""
    generator = np.random.default_rng(seed)
    num_epochs = math.ceil(num_steps * batch / num_images)
    walk = np.concatenate([generator.permutation(num_images) for _ in range(num_epochs)])
    return walk[: num_steps * batch].reshape(num_steps, batch)


class _Run:
    """The state of one training run: optimiser, schedule, randomness, history and the best weights so far."""

    def __init__(self, model: nn.Module, val: tuple[Samples, Labels] | None, config: FitConfig) -> None:
        self.model, self.val, self.config = model.train(), val, config
        self.optimizer = torch.optim.AdamW(_decay_groups(model, config.weight_decay), lr=config.learning_rate)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_factor(step, config)
        )
        self.generator = torch.Generator().manual_seed(config.seed)
        self.num_steps = 0  # done so far
        self.losses: list[Tensor] = []  # since the last row of the history, left on the device
        self.history: list[dict[str, float]] = []
        self.best_step, self.best_loss = 0, math.inf
        self.best_weights: dict[str, Tensor] | None = None

    def step(self, samples: Tensor | Batch, labels: Tensor) -> None:
        x = samples
        if isinstance(samples, Tensor):
            x = augment(samples, self.config.classical_augmentation, self.generator)
        loss = F.cross_entropy(self.model(x), labels, label_smoothing=self.config.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        self.optimizer.step()
        self.schedule.step()
        self.losses.append(loss.detach())
        self.num_steps += 1
        if self.num_steps % self.config.eval_every == 0 or self.num_steps == self.config.num_steps:
            self.evaluate()

    def evaluate(self) -> None:
        """Add a row to the history, and keep the weights where they are the best so far."""
        row = {"step": float(self.num_steps), "train_loss": torch.stack(self.losses).mean().item()}
        self.losses.clear()
        if not math.isfinite(row["train_loss"]):
            raise ValueError(
                f"the training loss is {row['train_loss']} at step {self.num_steps}; expected a finite number; "
                f"lower the learning rate, {self.config.learning_rate:g}"
            )
        if self.val is not None:
            row |= _validate(self.model, *self.val, self.config)
        self.history.append(row)
        if self.val is None or self.config.select == "last":
            self.best_step = self.num_steps
        elif row["val_loss"] < self.best_loss:
            self.best_step, self.best_loss = self.num_steps, row["val_loss"]
            self.best_weights = copy.deepcopy(self.model.state_dict())


def learning_rate_factor(step: int, config: FitConfig) -> float:
    """The factor in (0, 1] on the peak learning rate at `step`, from 0: a linear rise, then half a cosine down."""
    num_warmup = round(config.warmup * config.num_steps)
    if step < num_warmup:
        return (step + 1) / (num_warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - num_warmup) / max(config.num_steps - num_warmup, 1)))


def _decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _validate(model: nn.Module, images: Samples, labels: Labels, config: FitConfig) -> dict[str, float]:
    logits = predict_logits(model, images, batch=2 * config.batch, device=config.device)
    truth = torch.from_numpy(labels)
    accuracy = (logits.argmax(1) == truth).float().mean().item()
    return {"val_loss": F.cross_entropy(logits, truth).item(), "val_accuracy": accuracy}


def _check_labels(role: str, images: Samples, labels: Labels, num_classes: int) -> None:
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.ndim != 1:
        raise TypeError(f"{role} labels are {type(labels).__name__}; expected an int64 array [N]")
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(
            f"{len(images)} {role} images with {len(labels)} labels; expected at least one image, and a label for each"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"{role} labels run from {labels.min()} to {labels.max()}; expected 0 to {num_classes - 1}")


def _check_order(order: NDArray[np.int64], num_images: int, config: FitConfig) -> None:
    if order.shape != (config.num_steps, config.batch):
        raise ValueError(f"an order of shape {list(order.shape)}; expected [{config.num_steps}, {config.batch}]")
    if order.min() < 0 or order.max() >= num_images:
        raise ValueError(f"an order with images {order.min()} to {order.max()}; expected 0 to {num_images - 1}")
