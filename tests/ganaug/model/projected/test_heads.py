"""Heads: bounded slopes that no forward pass moves, classes by projection."""

import pytest
import torch

from ganaug.model.projected.heads import GRID_PX, Head, SpectralConv2d


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slope(layer: SpectralConv2d) -> float:
    """The largest singular value of the weights as they are applied, from their effect on unit inputs."""
    size = layer.weight[0].numel()
    rows = torch.eye(size).reshape(size, *layer.weight.shape[1:])
    bias = layer.bias[None, :, None, None]
    padding, layer.padding = layer.padding, 0
    applied = (layer(rows) - bias).flatten(1)
    layer.padding = padding
    return float(torch.linalg.matrix_norm(applied.detach(), 2))


@pytest.mark.parametrize("kernel_px", [1, 3, 4])
def test_the_largest_singular_value_is_one_however_large_the_weights(kernel_px: int) -> None:
    layer = SpectralConv2d(6, 5, kernel_px, generator=random())
    assert slope(layer) == pytest.approx(1, abs=0.02)
    with torch.no_grad():
        layer.weight.mul_(7)
    assert slope(layer) == pytest.approx(1, abs=0.02)


def test_the_vector_follows_changed_weights_only_when_it_is_updated() -> None:
    layer = SpectralConv2d(6, 5, 3, generator=random())
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=random(1)))
    before = layer.u.clone()
    first, second = (layer(torch.ones(1, 6, 8, 8)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(layer.u, before)
    for _ in range(30):
        layer.update_norm()
    assert slope(layer) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("side_px", "places"), [(32, 16), (24, 9), (12, 9), (8, 16), (6, 9), (4, 16), (3, 9)])
def test_every_map_is_halved_to_a_small_grid(side_px: int, places: int) -> None:
    head = Head(5, side_px, 3, 8, generator=random())
    logits = head(torch.randn(2, 5, side_px, side_px), torch.eye(3)[:2])
    assert list(logits.shape) == [2, places]
    assert places <= GRID_PX**2


def test_a_class_changes_the_logits_and_one_class_has_no_say() -> None:
    x = torch.randn(1, 5, 8, 8, generator=random(3)).expand(3, -1, -1, -1)
    logits = Head(5, 8, 3, 8, generator=random())(x, torch.eye(3))
    assert not torch.allclose(logits[0], logits[1])
    alone = Head(5, 8, 1, 8, generator=random())
    assert alone.by_class is None
    assert torch.equal(alone(x, None), alone(x, torch.ones(3, 1)))


def test_a_blend_of_classes_has_the_blend_of_their_logits() -> None:
    head = Head(5, 8, 3, 8, generator=random())
    x = torch.randn(1, 5, 8, 8, generator=random(3)).expand(3, -1, -1, -1)
    torch.testing.assert_close(head(x[:1], torch.full((1, 3), 1 / 3))[0], head(x, torch.eye(3)).mean(dim=0))
