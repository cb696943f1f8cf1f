"""One iteration of training: the generator's step, the discriminator's step and, now and then, its R1 penalty."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from ganaug.config import GanConfig, NetworkConfig
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator
from ganaug.train.ema import update_ema
from ganaug.train.losses import discriminator_loss, generator_loss, r1_penalty

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

    The R1 penalty adds one step to every r1_interval = k of the discriminator's, so its learning rate and betas are
    corrected by k / (k + 1): over k iterations they act as without the penalty.
    Source: Karras et al. 2020a, appendix B, "Lazy regularization".
    """
    lazy = config.r1_interval / (config.r1_interval + 1) if config.r1_gamma > 0 else 1.0
    return Optimizers(_adam(networks.G, config.learning_rate, 1.0), _adam(networks.D, config.learning_rate, lazy))


def _adam(model: torch.nn.Module, learning_rate: float, correction: float) -> torch.optim.Adam:
    betas = (BETAS[0] ** correction, BETAS[1] ** correction)
    return torch.optim.Adam(model.parameters(), lr=learning_rate * correction, betas=betas, eps=EPSILON, fused=True)


def train_iteration(
    networks: Networks,
    optimizers: Optimizers,
    real_img: Tensor,
    real_c: Tensor,
    iteration: int,
    generator: torch.Generator,
    config: GanConfig,
) -> dict[str, Tensor]:
    """Train G and D on one batch and update the averaged generator; the whole of one iteration.

    real_img: [N, 3, H, W] in [-1, 1]. real_c: one-hot [N, K]; the generator is asked for the same classes, as its
    labels must be drawn from the data set's. iteration: from 0 on. generator: draws latents and noise.
    Returns scalars: loss_g, loss_d, real_logits and fake_logits (means), and r1 (mean ‖∇D‖²) where it was computed.
    """
    G, D, batch = networks.G, networks.D, real_img.shape[0]
    stats = generator_step(G, D, optimizers.G, real_c, generator)
    stats |= discriminator_step(G, D, optimizers.D, real_img, real_c, generator)
    if config.r1_gamma > 0 and iteration % config.r1_interval == 0:
        stats |= r1_step(D, optimizers.D, real_img, real_c, config.r1_gamma, config.r1_interval)
    update_ema(networks.ema, G, batch, iteration * batch, config.ema_kimg, config.ema_rampup)
    return stats


def generator_step(
    G: Generator, D: Discriminator, optimizer: torch.optim.Optimizer, c: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """Make images that the discriminator takes for real; also moves the running mean of w."""
    D.requires_grad_(False)
    ws = G.mapping(_latents(G, c, generator), c)
    G.mapping.update_w_avg(ws)
    loss = generator_loss(D(G.synthesis(ws, "random", generator), c))
    loss.backward()
    D.requires_grad_(True)
    _step(optimizer)
    return {"loss_g": loss.detach()}


def discriminator_step(
    G: Generator,
    D: Discriminator,
    optimizer: torch.optim.Optimizer,
    real_img: Tensor,
    c: Tensor,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Tell real images from generated ones."""
    with torch.no_grad():
        fake_img = G(_latents(G, c, generator), c, noise_mode="random", generator=generator)
    fake_logits, real_logits = D(fake_img, c), D(real_img, c)
    loss = discriminator_loss(real_logits, fake_logits)
    loss.backward()
    _step(optimizer)
    return {
        "loss_d": loss.detach(),
        "real_logits": real_logits.detach().mean(),
        "fake_logits": fake_logits.detach().mean(),
    }


def r1_step(
    D: torch.nn.Module, optimizer: torch.optim.Optimizer, real_img: Tensor, c: Tensor, gamma: float, interval: int
) -> dict[str, Tensor]:
    """Flatten the discriminator around real images: γ/2 · ‖∇D‖², times `interval` as it comes so much more rarely."""
    real_img = real_img.detach().requires_grad_(True)
    penalty = r1_penalty(D(real_img, c), real_img).mean()
    (penalty * (gamma / 2 * interval)).backward()
    _step(optimizer)
    return {"r1": penalty.detach()}


def _latents(G: Generator, c: Tensor, generator: torch.Generator) -> Tensor:
    z = torch.randn(c.shape[0], G.config.z_dim, generator=generator, device=generator.device)
    return z.to(c.device)


def _step(optimizer: torch.optim.Optimizer) -> None:
    """Step on gradients without NaN and infinity, then forget them."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                torch.nan_to_num(parameter.grad, 0.0, GRADIENT_LIMIT, -GRADIENT_LIMIT, out=parameter.grad)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
