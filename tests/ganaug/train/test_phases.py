"""Steps of training: who moves, lazy regularization, determinism, and that each network improves against the other."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import torch

from ganaug.config import GanConfig, NetworkConfig
from ganaug.model.generator import Generator
from ganaug.train import phases
from ganaug.train.distributed.gradients import Gradients
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.losses import path_lengths
from ganaug.train.networks import NetworkPair, make_networks, make_optimizers, step
from ganaug.train.phases import (
    Trainer,
    discriminator_step,
    draw_styles,
    generator_step,
    path_length_step,
    r1_step,
)

NETWORK = NetworkConfig(8, 2, z_dim=8, w_dim=8, channel_base=128, channel_max=16)
CONFIG = GanConfig(NETWORK, total_kimg=1, batch=8, learning_rate=0.01, r1_gamma=0.01, r1_interval=4, pl_weight=0.0)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def real_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes, bright above and bright below, far from what a fresh generator draws."""
    labels = torch.arange(CONFIG.batch) % 2
    img = torch.ones(CONFIG.batch, 3, 8, 8)
    img[:, :, 4:] = -1
    img = torch.where(labels[:, None, None, None] == 0, img, img.flip(2))
    return img + 0.1 * torch.randn(img.shape, generator=random(3)), torch.eye(2)[labels]


def new_trainer(config: GanConfig = CONFIG) -> Trainer:
    networks = make_networks(config.network, random(), config.discriminator)
    return Trainer(networks, make_optimizers(networks, config), config)


def train(num_iterations: int, config: GanConfig = CONFIG) -> tuple[NetworkPair, list[dict[str, torch.Tensor]]]:
    trainer, latents = new_trainer(config), random(1)
    img, c = real_batch()
    stats = [phases.train_iteration(trainer, img, c, iteration, latents) for iteration in range(num_iterations)]
    return trainer.networks, stats


def moved(before: dict[str, torch.Tensor], module: torch.nn.Module) -> bool:
    return any(not torch.equal(before[name], parameter) for name, parameter in module.named_parameters())


def copy_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def test_a_step_moves_its_own_network_alone() -> None:
    trainer = new_trainer(replace(CONFIG, pl_weight=2.0))
    G, D = trainer.networks.G, trainer.networks.D
    img, c = real_batch()
    moves: list[tuple[Callable[[], object], torch.nn.Module, torch.nn.Module]] = [
        (lambda: generator_step(trainer, c, random()), G, D),
        (lambda: path_length_step(trainer, c, random()), G, D),
        (lambda: discriminator_step(trainer, img, c, random()), D, G),
        (lambda: r1_step(trainer, img, c), D, G),
    ]
    for move, mover, other in moves:
        mover_before, other_before = copy_of(mover), copy_of(other)
        move()
        assert moved(mover_before, mover)
        assert not moved(other_before, other)
        assert all(parameter.grad is None for parameter in [*G.parameters(), *D.parameters()])
        assert all(parameter.requires_grad for parameter in [*G.parameters(), *D.parameters()])


def test_penalties_come_every_interval_and_never_without_weight() -> None:
    _, stats = train(9)
    assert [i for i, line in enumerate(stats) if "r1" in line] == [0, 4, 8]
    _, stats = train(5, replace(CONFIG, r1_gamma=0.0))
    assert len(stats) == 5
    assert not any("r1" in line or "path_length" in line for line in stats)
    _, stats = train(9, replace(CONFIG, pl_weight=2.0, pl_interval=3))
    assert [i for i, line in enumerate(stats) if "path_length" in line] == [0, 3, 6]


