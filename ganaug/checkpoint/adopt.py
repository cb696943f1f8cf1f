"""Weights of one network given to another that may know other classes or make images of another resolution."""

import math
import re

import torch
from torch import Tensor

from ganaug.errors import ConfigError
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator
from ganaug.model.projected.discriminator import ProjectedDiscriminator

State = dict[str, Tensor]
_CLASS_TENSORS = re.compile(  # what other classes may change
    r"mapping\.(trunk\.embed|embed|layers)\.|b4\.out\.|(heads\.\d+|pixels\.head)\.by_class\."
)
_BLOCK = re.compile(r"synthesis\.b(\d+)\.")  # a resolution of the generator
FIRST_LAYER = "mapping.trunk.layers.0.weight"  # its columns are the latent's, then the class's


def fits(discriminator: Discriminator | ProjectedDiscriminator, state: State) -> bool:
    """Whether the discriminator can adopt the state: of the same kind and sizes, whatever its classes."""
    own = {name: value.shape for name, value in discriminator.state_dict().items() if not _CLASS_TENSORS.match(name)}
    return own == {name: value.shape for name, value in state.items() if not _CLASS_TENSORS.match(name)}


def adopt(network: Generator | Discriminator | ProjectedDiscriminator, state: State) -> list[str]:
    """Load weights into a network that may know other classes; returns the names of tensors that stay as drawn.

    With another number of classes their embedding stays, and the discriminator's output where one of both networks
    knows no classes. A generator then ignores the class at first, and makes the images of its origin.
    A generator may also be of another resolution: of a lower one it leaves out the finest blocks of its origin, whose
    images it makes at that resolution; of a higher one it has blocks on top that add nothing at first, so that it
    makes these images enlarged. Source: Karras et al. 2018, section 2, where blocks fade in instead.
    Raises ConfigError where more differs.
    """
    own, config = network.state_dict(), network.config
    finest = max((_resolution(name) for name in state), default=0)
    state = {name: value for name, value in state.items() if _resolution(name) <= config.resolution_px}
    matching = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    if any(_CLASS_TENSORS.match(name) for name in own.keys() - matching.keys()):
        matching = {name: value for name, value in matching.items() if ".embed." not in name}
    first = matching.pop(FIRST_LAYER, state.get(FIRST_LAYER))
    if first is not None and first.shape[1] == config.z_dim + config.w_dim * ("mapping.trunk.embed.weight" in state):
        matching[FIRST_LAYER] = _for_inputs(first, own[FIRST_LAYER].shape[1], config.z_dim)
    left = sorted(own.keys() - matching.keys())
    for name in [*left, *sorted(state.keys() - own.keys())]:
        if not _CLASS_TENSORS.match(name) and not _resolution(name) > finest > 0:
            shapes = [list(tensors[name].shape) if name in tensors else "nothing" for tensors in (state, own)]
            raise ConfigError(
                f"the weights do not fit the network: {name} is {shapes[0]}",
                expected=f"{shapes[1]}, as only the number of classes and a generator's resolution may differ",
                todo="take the channels and mapping layers of the weights",
            )
    silent = {name: torch.zeros_like(own[name]) for name in left if name.endswith("torgb.weight")}
    network.load_state_dict(matching | silent, strict=False)
    return left


def _resolution(name: str) -> int:
    """In pixels, of the generator's block that holds a tensor; 0 for all others."""
    block = _BLOCK.match(name)
    return int(block[1]) if block else 0


def _for_inputs(weight: Tensor, num_in: int, z_dim: int) -> Tensor:
    """The first mapping layer with or without a class: the latent's columns act as before, new ones are 0."""
    if num_in == weight.shape[1]:
        return weight
    fitted = weight.new_zeros(weight.shape[0], num_in)
    fitted[:, :z_dim] = weight[:, :z_dim] * math.sqrt(num_in / weight.shape[1])  # √num_in divides at run time
    return fitted
