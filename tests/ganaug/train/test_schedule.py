"""Classes fade in: before the transition none counts, after it all do, and no class is favoured on the way."""

import pytest
import torch

from ganaug.config import GanConfig, NetworkConfig
from ganaug.errors import ConfigError
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator
from ganaug.train.schedule import blend_with_uniform, conditioning

NETWORK = NetworkConfig(8, 4, z_dim=8, w_dim=8, channel_base=128, channel_max=16)


def test_conditioning_rises_in_a_straight_line() -> None:
    config = GanConfig(NETWORK, total_kimg=10, transition_kimg=(2, 6))
    assert [conditioning(config, 1000 * kimg) for kimg in (0, 2, 3, 4, 6, 9)] == [0, 0, 0.25, 0.5, 1, 1]
    assert conditioning(GanConfig(NETWORK, total_kimg=10), 0) == 1


def test_a_jump_is_a_transition_too() -> None:
    config = GanConfig(NETWORK, total_kimg=10, transition_kimg=(4, 4))
    assert [conditioning(config, 1000 * kimg) for kimg in (3.9, 4)] == [0, 1]


@pytest.mark.parametrize("span", [(-1.0, 2.0), (3.0, 2.0), (2.0, 11.0)])
def test_a_transition_outside_of_the_training_is_refused(span: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="class transition"):
        GanConfig(NETWORK, total_kimg=10, transition_kimg=span)


def test_before_the_transition_neither_network_sees_a_class() -> None:
    c = torch.eye(4)
    G = Generator(NETWORK, generator=torch.Generator().manual_seed(0))
    D = Discriminator(NETWORK, generator=torch.Generator().manual_seed(1))
    z, img = torch.ones(4, 8), torch.ones(4, 3, 8, 8)
    for fraction, is_same in ((0.0, True), (0.5, False), (1.0, False)):
        ws, logits = G.mapping(z, blend_with_uniform(c, fraction)), D(img, blend_with_uniform(c, fraction))
        assert torch.allclose(ws, ws[:1].expand_as(ws), atol=1e-6) == is_same
        assert torch.allclose(logits, logits[:1].expand_as(logits), atol=1e-6) == is_same
    assert blend_with_uniform(c, 1.0) is c
    torch.testing.assert_close(blend_with_uniform(c, 0.25).sum(dim=1), torch.ones(4))