def test_lazy_correction_of_adam() -> None:
    networks = make_networks(NETWORK, random())
    lazy, plain = make_optimizers(networks, CONFIG), make_optimizers(networks, replace(CONFIG, r1_gamma=0.0))
    assert lazy.D.defaults["lr"] == pytest.approx(0.01 * 4 / 5)
    assert lazy.D.defaults["betas"] == pytest.approx((0, 0.99 ** (4 / 5)))
    assert lazy.G.defaults["betas"] == plain.D.defaults["betas"] == (0, 0.99)
    assert lazy.G.defaults["lr"] == plain.D.defaults["lr"] == 0.01
    both = make_optimizers(networks, replace(CONFIG, pl_weight=2.0, pl_interval=3))
    assert both.G.defaults["lr"] == pytest.approx(0.01 * 3 / 4)
    assert both.G.defaults["betas"] == pytest.approx((0, 0.99 ** (3 / 4)))


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(-1, 1, 192))

    def forward(self, img: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return (img.flatten(1) @ self.weight)[:, None]


def test_lazy_penalty_of_a_linear_discriminator_shrinks_it_in_closed_form() -> None:
    trainer = new_trainer(replace(CONFIG, r1_gamma=0.5, r1_interval=16))
    D = Linear()
    before = D.weight.detach().clone()
    trainer.networks = replace(trainer.networks, D=cast(Any, D))
    trainer.optimizers = replace(trainer.optimizers, D=cast(Any, torch.optim.SGD(D.parameters(), lr=0.01)))
    trainer.gradients[D] = Gradients(D, ProcessGroup())
    stats = r1_step(trainer, *real_batch())
    torch.testing.assert_close(stats["r1"], before.square().sum())
    torch.testing.assert_close(D.weight.detach(), before * (1 - 0.01 * 0.5 * 16))  # d(γ/2·k·w²)/dw = γ·k·w


def test_path_lengths_of_a_linear_synthesis_are_the_norms_of_its_columns() -> None:
    matrix, ws = torch.randn(5, 12, generator=random()), torch.randn(3, 4, 5, generator=random(1), requires_grad=True)
    img = (ws.mean(dim=1) @ matrix).reshape(3, 3, 2, 2)  # each of four styles counts a quarter
    noise = torch.randn(img.shape, generator=random(2))
    expected = (noise.flatten(1) @ matrix.t()).norm(dim=1) / 4
    torch.testing.assert_close(path_lengths(img, ws, noise), expected)


def test_the_path_length_penalty_draws_lengths_together() -> None:
    """Against a mean that stands still, the spread of the lengths around it shrinks."""
    config = replace(CONFIG, pl_weight=2.0, learning_rate=0.002)
    trainer, (_, c) = new_trainer(config), real_batch()
    trainer.pl_mean = torch.tensor(0.02)
    distances = []
    for iteration in range(80):
        length = path_length_step(trainer, c, random(iteration))["path_length"]
        distances.append(abs(float(length) - float(trainer.pl_mean)))
    assert sum(distances[-5:]) < 0.5 * sum(distances[:5])


def test_micro_batches_give_the_gradients_of_the_whole_batch() -> None:
    """Without the minibatch standard deviation, whose groups differ, and without randomness inside the loss."""
    img, c = real_batch()
    grads = []
    for micro in (None, 2, 3):
        trainer = new_trainer(replace(CONFIG, micro_batch=micro, network=replace(NETWORK, std_group=1)))
        D = trainer.networks.D
        found: dict[str, torch.Tensor] = {}
        hook = trainer.optimizers.D.register_step_pre_hook(
            lambda *_, D=D, found=found: found.update({n: p.grad.clone() for n, p in D.named_parameters()})
        )
        trainer.minimize((img, c), lambda img, c, D=D: ({D: D(img, c).square().mean()}, {"mean": D(img, c).mean()}))
        hook.remove()
        grads.append(found)
    for other in grads[1:]:
        for name, grad in grads[0].items():
            torch.testing.assert_close(other[name], grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("micro", [2, 3])
def test_micro_batches_move_the_running_means_as_the_whole_batch_does(
    micro: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_class(G: Generator, c: torch.Tensor, *_: object) -> torch.Tensor:
        return c[:, :1, None].expand(-1, G.mapping.num_ws, 8).clone().requires_grad_()

    monkeypatch.setattr(phases, "draw_styles", of_class)
    monkeypatch.setattr(phases, "path_lengths", lambda img, ws, noise: 7 + 0 * ws.sum(dim=[1, 2]))
    c = real_batch()[1]
    means = []
    for size in (None, micro):
        trainer = new_trainer(replace(CONFIG, micro_batch=size, pl_weight=2.0, network=replace(NETWORK, std_group=1)))
        assert "mean_w" not in generator_step(trainer, c, random())
        path_length_step(trainer, c, random())
        means.append((trainer.networks.G.mapping.w_avg, trainer.pl_mean))
    assert means[0][0].abs().max() > 0
    torch.testing.assert_close(means[1][0], means[0][0])
    torch.testing.assert_close(means[1][1], means[0][1], rtol=0.01, atol=0)


def test_style_mixing_changes_the_finer_styles_of_a_fraction_of_images() -> None:
    G = make_networks(replace(NETWORK, resolution_px=64), random()).G
    c = torch.eye(2)[torch.zeros(2000, dtype=torch.long)]
    ws = draw_styles(G, c, 0.9, random(1))
    mixed = (ws != ws[:, :1]).any(dim=2)
    fraction = mixed[:, -1].float().mean().item()
    assert fraction == pytest.approx(0.9, abs=0.03)
    assert (mixed[:, 1:] >= mixed[:, :-1]).all()  # from the cutoff on, all finer layers have the other
    first = mixed[mixed[:, -1]].float().argmax(dim=1)
    counts = torch.bincount(first, minlength=ws.shape[1])
    assert counts[0] == 0
    assert counts[1:].min() > 0.6 * counts[1:].max()  # every cutoff alike
    unmixed = draw_styles(G, c, 0.0, random(1))
    assert torch.equal(unmixed, unmixed[:, :1].expand_as(unmixed))


def test_broken_gradients_do_not_reach_the_weights() -> None:
    D = Linear()
    D.weight.grad = torch.full((192,), torch.nan)
    D.weight.grad[0] = torch.inf
    before = D.weight.detach().clone()
    step(torch.optim.SGD(D.parameters(), lr=1e-5))
    assert torch.equal(D.weight[1:], before[1:])
    torch.testing.assert_close(D.weight[0], before[0] - 1)


def test_same_seed_same_training() -> None:
    first, second = (vars(train(3)[0]).values() for _ in range(2))
    assert len(first) > 2
    for a, b in zip(first, second, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def distance_to_reals(networks: NetworkPair) -> float:
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
