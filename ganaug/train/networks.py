"""The network pair, the average of its generator, and its optimizers."""

import copy
from dataclasses import dataclass

import torch
from torch import nn

from ganaug.config import GanConfig, NetworkConfig
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator
from ganaug.model.projected.discriminator import ProjectedDiscriminator

BETAS, EPSILON = (0.0, 0.99), 1e-8  # Adam's
GRADIENT_LIMIT = 1e5  # what infinity becomes


@dataclass(frozen=True)
class NetworkPair:
    """Generator and discriminator, and the generator's running average `ema`, from which images are drawn."""

    G: Generator
    D: Discriminator | ProjectedDiscriminator
    ema: Generator


@dataclass(frozen=True)
class Optimizers:
    G: torch.optim.Adam
    D: torch.optim.Adam


def make_networks(config: NetworkConfig, generator: torch.Generator, discriminator: str = "stylegan2") -> NetworkPair:
    """Draw G and D from `generator`, on the CPU; the average starts as a copy of G.

    discriminator: one of DISCRIMINATORS. Raises WeightsError where the frozen weights of `projected` are missing.
    """
    G = Generator(config, generator=generator)
    kind = ProjectedDiscriminator if discriminator == "projected" else Discriminator
    D: Discriminator | ProjectedDiscriminator = kind(config, generator=generator)
    return NetworkPair(G.train(), D.train(), copy.deepcopy(G).eval().requires_grad_(False))


def make_optimizers(networks: NetworkPair, config: GanConfig) -> Optimizers:
    """Adam for G and for D.

    A penalty that comes every k-th iteration adds a step to every k steps of its network, whose learning rate and betas
    are therefore corrected by k / (k + 1): over k iterations they act as without the penalty.
    Source: Karras et al. 2020a, appendix B, "Lazy regularization".
    """
    return Optimizers(
        _adam(networks.G, config.learning_rate, config.pl_interval if config.pl_weight > 0 else None),
        _adam(networks.D, config.learning_rate, config.r1_interval if config.r1_gamma > 0 else None),
    )


def _adam(model: torch.nn.Module, learning_rate: float, interval: int | None) -> torch.optim.Adam:
    correction = interval / (interval + 1) if interval else 1.0
    betas = (BETAS[0] ** correction, BETAS[1] ** correction)
    return torch.optim.Adam(model.parameters(), lr=learning_rate * correction, betas=betas, eps=EPSILON, fused=True)


def step(optimizer: torch.optim.Optimizer) -> None:
    """Step on gradients without NaN and infinity, then forget them."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                torch.nan_to_num(parameter.grad, 0.0, GRADIENT_LIMIT, -GRADIENT_LIMIT, out=parameter.grad)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def ema_beta(batch: int, nimg_seen: int, ema_kimg: float, rampup: float | None) -> float:
    """The fraction of the average that stays: 0.5 ** (batch / half-life), the half-life in images.

    The half-life is `ema_kimg` thousands, but at most `rampup` times the images seen so far; None sets no limit.
    """
    half_life = ema_kimg * 1000 if rampup is None else min(ema_kimg * 1000, nimg_seen * rampup)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


@torch.no_grad()
def update_ema(
    ema: nn.Module, model: nn.Module, batch: int, nimg_seen: int, ema_kimg: float = 10.0, rampup: float | None = 0.05
) -> None:
    """Move the parameters of `ema` towards those of `model`, and copy the buffers."""
    beta = ema_beta(batch, nimg_seen, ema_kimg, rampup)
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - beta)
    for average, buffer in zip(ema.buffers(), model.buffers(), strict=True):
        average.copy_(buffer)
