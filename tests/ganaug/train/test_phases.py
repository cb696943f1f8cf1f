"""Steps of training: who moves, lazy regularisation, determinism, and that the game is played to win."""

from dataclasses import replace

import pytest
import torch

from ganaug.config import GanConfig, NetworkConfig
from ganaug.train import phases
from ganaug.train.phases import discriminator_step, generator_step, make_networks, make_optimizers, r1_step

NETWORK = NetworkConfig(8, 2, z_dim=8, w_dim=8, channel_base=128, channel_max=16)
CONFIG = GanConfig(NETWORK, total_kimg=1, batch=8, learning_rate=0.01, r1_gamma=0.01, r1_interval=4)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def real_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes, bright above and bright below, far from what a fresh generator draws."""
    labels = torch.arange(CONFIG.batch) % 2
    img = torch.ones(CONFIG.batch, 3, 8, 8)
    img[:, :, 4:] = -1
    img = torch.where(labels[:, None, None, None] == 0, img, img.flip(2))
    return img + 0.1 * torch.randn(img.shape, generator=random(3)), torch.eye(2)[labels]


def train(num_iterations: int, config: GanConfig = CONFIG) -> tuple[phases.Networks, list[dict[str, torch.Tensor]]]:
    networks = make_networks(config.network, random())
    optimizers, latents = make_optimizers(networks, config), random(1)
    img, c = real_batch()
    stats = [
        phases.train_iteration(networks, optimizers, img, c, iteration, latents, config)
        for iteration in range(num_iterations)
    ]
    return networks, stats


def moved(before: dict[str, torch.Tensor], module: torch.nn.Module) -> bool:
    return any(not torch.equal(before[name], parameter) for name, parameter in module.named_parameters())


def copy_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def test_a_step_moves_its_own_network_alone() -> None:
    networks = make_networks(NETWORK, random())
    G, D, optimizers = networks.G, networks.D, make_optimizers(networks, CONFIG)
    img, c = real_batch()
    for step, mover, other in (
        (lambda: generator_step(G, D, optimizers.G, c, random()), G, D),
        (lambda: discriminator_step(G, D, optimizers.D, img, c, random()), D, G),
        (lambda: r1_step(D, optimizers.D, img, c, 1.0, 4), D, G),
    ):
        mover_before, other_before = copy_of(mover), copy_of(other)
        step()
        assert moved(mover_before, mover)
        assert not moved(other_before, other)
        assert all(parameter.grad is None for parameter in [*G.parameters(), *D.parameters()])
        assert all(parameter.requires_grad for parameter in [*G.parameters(), *D.parameters()])


def test_penalty_comes_every_interval_and_never_without_gamma() -> None:
    _, stats = train(9)
    assert [i for i, line in enumerate(stats) if "r1" in line] == [0, 4, 8]
    _, stats = train(5, replace(CONFIG, r1_gamma=0.0))
    assert not any("r1" in line for line in stats)


def test_lazy_correction_of_adam() -> None:
    networks = make_networks(NETWORK, random())
    lazy, plain = make_optimizers(networks, CONFIG), make_optimizers(networks, replace(CONFIG, r1_gamma=0.0))
    assert lazy.D.defaults["lr"] == pytest.approx(0.01 * 4 / 5)
    assert lazy.D.defaults["betas"] == pytest.approx((0, 0.99 ** (4 / 5)))
    assert lazy.G.defaults["betas"] == plain.D.defaults["betas"] == (0, 0.99)
    assert lazy.G.defaults["lr"] == plain.D.defaults["lr"] == 0.01


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(-1, 1, 192))

    def forward(self, img: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return (img.flatten(1) @ self.weight)[:, None]


def test_lazy_penalty_of_a_linear_discriminator_shrinks_it_in_closed_form() -> None:
    D = Linear()
    before = D.weight.detach().clone()
    img, c = real_batch()
    stats = r1_step(D, torch.optim.SGD(D.parameters(), lr=0.01), img, c, gamma=0.5, interval=16)
    torch.testing.assert_close(stats["r1"], before.square().sum())
    torch.testing.assert_close(D.weight.detach(), before * (1 - 0.01 * 0.5 * 16))  # d(γ/2·k·w²)/dw = γ·k·w


def test_broken_gradients_do_not_reach_the_weights() -> None:
    D = Linear()
    D.weight.grad = torch.full((192,), torch.nan)
    D.weight.grad[0] = torch.inf
    before = D.weight.detach().clone()
    phases._step(torch.optim.SGD(D.parameters(), lr=1e-5))
    assert torch.equal(D.weight[1:], before[1:])
    torch.testing.assert_close(D.weight[0], before[0] - 1)


def test_same_seed_same_training() -> None:
    one, two = train(3)[0], train(3)[0]
    for a, b in zip(vars(one).values(), vars(two).values(), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def distance_to_reals(networks: phases.Networks) -> float:
    img, c = real_batch()
    with torch.no_grad():
        z = torch.randn(CONFIG.batch, NETWORK.z_dim, generator=random(7))
        fake = networks.ema(z, c, noise_mode="const")
    return float((fake - img).abs().mean())


def test_discriminator_tells_apart_then_the_generator_catches_up_class_by_class() -> None:
    networks, stats = train(120)
    gap = [float(line["real_logits"] - line["fake_logits"]) for line in stats]
    assert max(gap[:40]) > gap[0] + 1
    assert sum(gap[-20:]) / 20 < 0.5 * max(gap)
    assert distance_to_reals(networks) < 0.4 < distance_to_reals(make_networks(NETWORK, random()))


def test_a_generator_with_the_wrong_sign_does_not_catch_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "generator_loss", lambda logits: torch.nn.functional.softplus(logits).mean())
    networks, _ = train(60)
    assert distance_to_reals(networks) > distance_to_reals(make_networks(NETWORK, random()))
