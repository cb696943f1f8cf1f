"""Training a classifier for a fixed number of optimiser steps."""

import hashlib
import math
import time
from collections.abc import Iterator
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
from classifiers.training.blend import Targets, blend
from classifiers.training.optimizer import (
    AveragedModel,
    Randomness,
    learning_rate_factor,
    make_optimizer,
    parts_to_freeze,
    set_learning_rate,
)
from classifiers.training.order import check_labels, check_order, class_weights, make_order
from classifiers.training.state import (
    TrainingState,
    check_config,
    config_values,
    load_model,
    load_optimizer,
    optimizer_tensors,
    with_prefix,
    without_prefix,
)
from classifiers.transforms import augment


@dataclass(frozen=True)
class FitRecord:
    """How a training stands after a step; None where there is no validation."""

    step: int
    train_loss: float  # mean since the last record, as it is minimised: smoothed, weighted, of blended images
    learning_rate: float  # of that step, of all but the body
    val_loss: float | None = None  # cross-entropy of the validation images
    val_accuracy: float | None = None

    def to_row(self) -> dict[str, float]:
        """The record as JSON has it, without what is None."""
        return {name: float(value) for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class FitResult:
    """The record of a training run; the weights that it chose are in the model."""

    history: list[dict[str, float]]  # one row per record, see `FitRecord.to_row`
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
    """Train the model in place from start to end; see `Training` for what it takes, does and raises."""
    training = Training(model, images, labels, val=val, config=config, order=order)
    if progress:
        from tqdm import tqdm

        for _ in tqdm(range(config.num_steps), desc="fit", unit="step", disable=None):  # None: on a terminal only
            training.step()
    for _ in training.records():
        pass
    return training.result()


class Training:
    """A training of exactly `config.num_steps` optimiser steps, in place, which its caller drives and may stop.

    `samples` u8 [N,H,W,3], or a reader indexed by arrays, of images or of a model's own batches; `labels` i64 [N] in
    [0,K). `order` i64 [num_steps,batch] says which images each step sees; by default `make_order` does. With `val`,
    and `config.select` "best", the model ends with the weights of the lowest validation loss, which is computed every
    `config.eval_every` steps and at the end, the earliest on a tie; else with the last ones. No other images decide
    anything. With `config.ema` these are averaged weights. The model ends on `config.device`, in evaluation mode.

    The same model, images and config give the same bytes on the same machine's CPU, also when the training was
    stopped after any step and resumed in another object. torch's global generators are left as they were.

    Raises ValueError for labels or an order that do not fit the images, for a frozen body where the model has none,
    and where the loss stops being finite; TypeError for images that are not uint8 or labels that are not int64.

    >>> from classifiers.registry import build_seeded
    >>> images, labels = np.zeros((8, 32, 32, 3), dtype=np.uint8), np.arange(8) % 2
    >>> model = build_seeded("dalaresnet50_small", 2, 0, image_size_px=32)
    >>> training = Training(model, images, labels, config=FitConfig(num_steps=4, batch=4, eval_every=2))
    >>> [record.step for record in training.records()]
    [2, 4]
    >>> training.result().best_step
    4
    """

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        labels: Labels,
        *,
        val: tuple[Samples, Labels] | None = None,
        config: FitConfig,
        order: NDArray[np.int64] | None = None,
    ) -> None:
        num_classes = int(model.num_classes)  # type: ignore[arg-type]
        check_labels("training", samples, labels, num_classes)
        if val is not None:
            check_labels("validation", *val, num_classes)
        if order is not None:
            check_order(order, len(samples), config)
        self.samples, self.labels, self.val, self.config = samples, labels, val, config
        self.device = torch.device(config.device)
        self.order = (
            make_order(labels, config.num_steps, config.batch, config.seed, config.class_balance)
            if order is None
            else order
        )
        self.class_weights = (
            torch.from_numpy(class_weights(labels, num_classes)).to(self.device)
            if config.class_balance == "weights"
            else None
        )
        self.frozen = parts_to_freeze(model) if config.freeze_body else []
        self.held = [weight for part in self.frozen for weight in part.parameters() if weight.requires_grad]
        for weight in self.held:
            weight.requires_grad_(False)
        self.model = model.to(self.device)
        self._set_mode()
        self.optimizer = make_optimizer(model, config)
        self.average = AveragedModel(model, config.ema) if config.ema else None
        self.generator = torch.Generator().manual_seed(config.seed)  # of the augmentation
        self.randomness = Randomness(config.seed, self.device)
        self.num_steps = 0  # done so far
        self.seconds = 0.0
        self.losses: list[Tensor] = []  # since the last record, left on the device
        self.history: list[FitRecord] = []
        self.best_step, self.best_loss = 0, math.inf
        self.best_weights: dict[str, Tensor] | None = None

    def records(self) -> Iterator[FitRecord]:
        """Train to the end, with a record every `config.eval_every` steps and after the last one."""
        while self.num_steps < self.config.num_steps:
            record = self.step()
            if record is not None:
                yield record

    def step(self) -> FitRecord | None:
        """Take one step; give the record where one is due. Raises ValueError after the last step."""
        if self.num_steps >= self.config.num_steps:
            raise ValueError(f"all {self.num_steps} steps are done; expected fewer; call result()")
        started = time.perf_counter()
        indices = self.order[self.num_steps]
        labels = torch.from_numpy(self.labels[indices]).to(self.device)
        x, targets = self._as_input(read_samples(self.samples, indices, self.device), labels)
        if not self.model.training or any(part.training for part in self.frozen):
            self._set_mode()  # whoever drives the training may have predicted in between
        half = self.config.precision == "bfloat16"
        with self.randomness.drawing(), torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            logits = self.model(x)
        loss = targets.loss(logits.float(), self.config.label_smoothing, self.class_weights)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip, foreach=True)
        set_learning_rate(self.optimizer, self.num_steps, self.config)
        self.optimizer.step()
        self.losses.append(loss.detach())
        self.num_steps += 1
        if self.average is not None:
            self.average.update(self.model, self.num_steps)
        is_due = self.num_steps % self.config.eval_every == 0 or self.num_steps == self.config.num_steps
        record = self._record() if is_due else None
        self.seconds += time.perf_counter() - started
        return record

    def result(self) -> FitResult:
        """Put the chosen weights into the model, in evaluation mode; raises ValueError before the last step."""
        if self.num_steps < self.config.num_steps:
            raise ValueError(
                f"{self.num_steps} of {self.config.num_steps} steps are done; expected all; iterate over records()"
            )
        chosen = self.best_weights or (self.average.model.state_dict() if self.average else None)
        if chosen is not None:
            self.model.load_state_dict(chosen)
        for weight in self.held:
            weight.requires_grad_(True)
        self.model.eval()
        return FitResult([record.to_row() for record in self.history], self.best_step, self.seconds)

    def state(self) -> TrainingState:
        """Copies of all that `resume` needs in another object, made for the same model, images and config."""
        tensors = with_prefix("model", self.model.state_dict())
        tensors |= with_prefix("optimizer", optimizer_tensors(self.optimizer))
        tensors["random.augmentation"] = self.generator.get_state()
        tensors |= with_prefix("random", self.randomness.states)
        if self.average is not None:
            tensors |= with_prefix("average", self.average.model.state_dict())
        if self.best_weights is not None:
            tensors |= with_prefix("best", self.best_weights)
        if self.losses:
            tensors["losses"] = torch.stack(self.losses).cpu()
        values: dict[str, Any] = {
            "step": self.num_steps,
            "best_step": self.best_step,
            "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
            "seconds": self.seconds,
            "history": [vars(record).copy() for record in self.history],
            "config": config_values(self.config),
            "images": self._digest(),
        }
        return TrainingState(tensors, values)

    def resume(self, state: TrainingState) -> None:
        """Go on from `state`; raises ValueError where it is of other options, other images or another model."""
        tensors, values = state.tensors, state.values
        check_config(values["config"], self.config)
        if values["images"] != self._digest():
            raise ValueError(
                "the state is of a training on other labels or in another order; expected the same; "
                "resume with the images that it began with, or train from the start"
            )
        load_model(self.model, without_prefix("model", tensors))
        if self.average is not None:
            load_model(self.average.model, without_prefix("average", tensors))
        load_optimizer(self.optimizer, without_prefix("optimizer", tensors))
        self.generator.set_state(tensors["random.augmentation"])
        for device in self.randomness.states.keys() & without_prefix("random", tensors):  # a GPU may be new
            self.randomness.states[device] = tensors[f"random.{device}"]
        best = without_prefix("best", tensors)
        self.best_weights = {name: value.to(self.device, copy=True) for name, value in best.items()} or None
        self.losses = list(tensors["losses"].to(self.device)) if "losses" in tensors else []
        self.history = [FitRecord(**row) for row in values["history"]]
        self.num_steps, self.best_step, self.seconds = values["step"], values["best_step"], values["seconds"]
        self.best_loss = math.inf if values["best_loss"] is None else values["best_loss"]

    def _as_input(self, samples: Tensor | Batch, labels: Tensor) -> tuple[Tensor | Batch, Targets]:
        if isinstance(samples, Tensor):
            images = augment(samples, self.config.classical_augmentation, self.generator)
            return blend(images, labels, self.config, self.num_steps)
        if self.config.mixup or self.config.cutmix:
            raise ValueError("samples that are no images; expected no MixUp and no CutMix; set both to 0")
        return samples, Targets(labels)

    def _set_mode(self) -> None:
        """Training mode, but for what is frozen."""
        self.model.train()
        for part in self.frozen:
            part.eval()

    def _record(self) -> FitRecord:
        """Add a record to the history, and keep the weights where they are the best so far."""
        loss = torch.stack(self.losses).mean().item()
        self.losses.clear()
        if not math.isfinite(loss):
            raise ValueError(
                f"the training loss is {loss} at step {self.num_steps}; expected a finite number; "
                f"lower the learning rate, {self.config.learning_rate:g}"
            )
        judged = self.model if self.average is None else self.average.model
        val_loss, val_accuracy = (None, None) if self.val is None else _validate(judged, *self.val, self.config)
        rate = self.config.learning_rate * learning_rate_factor(self.num_steps - 1, self.config)
        record = FitRecord(self.num_steps, loss, rate, val_loss, val_accuracy)
        self.history.append(record)
        if val_loss is None or self.config.select == "last":
            self.best_step = self.num_steps
        elif val_loss < self.best_loss:
            self.best_step, self.best_loss = self.num_steps, val_loss
            self.best_weights = {name: value.detach().clone() for name, value in judged.state_dict().items()}
        return record

    def _digest(self) -> str:
        """Of the labels and the order; the pixels are the caller's to know."""
        return hashlib.sha256(self.labels.tobytes() + self.order.tobytes()).hexdigest()


def _validate(model: nn.Module, images: Samples, labels: Labels, config: FitConfig) -> tuple[float, float]:
    """Cross-entropy and accuracy."""
    logits = predict_logits(model, images, batch=2 * config.batch, device=config.device)
    truth = torch.from_numpy(labels)
    return F.cross_entropy(logits, truth).item(), (logits.argmax(1) == truth).float().mean().item()
