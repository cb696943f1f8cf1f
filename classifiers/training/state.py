"""The state of a training that was stopped, as tensors and JSON values, and what is checked before it is resumed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from classifiers.config import FitConfig


@dataclass(frozen=True)
class TrainingState:
    """All that a training resumes from; the tensors fit a safetensors file, the values a JSON file.

    The names of the tensors begin with what they are of: model, average, best, optimizer, random, or losses.
    """

    tensors: dict[str, Tensor]  # on the CPU; no two share memory
    values: dict[str, Any]  # step, best_step, best_loss, seconds, history, and config, whose equality is required


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU under `<prefix>.<name>`."""
    return {f"{prefix}.{name}": value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose name begins with `<prefix>.`, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by `<number of the parameter>.<name>`; learning rates follow from the step alone."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value
        for number, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def load_model(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy all weights into the model; raises ValueError where their names or shapes are not the model's."""
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    differing = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
    if differing:
        name = differing[0]
        raise ValueError(
            f"the state has {name} as {given.get(name)}; expected {own.get(name)} as in this model; "
            "resume with the classifier that was trained"
        )
    model.load_state_dict(dict(tensors))


def config_values(config: FitConfig) -> dict[str, Any]:
    """The options that a state can only be resumed with; the device is not one of them."""
    values = asdict(config)
    del values["device"]
    return values


def check_config(stored: Mapping[str, Any], config: FitConfig) -> None:
    """Raise ValueError where the state is of a training with other options."""
    own = config_values(config)
    differing = sorted(name for name in own.keys() | stored.keys() if own.get(name) != stored.get(name))
    if differing:
        name = differing[0]
        raise ValueError(
            f"the state is of a training with {name} {stored.get(name)!r}; expected {own.get(name)!r}; "
            "resume with the options that it began with, or train from the start"
        )
