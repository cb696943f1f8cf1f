"""How alike two images are once the second is laid over the first: candidates by a coarse search, then a fine one.

The coarse search correlates each image, in its eight orientations, with every reference rotated, cropped and shifted in
steps, at 16 px. The fine search improves the placement of a few candidates at 32 px.

Our choice: plain correlation on a grid of placements, as it is one matrix product per placement and misses none.
"""

import math
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganaug.evaluate.copies.structure import orientations, unit_vectors, warp

_COARSE_PX = 16
_COARSE_HALF, _FINE_HALF = 0.75, 0.9  # of the central square that is compared, as the rest may lie outside a reference
_PLACEMENTS = tuple(
    (math.radians(degrees), math.log(scale), across, down)
    for degrees, scale, across, down in product((-8, 0, 8), (1.0, 0.9), (-0.12, 0, 0.12), (-0.12, 0, 0.12))
)
_STEPS = (math.radians(4), 0.05, 0.06, 0.06)  # the first of the fine search; halved twice
_LOWEST = (-math.radians(14), math.log(0.78), -0.3, -0.3)
_HIGHEST = (math.radians(14), math.log(1.05), 0.3, 0.3)
_NUM_ROUNDS, _NUM_HALVINGS = 2, 3
EXCLUDED = -2.0  # correlation of pairs that are not compared


class Alignment(NamedTuple):
    """Pairs of an image and a reference, [n,k]."""

    similarity: Tensor  # correlation, -1 to 1; NaN where there is no reference
    reference: Tensor  # i64, its position
    orientation: Tensor  # i64, in which the image lies like the reference
    placement: Tensor  # [n,k,4], of the reference, see `warp`


def views_of(references: Tensor) -> Tensor:
    """The references [N,32,32] in all coarse placements, as unit vectors [V,d,N]."""
    table = torch.tensor(_PLACEMENTS, device=references.device)
    views = [_shrink(warp(references, placement.expand(len(references), 4))) for placement in table]
    return torch.stack([unit_vectors(view, _COARSE_HALF).T.contiguous() for view in views])


def correlate(images: Tensor, views: Tensor) -> Tensor:
    """The largest correlation [n,N] of each pair over the orientations of images [n,32,32] and the placements."""
    queries = unit_vectors(_shrink(orientations(images).flatten(0, 1)), _COARSE_HALF)
    best = torch.full((len(queries), views.shape[2]), -1.0, device=images.device)
    for view in views:
        torch.maximum(best, queries @ view, out=best)
    return best.view(-1, len(images), views.shape[2]).amax(0)


def align(images: Tensor, references: Tensor, views: Tensor, candidates: Tensor) -> Alignment:
    """The best alignment of each image [n,32,32] with each of its candidates i64 [n,k], positions of references."""
    num, k = candidates.shape
    turned = orientations(images)
    queries = unit_vectors(_shrink(turned.flatten(0, 1)), _COARSE_HALF).view(len(turned), num, -1)
    chosen = views[:, :, candidates.flatten()].view(len(views), -1, num, k)
    coarse = torch.einsum("snd,vdnk->nkvs", queries, chosen).flatten(2).argmax(2)
    orientation = coarse % len(turned)
    start = torch.tensor(_PLACEMENTS, device=images.device)[coarse // len(turned)]
    targets = turned[orientation, torch.arange(num, device=images.device)[:, None]]
    similarity, placement = _refine(
        unit_vectors(targets.flatten(0, 1), _FINE_HALF), references[candidates.flatten()], start.flatten(0, 1)
    )
    return Alignment(similarity.view(num, k), candidates, orientation, placement.view(num, k, 4))


def _refine(targets: Tensor, references: Tensor, placement: Tensor) -> tuple[Tensor, Tensor]:
    """The correlation [m] and placement [m,4] after steps along each coordinate, kept where they improve."""
    lowest, highest = (torch.tensor(bound, device=targets.device) for bound in (_LOWEST, _HIGHEST))
    steps = torch.diag(torch.tensor(_STEPS, device=targets.device))

    def score(at: Tensor) -> Tensor:
        return (unit_vectors(warp(references, at), _FINE_HALF) * targets).sum(1)

    best = score(placement)
    for halving, _, coordinate, sign in product(range(_NUM_HALVINGS), range(_NUM_ROUNDS), range(4), (1, -1)):
        tried = (placement + sign * steps[coordinate] / 2**halving).clamp(lowest, highest)
        found = score(tried)
        placement = torch.where((found > best)[:, None], tried, placement)
        best = torch.maximum(found, best)
    return best, placement


def _shrink(structures: Tensor) -> Tensor:
    """[n,32,32] at the coarse side."""
    return F.interpolate(structures[:, None], (_COARSE_PX, _COARSE_PX), mode="area")[:, 0]
