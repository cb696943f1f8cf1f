"""The averaged generator, from which images are drawn."""

import torch
from torch import nn


def ema_beta(batch: int, nimg_seen: int, ema_kimg: float, rampup: float | None) -> float:
    """The share of the average that stays: 0.5 ** (batch / half-life), the half-life in images.

    The half-life is `ema_kimg` thousands, but at most `rampup` times the images seen so far; None is no limit.
    """
    half_life = ema_kimg * 1000 if rampup is None else min(ema_kimg * 1000, nimg_seen * rampup)
    return 0.5 ** (batch / max(half_life, 1e-8))


@torch.no_grad()
def update_ema(
    ema: nn.Module, model: nn.Module, batch: int, nimg_seen: int, ema_kimg: float = 10.0, rampup: float | None = 0.05
) -> None:
    """Move the parameters of `ema` towards those of `model`, and copy the buffers."""
    beta = ema_beta(batch, nimg_seen, ema_kimg, rampup)
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - beta)
    for average, buffer in zip(ema.buffers(), model.buffers(), strict=True):
        average.copy_(buffer)
