"""The two players, their average and their optimisers."""

import copy
from dataclasses import dataclass

import torch

from ganaug.config import GanConfig, NetworkConfig
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator

BETAS, EPSILON = (0.0, 0.99), 1e-8  # Adam's
GRADIENT_LIMIT = 1e5


@dataclass(frozen=True)
class Networks:
    """The two players and the generator's running average."""

    G: Generator
    D: Discriminator
    ema: Generator


@dataclass(frozen=True)
class Optimizers:
    G: torch.optim.Adam
    D: torch.optim.Adam


def make_networks(config: NetworkConfig, generator: torch.Generator) -> Networks:
    """Draw G and D from `generator`, on the CPU; the average starts as a copy of G."""
    G, D = Generator(config, generator=generator), Discriminator(config, generator=generator)
    return Networks(G.train(), D.train(), copy.deepcopy(G).eval().requires_grad_(False))


def make_optimizers(networks: Networks, config: GanConfig) -> Optimizers:
    """Adam for G and for D.

    A penalty that comes every k-th iteration adds a step to every k of its player's, so that player's learning rate and
    betas are corrected by k / (k + 1): over k iterations they act as without the penalty.
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
