"""The joint step with a projected discriminator: who steps first, parts as the whole, and that both move."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from ganaug.config import GanConfig, NetworkConfig
from ganaug.model.pixels import to_pixels
from ganaug.model.projected.discriminator import ProjectedDiscriminator
from ganaug.train import phases
from ganaug.train.losses import hinge_discriminator_loss, hinge_generator_loss
from ganaug.train.networks import make_networks, make_optimizers, step
from ganaug.train.phases import Trainer, joint_step, train_iteration

NETWORK = NetworkConfig(8, 2, z_dim=8, w_dim=8, channel_base=128, channel_max=16)
PROJECTED = GanConfig(
    NETWORK, total_kimg=1, batch=8, discriminator="projected", r1_gamma=0.0, style_mixing=0.0, pl_weight=0.0
)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def real_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes, bright above and bright below."""
    labels = torch.arange(PROJECTED.batch) % 2
    img = torch.ones(PROJECTED.batch, 3, 8, 8)
    img[:, :, 4:] = -1
    img = torch.where(labels[:, None, None, None] == 0, img, img.flip(2))
    return img + 0.1 * torch.randn(img.shape, generator=random(3)), torch.eye(2)[labels]


def new_trainer(config: GanConfig = PROJECTED) -> Trainer:
    networks = make_networks(config.network, random(), config.discriminator)
    return Trainer(networks, make_optimizers(networks, config), config)


def moved(before: dict[str, torch.Tensor], module: torch.nn.Module) -> bool:
    return any(not torch.equal(before[name], parameter) for name, parameter in module.named_parameters())


def copy_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def watch_gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    """The gradients that the optimizers of both networks get, by network and parameter, once they step."""
    found: dict[str, torch.Tensor] = {}
    networks = {"G": trainer.networks.G, "D": trainer.networks.D}
    for name, network in networks.items():
        parameters = dict(network.named_parameters())

        def keep(*_: object, name: str = name, parameters: dict[str, Any] = parameters) -> None:
            found.update({f"{name}.{key}": p.grad.clone() for key, p in parameters.items() if p.grad is not None})

        getattr(trainer.optimizers, name).register_step_pre_hook(keep)
    return found


def step_jointly(config: GanConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[Trainer, dict[str, torch.Tensor]]:
    """One joint step, with styles that depend on the class alone and without noise."""
    trainer, (img, c) = new_trainer(config), real_batch()
    found, D = watch_gradients(trainer), trainer.networks.D
    assert isinstance(D, ProjectedDiscriminator)
    D.learn_classes(to_pixels(img), c.argmax(1).numpy())
    monkeypatch.setattr(phases, "draw_styles", lambda G, c, *_: G.mapping(c.repeat(1, 4), c))
    joint_step(trainer, D, img, c, random())
    return trainer, found


def test_the_discriminator_steps_first_and_the_generator_against_the_stepped_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, found = step_jointly(PROJECTED, monkeypatch)
    trainer, (img, c) = new_trainer(), real_batch()
    G, D = trainer.networks.G, trainer.networks.D
    assert isinstance(D, ProjectedDiscriminator)
    fake = G.synthesis(G.mapping(c.repeat(1, 4), c), "random", random())
    torch.autograd.backward(hinge_discriminator_loss(D(img, c), D(fake.detach(), c)))
    expected = {f"D.{name}": p.grad.clone() for name, p in D.named_parameters() if p.grad is not None}
    step(trainer.optimizers.D)
    D.update_norms()
    torch.autograd.backward(hinge_generator_loss(D(fake, c)))
    expected |= {f"G.{name}": p.grad.clone() for name, p in G.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    assert any(name.startswith("G.synthesis") for name in found)
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("micro", [2, 3])
def test_a_joint_step_in_parts_is_that_of_the_whole_batch(micro: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = (step_jointly(replace(PROJECTED, micro_batch=size), monkeypatch) for size in (None, micro))
    for name, grad in whole[1].items():
        if not name.endswith("noise_strength"):  # whose gradient depends on the noise, which parts draw in other order
            assert (parts[1][name] - grad).norm() <= 0.05 * grad.norm() + 1e-6, name
    for a, b in zip(whole[0].networks.D.state_dict().values(), parts[0].networks.D.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-2)


def test_a_class_penalty_changes_the_generators_step_alone_and_in_parts_as_in_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    penalised = replace(PROJECTED, class_penalty=5.0)
    plain, whole, parts = (
        step_jointly(config, monkeypatch) for config in (PROJECTED, penalised, replace(penalised, micro_batch=2))
    )
    for name, grad in whole[1].items():
        if name.startswith("D."):
            assert torch.equal(plain[1][name], grad), name
        elif name.startswith("G.synthesis") and name.endswith("weight"):
            assert (plain[1][name] - grad).norm() > 0.01 * grad.norm(), name
        if not name.endswith("noise_strength"):
            assert (parts[1][name] - grad).norm() <= 0.05 * grad.norm() + 1e-6, name


def test_a_joint_step_moves_both_networks_and_follows_with_the_norms() -> None:
    trainer, (img, c) = new_trainer(), real_batch()
    G, D = trainer.networks.G, trainer.networks.D
    assert isinstance(D, ProjectedDiscriminator)
    before, norms = (copy_of(G), copy_of(D)), {k: v.clone() for k, v in D.state_dict().items() if k.endswith(".u")}
    joint_step(trainer, D, img, c, random())
    assert moved(before[0], G)
    assert moved(before[1], D)
    assert any(not torch.equal(norms[name], D.state_dict()[name]) for name in norms)
    assert all(parameter.grad is None for parameter in [*G.parameters(), *D.parameters()])
    assert all(parameter.requires_grad for parameter in [*G.parameters(), *D.parameters()])
    assert G.mapping.w_avg.abs().sum() > 0


def test_a_projected_discriminator_tells_apart_images_and_classes() -> None:
    trainer, (img, c), latents = new_trainer(), real_batch(), random(1)
    stats = [train_iteration(trainer, img, c, iteration, latents) for iteration in range(40)]
    assert {"loss_g", "loss_d", "real_logits", "fake_logits"} <= stats[0].keys()
    assert not {"r1", "class_shortfall"} & stats[0].keys()
    G, D = trainer.networks.G, trainer.networks.D
    with torch.no_grad():
        right, wrong = D(img, c).mean(), D(img, 1 - c).mean()
        fake = D(G(torch.randn(8, 8, generator=random(7)), c, noise_mode="const"), c).mean()
    assert right > wrong + 0.5
    assert right > fake + 0.5


def test_a_generator_learns_to_show_its_classes_by_the_penalty_alone() -> None:
    config = replace(PROJECTED, class_penalty=5.0, learning_rate=0.03)
    trainer, (img, c), latents = new_trainer(config), real_batch(), random(1)
    D = trainer.networks.D
    assert isinstance(D, ProjectedDiscriminator)
    D.learn_classes(to_pixels(img), c.argmax(1).numpy())
    judge = D.judge
    D.judge = lambda maps, c: judge([x.detach() for x in maps], c)  # type: ignore[method-assign]
    seen = [train_iteration(trainer, img, c, iteration, latents)["class_shortfall"] for iteration in range(20)]
    assert float(seen[-1]) < 0.5 * float(seen[0])
