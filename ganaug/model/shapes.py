"""The shapes of a network's tensors, without the network: it may be too large to be made, or not wanted."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def shapes_of(make: Callable[[], nn.Module]) -> dict[str, list[int]]:
    """The shapes of all tensors in the state of the network that `make` makes, by name; takes no memory of its size.

    Raises what torch does for sizes that no tensor can have.
    """
    with torch.device("meta"), _DrawNothing():
        return {name: list(tensor.shape) for name, tensor in make().state_dict().items()}


class _DrawNothing(TorchFunctionMode):
    """Leaves initial values out: to draw them without memory, torch loads its compiler, which takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.randn:
            return torch.empty(*args)
        return args[0] if func is Tensor.div else func(*args, **(kwargs or {}))
