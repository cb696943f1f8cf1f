"""What moves the weights: the optimiser and its two learning rates, the schedule, and the averaged weights."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from classifiers.config import FitConfig

MOMENTUM = 0.9


def pretrained_parts(model: nn.Module) -> tuple[str, ...]:
    """The parts of `model.backbones` that hold weights from a file; `classifiers.weights.load_weights` names them."""
    parts: tuple[str, ...] = getattr(model, "pretrained_parts", ())
    return parts


def parts_to_freeze(model: nn.Module) -> list[nn.Module]:
    """The modules of the body; raises ValueError where the model has none."""
    parts = pretrained_parts(model)
    if not parts:
        raise ValueError(
            "a frozen body in a model without pretrained parts; expected weights from a file; "
            "load them, or train all of it"
        )
    return [model.get_submodule(part) for part in parts]


def make_optimizer(model: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """AdamW or SGD over the parameters that move: body and rest, with weight decay for matrices and kernels alone.

    Each group keeps the peak of its learning rate as `peak`; see `set_learning_rate`. Source: Loshchilov & Hutter 2019,
    "Decoupled weight decay regularization"; Sutskever et al. 2013 for SGD's momentum.
    """
    parts = pretrained_parts(model)
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_body = name.startswith(tuple(f"{part}." for part in parts))
            groups.setdefault((is_body, parameter.ndim > 1), []).append(parameter)
    rates = {False: config.learning_rate, True: config.body_learning_rate or config.learning_rate}
    options: list[dict[str, Any]] = [
        {
            "params": groups[is_body, decays],
            "weight_decay": config.weight_decay if decays else 0.0,
            "peak": rates[is_body],
        }
        for is_body, decays in sorted(groups, reverse=True)
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(options, lr=config.learning_rate, momentum=MOMENTUM)
    return torch.optim.AdamW(options, lr=config.learning_rate)


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, config: FitConfig) -> None:
    factor = learning_rate_factor(step, config)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def learning_rate_factor(step: int, config: FitConfig) -> float:
    """The factor in (0, 1] on the peak learning rate at `step`, from 0: a linear rise, then half a cosine down.

    Source: Loshchilov & Hutter 2017, "SGDR", without restarts; the rise as Goyal et al. 2017.
    """
    num_warmup = round(config.warmup * config.num_steps)
    if step < num_warmup:
        return (step + 1) / (num_warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - num_warmup) / max(config.num_steps - num_warmup, 1)))


class AveragedModel:
    """A copy of a model whose weights are the exponential moving average of the model's; buffers are copied.

    Our choice: step t, from 1, decays by min(decay, (1 + t)/(10 + t)), as TensorFlow's ExponentialMovingAverage, so
    that a short training forgets the initial weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = copy.deepcopy(model).eval(), decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)
        for own, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(buffer)


class Randomness:
    """A state of torch's global generators of our own: what is drawn inside `drawing` leaves theirs as it was.

    Dropout inside the models draws from the global generators.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.cuda = device if device.type == "cuda" else None
        with torch.random.fork_rng(devices=[self.cuda] if self.cuda else []):
            torch.manual_seed(seed)
            self.states = self._read()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        theirs = self._read()
        self._write(self.states)
        try:
            yield
        finally:
            self.states = self._read()
            self._write(theirs)

    def _read(self) -> dict[str, Tensor]:
        states = {"cpu": torch.random.get_rng_state()}
        if self.cuda is not None:
            states["cuda"] = torch.cuda.get_rng_state(self.cuda)
        return states

    def _write(self, states: dict[str, Tensor]) -> None:
        torch.random.set_rng_state(states["cpu"])
        if self.cuda is not None:
            torch.cuda.set_rng_state(states["cuda"], self.cuda)
