"""Pickles in the layout of stylegan2-ada-pytorch, written by stand-ins: none of that project's code is needed."""

import pickle
import re
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganaug.config import NetworkConfig
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator

EXTERNAL = NetworkConfig(16, 3, 16, 16, channel_base=128, channel_max=16, num_half=4, conv_clamp=256.0, std_group=2)


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise AssertionError("a stand-in was called")


class EasyDict(dict[str, Any]):
    """Options as the peer keeps them."""


_reconstruct_persistent_obj.__module__, EasyDict.__module__ = "torch_utils.persistence", "dnnlib.util"


@dataclass
class StandIn:
    """A module as the peer's persistence pickles it: class name, source text, and state."""

    class_name: str = "Layer"
    options: dict[str, Any] = field(default_factory=EasyDict)
    parameters: dict[str, Tensor] = field(default_factory=OrderedDict)
    buffers: dict[str, Tensor] = field(default_factory=OrderedDict)
    children: dict[str, "StandIn"] = field(default_factory=OrderedDict)
    source: str = "raise SystemExit('the source text of a pickle was run')"

    def at(self, path: str) -> "StandIn":
        module = self
        for name in filter(None, path.split(".")):
            module = module.children.setdefault(name, StandIn())
        return module

    def __reduce__(self) -> tuple[Any, ...]:
        state = {
            "training": False,
            "_parameters": self.parameters,
            "_buffers": self.buffers,
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": OrderedDict(),
            "_modules": self.children,
            "weight_gain": np.float64(0.5),
            "_init_args": (),
            "_init_kwargs": self.options,
        }
        meta = {"type": "class", "version": 6, "module_src": self.source, "class_name": self.class_name}
        return _reconstruct_persistent_obj, ({**meta, "state": state},)


def their_module(network: Generator | Discriminator) -> StandIn:
    """One of our networks under the peer's names, with the options that leave no trace in the tensors."""
    config, is_generator = network.config, isinstance(network, Generator)
    root = StandIn("Generator" if is_generator else "Discriminator")
    for name, value in network.state_dict().items():
        name = re.sub(r"^mapping\.(?:trunk\.)?layers\.(\d+)", r"mapping.fc\1", name)
        name = re.sub(r"^mapping\.trunk\.", "mapping.", name)
        name = re.sub(r"^fromrgb", f"b{config.resolution_px}.fromrgb", name)
        path, _, leaf = name.rpartition(".")
        module = root.at(path)
        if leaf in ("noise_const", "w_avg"):
            module.buffers[leaf] = value
        else:
            module.parameters[leaf] = nn.Parameter(value, requires_grad=False)
    precision = EasyDict(num_fp16_res=config.num_half, conv_clamp=config.conv_clamp and int(config.conv_clamp))
    if is_generator:
        root.at("synthesis").options.update(precision)
        root.at("synthesis.b8.conv0").buffers["resample_filter"] = torch.ones(4, 4)
    else:
        root.options.update(precision, epilogue_kwargs=EasyDict(mbstd_group_size=config.std_group))
        root.at("b4.mbstd").options["group_size"] = config.std_group
    return root


@dataclass
class Peer:
    """An external checkpoint: its networks as ours, and its pickle's content to change before it is written."""

    G: Generator
    D: Discriminator
    ema: Generator
    content: dict[str, Any]
    write: Callable[[dict[str, Any]], Path]

    @property
    def path(self) -> Path:
        return self.write(self.content)


@pytest.fixture
def make_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Peer]:
    """Makes a `Peer` of EXTERNAL's shape, or of one that differs from it in the fields given."""

    def write(content: dict[str, Any]) -> Path:
        path = tmp_path / "network.pkl"
        with monkeypatch.context() as patch:  # the stand-ins' modules are gone when the pickle is read
            for member in (_reconstruct_persistent_obj, EasyDict):
                parent, module = member.__module__.partition(".")[0], types.ModuleType(member.__module__)
                setattr(module, member.__name__, member)
                patch.setitem(sys.modules, parent, types.ModuleType(parent))
                patch.setitem(sys.modules, member.__module__, module)
            path.write_bytes(pickle.dumps(content))
        return path

    def make(**fields: Any) -> Peer:
        config = replace(EXTERNAL, **fields)
        draws = [torch.Generator().manual_seed(seed) for seed in range(3)]
        G, D = Generator(config, generator=draws[0]), Discriminator(config, generator=draws[1])
        ema = Generator(config, generator=draws[2])
        ema.mapping.w_avg.normal_(generator=draws[2])
        content = {"G": their_module(G), "D": their_module(D), "G_ema": their_module(ema), "augment_pipe": None}
        return Peer(G, D, ema, content, write)

    return make


@pytest.fixture
def peer(make_peer: Callable[..., Peer]) -> Peer:
    return make_peer()
