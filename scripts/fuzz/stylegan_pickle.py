"""A small valid pickle of a generator, as stylegan2-ada-pytorch writes it, made without that tool."""

import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from ganaug.config import NetworkConfig
from ganaug.model.generator import Generator

SIDE_PX = 16


class _StandIn:
    """A module as stylegan2-ada-pytorch pickles it: class name, options, tensors and modules within it."""

    def __init__(self, class_name: str = "Layer") -> None:
        self.class_name, self.options = class_name, {}  # type: ignore[var-annotated]
        self.parameters: dict[str, Any] = OrderedDict()
        self.buffers: dict[str, Any] = OrderedDict()
        self.children: dict[str, _StandIn] = OrderedDict()

    def at(self, path: str) -> "_StandIn":
        module = self
        for name in filter(None, path.split(".")):
            module = module.children.setdefault(name, _StandIn())
        return module

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"_parameters": self.parameters, "_buffers": self.buffers, "_modules": self.children,
                 "_init_args": (), "_init_kwargs": self.options}  # fmt: skip
        meta = {"type": "class", "version": 6, "module_src": "pass", "class_name": self.class_name, "state": state}
        return _reconstruct_persistent_obj, (meta,)


def _reconstruct_persistent_obj(meta: Any) -> None:
    raise AssertionError("code of a pickle was called")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


def make_pickle(path: Path) -> None:
    """A pickle of a generator of 16 px under the names that stylegan2-ada-pytorch gives its tensors."""
    config = NetworkConfig(SIDE_PX, 3, 16, 16, channel_base=128, channel_max=16)
    root = _StandIn("Generator")
    for name, value in Generator(config, generator=torch.Generator().manual_seed(0)).state_dict().items():
        for ours, theirs in (("mapping.trunk.layers.", "mapping.fc"), ("mapping.trunk.", "mapping.")):
            name = name.replace(ours, theirs)
        where, _, leaf = name.rpartition(".")
        is_buffer = leaf in ("noise_const", "w_avg")
        holder = root.at(where).buffers if is_buffer else root.at(where).parameters
        holder[leaf] = value if is_buffer else nn.Parameter(value, requires_grad=False)
    root.at("synthesis").options.update(num_fp16_res=0, conv_clamp=None)
    module = types.ModuleType("torch_utils.persistence")
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    modules = {"torch_utils": types.ModuleType("torch_utils"), "torch_utils.persistence": module}
    with mock.patch.dict(sys.modules, modules):
        path.write_bytes(pickle.dumps({"G": None, "D": None, "G_ema": root, "augment_pipe": None}, protocol=3))
