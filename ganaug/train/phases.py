"""The phases of one iteration: both players' steps and, now and then, the penalty of each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ganaug.config import GanConfig
from ganaug.model.generator import Generator
from ganaug.train.distributed.gradients import Gradients
from ganaug.train.distributed.process_group import Team
from ganaug.train.losses import discriminator_loss, generator_loss, path_lengths, r1_penalty
from ganaug.train.networks import Networks, Optimizers, step, update_ema

PL_DECAY = 0.01  # of the running mean of path lengths, per penalty
PL_SHRINK = 2  # the path length penalty takes this share of a batch

Stats = dict[str, Tensor]  # scalars
Augment = Callable[[Tensor], Tensor]


@dataclass
class Game:
    """Two networks at play, and what they play by."""

    networks: Networks
    optimizers: Optimizers
    config: GanConfig
    team: Team = field(default_factory=Team)
    pl_mean: Tensor = field(default_factory=lambda: torch.zeros([]))  # running mean of path lengths
    augment: Augment = lambda img: img  # of all that the discriminator is shown
    hear: Callable[[Tensor], None] = lambda logits: None  # is told what the discriminator says of real images

    def __post_init__(self) -> None:
        self.gradients: dict[nn.Module, Gradients] = {
            network: Gradients(network, self.team) for network in (self.networks.G, self.networks.D)
        }

    def learn(
        self, player: nn.Module, batch: tuple[Tensor, ...], loss_of: Callable[..., tuple[Tensor, Stats]]
    ) -> Stats:
        """Move a player down the mean loss over a batch, of which `micro_batch` images at a time are in memory.

        loss_of: takes some of the batch; returns their mean loss and stats. Returns the stats' means.
        """
        size = len(batch[0])
        micro, means = self.config.micro_batch or size, Stats()
        for start in range(0, size, micro):
            some = [values[start : start + micro] for values in batch]
            share = len(some[0]) / size
            loss, stats = loss_of(*some)
            self.gradients[player].backward(loss * share, last=start + micro >= size)
            for name, value in stats.items():
                means[name] = means.get(name, 0.0) + value.detach() * share
        step(self.optimizers.G if player is self.networks.G else self.optimizers.D)
        return means


def train_iteration(game: Game, real_img: Tensor, c: Tensor, iteration: int, random: torch.Generator) -> Stats:
    """Train G and D on one batch and update the averaged generator.

    real_img: [N, 3, H, W] in [-1, 1]. c: their classes [N, K]; the generator is asked for the same, as its labels must
    be drawn from the data set's. iteration: from 0 on. random: of latents, noise and cutoffs.
    Returns scalars: loss_g, loss_d, the means of real_logits and fake_logits, and path_length and r1 (mean ‖∇D‖²)
    where they were computed.
    """
    config, networks = game.config, game.networks
    stats = generator_step(game, c, random)
    if config.pl_weight > 0 and iteration % config.pl_interval == 0:
        stats |= path_length_step(game, c, random)
    stats |= discriminator_step(game, real_img, c, random)
    if config.r1_gamma > 0 and iteration % config.r1_interval == 0:
        stats |= r1_step(game, real_img, c)
    seen = iteration * config.batch
    update_ema(networks.ema, networks.G, config.batch, seen, config.ema_kimg, config.ema_rampup)
    return stats


def generator_step(game: Game, c: Tensor, random: torch.Generator) -> Stats:
    """Make images that the discriminator takes for real; also moves the running mean of w."""
    G, D = game.networks.G, game.networks.D

    def loss_of(c: Tensor) -> tuple[Tensor, Stats]:
        ws = styles(G, c, game.config.style_mixing, random)
        loss = generator_loss(D(game.augment(G.synthesis(ws, "random", random)), c))
        return loss, {"loss_g": loss, "mean_w": ws[:, 0].mean(dim=0)}

    with frozen(D):
        stats = game.learn(G, (c,), loss_of)
    G.mapping.update_w_avg(game.team.mean(stats.pop("mean_w"))[None, None])
    return stats


def path_length_step(game: Game, c: Tensor, random: torch.Generator) -> Stats:
    """Draw the generator towards images that move equally far for equal steps in w, on a part of the batch.

    Source: Karras et al. 2020a, equation 4; times `pl_interval`, as it comes so much more rarely.
    """
    G, config = game.networks.G, game.config
    size = max(len(c) // PL_SHRINK, 1)

    def loss_of(c: Tensor) -> tuple[Tensor, Stats]:
        ws = styles(G, c, config.style_mixing, random)
        img = G.synthesis(ws, "random", random)
        noise = torch.randn(img.shape, generator=random, device=img.device) / img[0, 0].numel() ** 0.5
        lengths = path_lengths(img, ws, noise)
        game.pl_mean.lerp_(game.team.mean(lengths.detach().mean()), PL_DECAY * len(c) / size)
        loss = (lengths - game.pl_mean).square().mean() * (config.pl_weight * config.pl_interval)
        return loss, {"path_length": lengths.mean()}

    return game.learn(G, (c[:size],), loss_of)


def discriminator_step(game: Game, real_img: Tensor, c: Tensor, random: torch.Generator) -> Stats:
    """Tell real images from generated ones, which are asked for in the same classes."""
    G, D = game.networks.G, game.networks.D

    def loss_of(real_img: Tensor, c: Tensor) -> tuple[Tensor, Stats]:
        with torch.no_grad():
            fake_img = G.synthesis(styles(G, c, game.config.style_mixing, random), "random", random)
        fake_logits, real_logits = D(game.augment(fake_img), c), D(game.augment(real_img), c)
        game.hear(real_logits)
        loss = discriminator_loss(real_logits, fake_logits)
        return loss, {"loss_d": loss, "real_logits": real_logits.mean(), "fake_logits": fake_logits.mean()}

    return game.learn(D, (real_img, c), loss_of)


def r1_step(game: Game, real_img: Tensor, c: Tensor) -> Stats:
    """Flatten the discriminator around real images: γ/2 · ‖∇D‖², times `r1_interval` as it comes so much more rarely.

    The gradient is taken at the images as they are, through their augmentation.
    """
    D, config = game.networks.D, game.config

    def loss_of(real_img: Tensor, c: Tensor) -> tuple[Tensor, Stats]:
        real_img = real_img.detach().requires_grad_(True)
        penalty = r1_penalty(D(game.augment(real_img), c), real_img).mean()
        return penalty * (config.r1_gamma / 2 * config.r1_interval), {"r1": penalty}

    return game.learn(D, (real_img, c), loss_of)


def styles(G: Generator, c: Tensor, mixing: float, random: torch.Generator) -> Tensor:
    """Styles ws [N, L, w_dim] of random latents; with the chance `mixing`, an image's finer layers have another's.

    Source: Karras et al. 2019, section 3.1.
    """
    ws = G.mapping(_latents(G, c, random), c)
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
def frozen(network: nn.Module) -> Iterator[None]:
    """Compute no gradients of these weights."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
