"""The shapes of networks that are not made."""

import subprocess
import sys

import pytest
import torch

from ganaug.config import NetworkConfig
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator
from ganaug.model.shapes import shapes_of

SMALL = NetworkConfig(16, 3, z_dim=8, w_dim=8, channel_base=64, channel_max=8)


@pytest.mark.parametrize("kind", [Generator, Discriminator])
def test_the_shapes_are_those_of_the_network(kind: type[Generator | Discriminator]) -> None:
    made = kind(SMALL, generator=torch.Generator()).state_dict()
    assert shapes_of(lambda: kind(SMALL, generator=torch.Generator())) == {k: list(v.shape) for k, v in made.items()}


def test_a_network_of_terabytes_has_shapes() -> None:
    huge = NetworkConfig(16, 3, z_dim=8, w_dim=8, channel_base=2**24, channel_max=2**20)
    shapes = shapes_of(lambda: Generator(huge, generator=torch.Generator()))
    assert shapes["synthesis.b8.conv1.weight"] == [2**20, 2**20, 3, 3]


def test_torchs_compiler_is_not_loaded_for_them() -> None:
    code = """
import sys, torch
from ganaug.config import NetworkConfig
from ganaug.model.generator import Generator
from ganaug.model.shapes import shapes_of
shapes_of(lambda: Generator(NetworkConfig(16, 3), generator=torch.Generator()))
print("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
