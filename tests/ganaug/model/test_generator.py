"""The generator: determinism, scale, class, truncation, noise, gradients."""

from dataclasses import replace

import pytest
import torch

from ganaug.config import NetworkConfig
from ganaug.errors import ConfigError
from ganaug.model.generator import Generator
from ganaug.model.mapping import W_AVG_BETA

CONFIG = NetworkConfig(32, 3, z_dim=16, w_dim=16, channel_base=512, channel_max=32)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def G() -> Generator:
    return Generator(CONFIG, generator=random())


def latents(num: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(num, CONFIG.z_dim, generator=random(seed)), torch.eye(3)[torch.arange(num) % 3]


def test_same_seed_same_bytes_and_the_global_state_untouched() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (Generator(CONFIG, generator=random(seed)) for seed in (0, 0, 1))
    images = [G(*latents(4), generator=random(9)) for G in (first, again, other)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


@pytest.mark.parametrize("resolution", [8, 16, 64])
def test_initial_images_are_finite_and_of_plausible_scale(resolution: int) -> None:
    G = Generator(replace(CONFIG, resolution_px=resolution), generator=random())
    img = G(*latents(8), noise_mode="const")
    assert img.shape == (8, 3, resolution, resolution)
    assert 0.2 < img.std().item() < 8


def test_published_parameter_count() -> None:
    config = NetworkConfig(64, 4, mapping_layers=2, channel_base=8192, channel_max=256)
    count = sum(p.numel() for p in Generator(config, generator=random()).parameters())
    assert count == pytest.approx(7.08e6, abs=5e3)


def test_class_and_latent_change_the_image(G: Generator) -> None:
    z, c = latents(4)
    img = G(z, c, noise_mode="none")
    assert (img - G(z, c.roll(1, dims=1), noise_mode="none")).abs().mean() > 0.01
    assert (img - G(z.flip(0), c, noise_mode="none")).abs().mean() > 0.01


def test_one_class_ignores_the_label() -> None:
    G = Generator(replace(CONFIG, num_classes=1), generator=random())
    z, _ = latents(2)
    assert torch.equal(G(z, None, noise_mode="none"), G(z, torch.ones(2, 1), noise_mode="none"))


def test_no_styles_but_the_mean_remain_at_psi_zero(G: Generator) -> None:
    z, c = latents(6)
    G.mapping.update_w_avg(G.mapping(z, c))
    ws = G.mapping(z, c, 0.0)
    assert ws.shape == (6, 8, 16)
    torch.testing.assert_close(ws, G.mapping.w_avg.expand_as(ws))
    half = G.mapping(z, c, 0.5)
    torch.testing.assert_close(half, 0.5 * (G.mapping(z, c) + G.mapping.w_avg))


def test_running_mean_of_w_follows_its_closed_form_and_only_on_request(G: Generator) -> None:
    ws = G.mapping(*latents(6))
    assert torch.equal(G.mapping.w_avg, torch.zeros(16))
    for _ in range(3):
        G.mapping.update_w_avg(ws)
    torch.testing.assert_close(G.mapping.w_avg, (1 - W_AVG_BETA**3) * ws[:, 0].mean(dim=0).detach())


def test_scaled_latents_give_the_same_image(G: Generator) -> None:
    z, c = latents(2)
    torch.testing.assert_close(G(z, c, noise_mode="none"), G(10 * z, c, noise_mode="none"), atol=1e-4, rtol=1e-4)


def test_noise_modes(G: Generator) -> None:
    z, c = latents(2)
    with torch.no_grad():
        for name, parameter in G.named_parameters():
            if name.endswith("noise_strength"):
                parameter.add_(0.5)
    const, none = G(z, c, noise_mode="const"), G(z, c, noise_mode="none")
    assert torch.equal(const, G(z, c, noise_mode="const"))
    assert not torch.allclose(const, none)
    drawn = [G(z, c, generator=random(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2])
    with pytest.raises(ConfigError, match=r"without a torch\.Generator"):
        G(z, c)


def test_a_batch_equals_its_images_one_by_one(G: Generator) -> None:
    z, c = latents(3)
    single = torch.cat([G(z[i : i + 1], c[i : i + 1], noise_mode="const") for i in range(3)])
    torch.testing.assert_close(G(z, c, noise_mode="const"), single, atol=1e-5, rtol=1e-5)


def test_gradients_flow_to_every_parameter(G: Generator) -> None:
    target = torch.randn(6, 3, 32, 32, generator=random(4))
    (G(*latents(6), generator=random(3)) - target).square().mean().backward()
    assert len(list(G.parameters())) > 10
    for name, parameter in G.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_every_style_reaches_the_image(G: Generator) -> None:
    ws = G.mapping(*latents(1)).detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(G.synthesis(ws, "none").square().sum(), ws)
    assert (gradient.abs().amax(dim=2) > 0).all()


@pytest.mark.parametrize(("z_dim", "c"), [(16, None), (16, torch.eye(2)), (8, torch.eye(3)[:2])])
def test_wrong_shapes_are_named(G: Generator, z_dim: int, c: torch.Tensor | None) -> None:
    with pytest.raises(ConfigError, match=r"expected \[N, (3|16)\]"):
        G(torch.zeros(2, z_dim), c, noise_mode="none")
