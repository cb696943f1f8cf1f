"""The phases of one iteration: a step of each network and, at intervals, the penalty of each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ganaug.config import GanConfig
from ganaug.model.generator import Generator
from ganaug.model.projected.discriminator import ProjectedDiscriminator
from ganaug.train.distributed.gradients import Gradients
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.losses import (
    discriminator_loss,
    generator_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    path_lengths,
    r1_penalty,
)
from ganaug.train.networks import NetworkPair, Optimizers, step, update_ema

PL_DECAY = 0.01  # of the running mean of path lengths, per penalty
PL_SHRINK = 2  # the path length penalty takes one of so many parts of a batch

Stats = dict[str, Tensor]  # scalars
Losses = dict[nn.Module, Tensor]  # scalars, each of the network that steps down it
Augment = Callable[[Tensor], Tensor]


@dataclass
class Trainer:
    """The network pair and its optimizers, with all that their steps need."""

    networks: NetworkPair
    optimizers: Optimizers
    config: GanConfig
    processes: ProcessGroup = field(default_factory=ProcessGroup)
    pl_mean: Tensor = field(default_factory=lambda: torch.zeros([]))  # running mean of path lengths
    augment: Augment = lambda img: img  # of all that the discriminator is shown
    on_real_logits: Callable[[Tensor], None] = lambda logits: None  # gets D's output on real images

    def __post_init__(self) -> None:
        self.gradients: dict[nn.Module, Gradients] = {
            network: Gradients(network, self.processes) for network in (self.networks.G, self.networks.D)
        }

    def minimize(self, batch: tuple[Tensor, ...], losses_of: Callable[..., tuple[Losses, Stats]]) -> Stats:
        """Step G, D or both down their mean losses over a batch, of which `micro_batch` images at a time are in memory.

        losses_of: takes a part of the batch; returns the mean loss of each network that steps, and stats. Returns the
        stats' means over the batch.
        """
        size = len(batch[0])
        micro, means, losses = self.config.micro_batch or size, Stats(), Losses()
        for start in range(0, size, micro):
            part = [values[start : start + micro] for values in batch]
            fraction = len(part[0]) / size
            losses, stats = losses_of(*part)
            for network, loss in losses.items():
                self.gradients[network].backward(loss * fraction, last=start + micro >= size)
            for name, value in stats.items():
                means[name] = means.get(name, 0.0) + value.detach() * fraction
        for network in losses:
            step(self.optimizers.G if network is self.networks.G else self.optimizers.D)
        return means


def train_iteration(trainer: Trainer, real_img: Tensor, c: Tensor, iteration: int, random: torch.Generator) -> Stats:
    """Train G and D on one batch and update the averaged generator.

    real_img: [N, 3, H, W] in [-1, 1]. c: their classes [N, K]; the generator is asked for the same, as its labels must
    be drawn from the data set's. iteration: from 0 on. random: of latents, noise and cutoffs.
    Returns scalars: loss_g, loss_d, the means of real_logits and fake_logits, and path_length, r1 (mean ‖∇D‖²) and
    class_shortfall where they were computed.
    """
    config, networks = trainer.config, trainer.networks
    if isinstance(networks.D, ProjectedDiscriminator):
        stats = joint_step(trainer, networks.D, real_img, c, random)
    else:
        stats = generator_step(trainer, c, random)
    if config.pl_weight > 0 and iteration % config.pl_interval == 0:
        stats |= path_length_step(trainer, c, random)
    if not isinstance(networks.D, ProjectedDiscriminator):
        stats |= discriminator_step(trainer, real_img, c, random)
    if config.r1_gamma > 0 and iteration % config.r1_interval == 0:
        stats |= r1_step(trainer, real_img, c)
    seen = iteration * config.batch
    update_ema(networks.ema, networks.G, config.batch, seen, config.ema_kimg, config.ema_rampup)
    return stats


def generator_step(trainer: Trainer, c: Tensor, random: torch.Generator) -> Stats:
    """Make images that the discriminator takes for real; also moves the running mean of w."""
    G, D = trainer.networks.G, trainer.networks.D

    def losses_of(c: Tensor) -> tuple[Losses, Stats]:
        ws = draw_styles(G, c, trainer.config.style_mixing, random)
        loss = generator_loss(D(trainer.augment(G.synthesis(ws, "random", random)), c))
        return {G: loss}, {"loss_g": loss, "mean_w": ws[:, 0].mean(dim=0)}

    with freeze(D):
        stats = trainer.minimize((c,), losses_of)
    G.mapping.update_w_avg(trainer.processes.mean(stats.pop("mean_w"))[None, None])
    return stats


def joint_step(
    trainer: Trainer, D: ProjectedDiscriminator, real_img: Tensor, c: Tensor, random: torch.Generator
) -> Stats:
    """Step a projected discriminator and then, against the stepped one, the generator, on the same generated images.

    The frozen maps are most of the work; so they are computed once for both, unless a batch is computed in parts.
    Published is one after the other on images of their own. Both at once, down losses of the weights before the step,
    ended farther from real images in a first trial of one seed (scripts/results/learning-screening.json).
    """
    G, mixing = trainer.networks.G, trainer.config.style_mixing
    is_whole = (trainer.config.micro_batch or len(c)) >= len(c)
    kept: list[tuple[list[Tensor], Tensor]] = []

    def draw_maps(c: Tensor) -> tuple[list[Tensor], Tensor]:
        ws = draw_styles(G, c, mixing, random)
        return D.maps(trainer.augment(G.synthesis(ws, "random", random))), ws

    def losses_of_discriminator(real_img: Tensor, c: Tensor) -> tuple[Losses, Stats]:
        with torch.set_grad_enabled(is_whole):
            drawn = draw_maps(c)
        if is_whole:
            kept.append(drawn)
        with torch.no_grad():
            real_maps = D.maps(trainer.augment(real_img))
        real_logits, fake_logits = D.judge(real_maps, c), D.judge([seen.detach() for seen in drawn[0]], c)
        trainer.on_real_logits(real_logits)
        loss = hinge_discriminator_loss(real_logits, fake_logits)
        return {D: loss}, {"loss_d": loss, "real_logits": real_logits.mean(), "fake_logits": fake_logits.mean()}

    def losses_of_generator(c: Tensor) -> tuple[Losses, Stats]:
        fake_maps, ws = kept.pop() if kept else draw_maps(c)
        loss, found = hinge_generator_loss(D.judge(fake_maps, c)), {"mean_w": ws[:, 0].mean(dim=0)}
        if trainer.config.class_penalty > 0:
            found["class_shortfall"] = D.class_shortfall(fake_maps, c)
            loss = loss + trainer.config.class_penalty * found["class_shortfall"]
        return {G: loss}, {"loss_g": loss, **found}

    stats = trainer.minimize((real_img, c), losses_of_discriminator)
    D.update_norms()
    with freeze(D):
        stats |= trainer.minimize((c,), losses_of_generator)
    G.mapping.update_w_avg(trainer.processes.mean(stats.pop("mean_w"))[None, None])
    return stats


def path_length_step(trainer: Trainer, c: Tensor, random: torch.Generator) -> Stats:
    """Draw the generator towards images that move equally far for equal steps in w, on a part of the batch.

    Source: Karras et al. 2020a, equation 4; times `pl_interval`, as it comes that much more rarely.
    """
    G, config = trainer.networks.G, trainer.config
    size = max(len(c) // PL_SHRINK, 1)

    def losses_of(c: Tensor) -> tuple[Losses, Stats]:
        ws = draw_styles(G, c, config.style_mixing, random)
        img = G.synthesis(ws, "random", random)
        noise = torch.randn(img.shape, generator=random, device=img.device) / img[0, 0].numel() ** 0.5
        lengths = path_lengths(img, ws, noise)
        trainer.pl_mean.lerp_(trainer.processes.mean(lengths.detach().mean()), PL_DECAY * len(c) / size)
        loss = (lengths - trainer.pl_mean).square().mean() * (config.pl_weight * config.pl_interval)
        return {G: loss}, {"path_length": lengths.mean()}

    return trainer.minimize((c[:size],), losses_of)


def discriminator_step(trainer: Trainer, real_img: Tensor, c: Tensor, random: torch.Generator) -> Stats:
    """Teach the discriminator to separate real images from generated ones of the same classes."""
    G, D = trainer.networks.G, trainer.networks.D

    def losses_of(real_img: Tensor, c: Tensor) -> tuple[Losses, Stats]:
        with torch.no_grad():
            fake_img = G.synthesis(draw_styles(G, c, trainer.config.style_mixing, random), "random", random)
        fake_logits, real_logits = D(trainer.augment(fake_img), c), D(trainer.augment(real_img), c)
        trainer.on_real_logits(real_logits)
        loss = discriminator_loss(real_logits, fake_logits)
        return {D: loss}, {"loss_d": loss, "real_logits": real_logits.mean(), "fake_logits": fake_logits.mean()}

    return trainer.minimize((real_img, c), losses_of)


def r1_step(trainer: Trainer, real_img: Tensor, c: Tensor) -> Stats:
    """Flatten the discriminator around real images: γ/2 · ‖∇D‖², times `r1_interval` as it comes that much more rarely.

    The gradient is taken at the images as they are, through their ADA augmentation.
    """
    D, config = trainer.networks.D, trainer.config

    def losses_of(real_img: Tensor, c: Tensor) -> tuple[Losses, Stats]:
        real_img = real_img.detach().requires_grad_(True)
        penalty = r1_penalty(D(trainer.augment(real_img), c), real_img).mean()
        return {D: penalty * (config.r1_gamma / 2 * config.r1_interval)}, {"r1": penalty}

    return trainer.minimize((real_img, c), losses_of)


def draw_styles(G: Generator, c: Tensor, mixing: float, random: torch.Generator) -> Tensor:
    """Styles ws [N, L, w_dim] of random latents; with probability `mixing`, an image's finer layers have another's.

    Source: Karras et al. 2019, section 3.1.
    """
    ws: Tensor = G.mapping(_latents(G, c, random), c)
    if mixing == 0:
        return ws
    other, (num_images, num_ws) = G.mapping(_latents(G, c, random), c), ws.shape[:2]
    cutoff = torch.randint(1, num_ws, [num_images, 1], generator=random, device=random.device)
    unmixed = torch.rand([num_images, 1], generator=random, device=random.device) >= mixing
    coarse = (torch.arange(num_ws, device=random.device) < cutoff) | unmixed
    return torch.where(coarse[:, :, None].to(ws.device), ws, other)


def _latents(G: Generator, c: Tensor, random: torch.Generator) -> Tensor:
    z = torch.randn(c.shape[0], G.config.z_dim, generator=random, device=random.device)
    return z.to(c.device)


@contextmanager
def freeze(network: nn.Module) -> Iterator[None]:
    """Compute no gradients of these weights within the block."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
