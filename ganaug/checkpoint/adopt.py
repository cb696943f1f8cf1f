"""Weights of one network given to another that may know other classes."""

import math
import re

from torch import Tensor

from ganaug.errors import ConfigError
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator
from ganaug.model.projected.discriminator import ProjectedDiscriminator

State = dict[str, Tensor]
_CLASS_TENSORS = re.compile(  # what other classes may change
    r"mapping\.(trunk\.embed|embed|layers)\.|b4\.out\.|(heads\.\d+|pixels\.head)\.by_class\."
)
FIRST_LAYER = "mapping.trunk.layers.0.weight"  # its columns are the latent's, then the class's


def is_state_of(state: State, discriminator: Discriminator | ProjectedDiscriminator) -> bool:
    """Whether the state is one of a discriminator of the same kind, of whatever sizes and classes."""
    return any(name.startswith("heads.") for name in state) == isinstance(discriminator, ProjectedDiscriminator)


def adopt(network: Generator | Discriminator | ProjectedDiscriminator, state: State) -> list[str]:
    """Load weights into a network that may know other classes; returns the names of tensors that stay as drawn.

    With another number of classes their embedding stays, and the discriminator's output where one of both networks
    knows no classes. A generator then ignores the class at first, and makes the images of its origin.
    Raises ConfigError where more than the classes differs.
    """
    own, config = network.state_dict(), network.config
    matching = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    if len(matching) < len(own):
        matching = {name: value for name, value in matching.items() if ".embed." not in name}
    first = matching.pop(FIRST_LAYER, state.get(FIRST_LAYER))
    if first is not None and first.shape[1] == config.z_dim + config.w_dim * ("mapping.trunk.embed.weight" in state):
        matching[FIRST_LAYER] = _for_inputs(first, own[FIRST_LAYER].shape[1], config.z_dim)
    left = sorted(own.keys() - matching.keys())
    for name in [*left, *sorted(state.keys() - own.keys())]:
        if not _CLASS_TENSORS.match(name):
            shapes = [list(tensors[name].shape) if name in tensors else "nothing" for tensors in (state, own)]
            raise ConfigError(
                f"the weights do not fit the network: {name} is {shapes[0]}",
                expected=f"{shapes[1]}, as only the number of classes may differ",
                todo="take the resolution, channels and mapping layers of the weights",
            )
    network.load_state_dict(matching, strict=False)
    return left


def _for_inputs(weight: Tensor, num_in: int, z_dim: int) -> Tensor:
    """The first mapping layer with or without a class: the latent's columns act as before, new ones are 0."""
    if num_in == weight.shape[1]:
        return weight
    fitted = weight.new_zeros(weight.shape[0], num_in)
    fitted[:, :z_dim] = weight[:, :z_dim] * math.sqrt(num_in / weight.shape[1])  # √num_in divides at run time
    return fitted
