"""Weights of another resolution: the same images larger or smaller, and a discriminator only where it fits."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F

from custom_ops import setup_filter, upsample2d
from ganaug.checkpoint.adopt import adopt, fits
from ganaug.config import NetworkConfig
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator
from ganaug.model.layers import RESAMPLE_TAPS
from ganaug.model.projected.discriminator import ProjectedDiscriminator

if TYPE_CHECKING:
    from tests.ganaug.conftest import Peer

SMALL = NetworkConfig(16, 3, z_dim=8, w_dim=8, channel_base=256, channel_max=16)


def random(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def resized(trained: Generator, resolution_px: int, num_classes: int = 3) -> tuple[Generator, list[str]]:
    config = replace(trained.config, resolution_px=resolution_px, num_classes=num_classes)
    G = Generator(config, generator=random())
    return G, adopt(G, trained.state_dict())


def images(G: Generator, noise_mode: str = "const") -> torch.Tensor:
    z, c = torch.randn(3, G.config.z_dim, generator=random(1)), torch.eye(3)
    img: torch.Tensor = G(z, c, noise_mode=noise_mode, force_float32=True)
    return img


def enlarged(img: torch.Tensor, times: int) -> torch.Tensor:
    for _ in range(times):
        img = upsample2d(img, setup_filter(RESAMPLE_TAPS))
    return img


@pytest.mark.parametrize("doublings", [1, 2])
def test_a_larger_generator_makes_the_images_of_its_origin_enlarged(peer: "Peer", doublings: int) -> None:
    trained = peer.ema
    G, left = resized(trained, trained.config.resolution_px * 2**doublings)
    torch.testing.assert_close(images(G), enlarged(images(trained), doublings), atol=1e-5, rtol=1e-5)
    assert {name.split(".")[1] for name in left} == {f"b{2 ** (4 + k)}" for k in range(1, doublings + 1)}


def test_its_new_blocks_learn_from_the_first_steps(peer: "Peer") -> None:
    G, _ = resized(peer.ema, 32)
    optimizer, target = torch.optim.SGD(G.parameters(), lr=0.1), torch.randn(3, 3, 32, 32, generator=random(2))
    for _ in range(2):
        optimizer.zero_grad()
        torch.autograd.backward(F.mse_loss(images(G), target))
        optimizer.step()
    for name in ("b32.torgb.weight", "b32.conv1.weight", "b32.conv0.weight"):
        gradient = G.get_parameter(f"synthesis.{name}").grad
        assert gradient is not None
        assert gradient.abs().max() > 0, name


def test_a_smaller_generator_makes_what_its_origin_adds_up_to_that_resolution(peer: "Peer") -> None:
    trained = peer.ema
    G, left = resized(trained, 8)
    assert left == []
    with torch.no_grad():
        for name in ("weight", "bias"):
            trained.get_parameter(f"synthesis.b16.torgb.{name}").zero_()
    torch.testing.assert_close(enlarged(images(G), 1), images(trained), atol=1e-5, rtol=1e-5)


def test_resolution_and_classes_may_both_differ(peer: "Peer") -> None:
    for resolution_px in (8, 32):
        G, left = resized(peer.ema, resolution_px, num_classes=5)
        embedding = {"mapping.trunk.embed.bias", "mapping.trunk.embed.weight"}
        assert {name for name in left if "b32" not in name} == embedding
        name = "synthesis.b8.conv0.weight"
        assert torch.equal(G.get_parameter(name), peer.ema.get_parameter(name))


@pytest.mark.parametrize("resolution_px", [8, 32])
def test_a_stylegan_discriminator_of_another_resolution_stays_as_drawn(peer: "Peer", resolution_px: int) -> None:
    config = replace(peer.D.config, resolution_px=resolution_px)
    assert not fits(Discriminator(config, generator=random()), peer.D.state_dict())
    assert fits(Discriminator(replace(peer.D.config, num_classes=7), generator=random()), peer.D.state_dict())


@pytest.mark.parametrize(("resolution_px", "is_fit"), [(16, True), (64, True), (128, True), (256, False)])
def test_heads_fit_as_far_as_they_halve_their_maps_as_often(resolution_px: int, is_fit: bool) -> None:
    trained = ProjectedDiscriminator(replace(SMALL, resolution_px=64), generator=random(1))
    config = replace(SMALL, resolution_px=resolution_px, num_classes=2)
    D = ProjectedDiscriminator(config, generator=random())
    assert fits(D, trained.state_dict()) == is_fit
    if is_fit:
        adopt(D, trained.state_dict())
        assert torch.equal(D.state_dict()["heads.0.layers.0.weight"], trained.state_dict()["heads.0.layers.0.weight"])


def test_neither_kind_of_discriminator_takes_the_other_for_its_own(make_peer: Callable[..., "Peer"]) -> None:
    projected = ProjectedDiscriminator(SMALL, generator=random())
    published = Discriminator(SMALL, generator=random())
    assert not fits(published, projected.state_dict())
    assert not fits(projected, published.state_dict())
