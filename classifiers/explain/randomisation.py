"""Weight randomisation: a map that stays when the network forgets what it learned does not show what it learned."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RandomisedLayers:
    """A copy of a model whose last layers are random."""

    model: nn.Module
    first_random: str  # the name of the earliest random layer
    fraction: float  # of the layers with weights that are random


@dataclass(frozen=True)
class Agreement:
    """How alike two sets of n maps are; NaN where one of two maps is constant."""

    rank_correlation: Floats  # [n], Spearman's, over pixels, in [-1,1]
    ssim: Floats  # [n], structural similarity, in [-1,1]


def randomise(model: nn.Module, images: Tensor, *, num_stages: int = 6, seed: int = 0) -> Iterator[RandomisedLayers]:
    """Copies of a model with more and more random layers, from the last one alone to all of them.

    The order is that in which the model computes its layers for `images` [n,3,H,W]; layers with weights that it does
    not compute come first. Each copy keeps the random layers of the one before. `num_stages` of them, in equal steps.

    Source: Adebayo et al. 2018, cascading randomisation. Our choice: a weight is drawn from a normal distribution with
    the mean and the standard deviation of its own tensor, so that activations keep the scale that the stored statistics
    of batch normalisation expect; these statistics stay.
    """
    if num_stages < 1:
        raise ValueError(f"{num_stages} stages; expected at least 1")
    names = list(reversed(_layers_in_order(model, images)))
    random, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    ends = np.unique(np.linspace(1, len(names), min(num_stages, len(names))).round().astype(int))
    start = 0
    for end in ends.tolist():
        for name in names[start:end]:
            _draw(random.get_submodule(name), generator)
        start = end
        yield RandomisedLayers(copy.deepcopy(random).eval(), names[end - 1], end / len(names))


def _layers_in_order(model: nn.Module, images: Tensor) -> list[str]:
    """The names of the modules that hold weights themselves, in the order in which they are computed."""
    owners = {name: module for name, module in model.named_modules() if any(True for _ in module.parameters(False))}
    seen: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: None if name in seen else seen.append(name))
        for name, module in owners.items()
    ]
    try:
        with torch.inference_mode():
            model(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return [name for name in owners if name not in seen] + seen


def _draw(module: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for weight in module.parameters(False):
            noise = torch.randn(weight.shape, generator=generator).to(weight)
            weight.copy_(weight.mean() + weight.std(correction=0) * noise)


def compare_maps(first: Tensor, second: Tensor) -> Agreement:
    """Rank correlation and structural similarity of maps [n,H,W] in [0,1] with others of the same images."""
    from scipy.stats import rankdata

    ranks = [rankdata(np.asarray(maps.flatten(1).double().cpu()), axis=1) for maps in (first, second)]
    centred = [rank - rank.mean(1, keepdims=True) for rank in ranks]
    with np.errstate(invalid="ignore", divide="ignore"):
        norm = np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
        correlation = np.where(norm > 0, (centred[0] * centred[1]).sum(1) / norm, np.nan)
    return Agreement(correlation, np.where(norm > 0, structural_similarity(first, second), np.nan))


def structural_similarity(first: Tensor, second: Tensor) -> Floats:
    """SSIM [n] of maps [n,H,W] in [0,1]: Gaussian windows of 11 px with σ 1.5 px, mean over all whole windows.

    Smaller maps get the largest odd window that they hold. Source: Wang et al. 2004, equation 13.
    """
    size = min(11, *(side - (side + 1) % 2 for side in first.shape[1:]))
    at = torch.arange(size, dtype=torch.float64) - size // 2
    line = torch.exp(-0.5 * (at / 1.5) ** 2)
    window = (line[:, None] * line / line.sum() ** 2)[None, None]
    a, b = (maps.double().cpu()[:, None] for maps in (first, second))
    mean_a, mean_b, aa, bb, ab = (F.conv2d(x, window) for x in (a, b, a * a, b * b, a * b))
    c1, c2 = 0.01**2, 0.03**2
    scale = (mean_a**2 + mean_b**2 + c1) * (aa - mean_a**2 + bb - mean_b**2 + c2)
    ssim = (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2) / scale
    return np.asarray(ssim.mean((1, 2, 3)))
