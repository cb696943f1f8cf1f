"""The eight symmetries of the square: histology has no up, so each makes another plausible image."""

import torch
from torch import Tensor

NUM_SYMMETRIES = 8


def dihedral(img: Tensor, symmetry: int) -> Tensor:
    """Apply one symmetry to square images [N, C, H, H]: `symmetry` % 4 quarter turns, after a flip from 4 on."""
    return torch.rot90(img.flip(3) if symmetry >= 4 else img, symmetry % 4, dims=(2, 3))


def random_dihedral(img: Tensor, generator: torch.Generator) -> Tensor:
    """Apply to each of the square images [N, C, H, H] one of the eight symmetries, drawn evenly from `generator`."""
    drawn = torch.randint(NUM_SYMMETRIES, (img.shape[0],), generator=generator, device=generator.device).to(img.device)
    result = torch.empty_like(img)
    for symmetry in range(NUM_SYMMETRIES):
        chosen = drawn == symmetry
        result[chosen] = dihedral(img[chosen], symmetry)
    return result
