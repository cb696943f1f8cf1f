"""The eight symmetries form a group, are drawn evenly and keep every pixel."""

import torch

from ganaug.augment.dihedral import NUM_SYMMETRIES, dihedral, random_dihedral

IMAGE = torch.arange(9.0).reshape(1, 1, 3, 3)


def key(img: torch.Tensor) -> tuple[float, ...]:
    return tuple(img.flatten().tolist())


def test_symmetries_are_distinct_and_closed_under_composition() -> None:
    images = [dihedral(IMAGE, symmetry) for symmetry in range(NUM_SYMMETRIES)]
    group = {key(img) for img in images}
    assert len(group) == 8
    assert {key(dihedral(img, symmetry)) for img in images for symmetry in range(NUM_SYMMETRIES)} == group


def test_every_symmetry_is_drawn_equally_often() -> None:
    num_images = 8000
    rotated = random_dihedral(IMAGE.expand(num_images, -1, -1, -1), torch.Generator().manual_seed(0))
    _, counts = torch.unique(rotated.flatten(1), dim=0, return_counts=True)
    expected = num_images / 8
    assert len(counts) == 8
    assert ((counts - expected).square() / expected).sum() < 24.3  # chi-squared with 7 degrees, p = 0.001


def test_channels_turn_together_and_the_seed_decides() -> None:
    img = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    first, again = (random_dihedral(img, torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(first, again)
    for before, after in zip(img, first, strict=True):
        assert any(torch.equal(after, dihedral(before[None], symmetry)[0]) for symmetry in range(8))
