"""TransMIL: attention through landmarks is attention, and an image is the bag of its tiles."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classifiers.models.nystrom import NystromAttention, pseudo_inverse, segment_means
from classifiers.models.transmil import Ppeg, TransMil, TransMilConfig, cut_tiles, repeat_to_square, small


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Nyström attention


@pytest.mark.parametrize("num_tokens", [1, 9, 16])
def test_with_a_landmark_per_token_the_attention_is_exact(num_tokens: int) -> None:
    q, k, v = normal(3, 2, 4, num_tokens, 8)
    attention = NystromAttention(32, 4, num_landmarks=16, num_iterations=24)
    torch.testing.assert_close(attention.attend(q, k, v), F.scaled_dot_product_attention(q, k, v), rtol=0, atol=1e-8)


def test_six_iterations_come_near_it() -> None:
    q, k, v = normal(3, 2, 4, 16, 8)
    exact = F.scaled_dot_product_attention(q, k, v)
    errors = [
        (NystromAttention(32, 4, 16, num_iterations).attend(q, k, v) - exact).abs().max() / exact.abs().max()
        for num_iterations in (1, 3, 6)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05


def test_fewer_landmarks_than_tokens_approximate_smooth_tokens() -> None:
    smooth = torch.linspace(-1, 1, 60, dtype=torch.float64)[None, None, :, None] * normal(1, 4, 1, 8)
    exact = F.scaled_dot_product_attention(smooth, smooth, smooth)
    near, far = (
        (NystromAttention(32, 4, m, num_iterations=24).attend(smooth, smooth, smooth) - exact).abs().max()
        for m in (12, 2)
    )
    assert near < 1e-2 * exact.abs().max()
    assert near < far / 2


@pytest.mark.parametrize("num_tokens", [16, 17, 50, 64])
def test_a_value_that_all_tokens_have_comes_through(num_tokens: int) -> None:
    q, k = normal(2, 2, 4, num_tokens, 8)
    attended = NystromAttention(32, 4, num_landmarks=16, num_iterations=24).attend(q, k, torch.ones_like(q))
    torch.testing.assert_close(attended, torch.ones_like(q))


@pytest.mark.parametrize(("num_tokens", "num_segments"), [(16, 4), (17, 16), (50, 16), (5, 8)])
def test_landmarks_are_the_means_of_nearly_equal_segments(num_tokens: int, num_segments: int) -> None:
    tokens = normal(2, 3, num_tokens, 4)
    expected = F.adaptive_avg_pool2d(tokens, (min(num_segments, num_tokens), 4))
    torch.testing.assert_close(segment_means(tokens, num_segments), expected)


def test_the_iteration_gives_the_pseudo_inverse() -> None:
    a = normal(3, 4, 12, 12).softmax(-1)
    torch.testing.assert_close(pseudo_inverse(a, 24), torch.linalg.pinv(a), rtol=1e-7, atol=1e-7)
    singular = torch.cat([a[..., :6], a[..., :6]], dim=-1) / 2  # of rank 6 at most
    torch.testing.assert_close(pseudo_inverse(singular, 24), torch.linalg.pinv(singular), rtol=1e-6, atol=1e-6)


def test_mixed_precision_leaves_the_iteration_in_float32() -> None:
    a = normal(2, 12, 12).softmax(-1).float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = pseudo_inverse(a)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, pseudo_inverse(a))


def test_the_convolution_on_the_values_reaches_sixteen_tokens_each_way() -> None:
    attention = NystromAttention(8, 2, 4, dropout=0.0)
    values = torch.zeros(1, 2, 64, 4)
    values[:, :, 30] = 1.0
    reached = attention.residual(values).abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert reached.tolist() == list(range(14, 47))
    assert attention.residual.weight.numel() == 2 * 33


# The bag


def test_tokens_are_repeated_from_the_first_until_they_fill_a_square() -> None:
    tokens = torch.arange(50.0).view(1, 50, 1)
    squared = repeat_to_square(tokens)[0, :, 0]
    assert squared.tolist() == [*range(50), *range(14)]
    for num_tokens in (1, 4, 49):
        assert torch.equal(repeat_to_square(tokens[:, :num_tokens]), tokens[:, :num_tokens])


@pytest.mark.parametrize("num_tiles", [1, 5, 16, 30])
def test_a_bag_may_hold_any_number_of_tiles(num_tiles: int) -> None:
    model = TransMil(3, small(64)).eval().double()
    assert model.aggregate(normal(2, num_tiles, 64)).shape == (2, 64)


def test_tiles_are_cut_row_by_row() -> None:
    image = torch.arange(4 * 6).view(1, 1, 4, 6)
    tiles = cut_tiles(image, 2)
    assert tiles.shape == (1, 6, 1, 2, 2)
    assert tiles[0, 1].flatten().tolist() == [2, 3, 8, 9]
    assert tiles[0, 3].flatten().tolist() == [12, 13, 18, 19]


def test_a_tile_does_not_see_beyond_its_border() -> None:
    model = TransMil(3, small(64)).eval()
    x = torch.full((1, 3, 64, 64), 0.5)
    lit = x.clone()
    lit[:, :, 16:32, 32:48] = 1.0  # the tile in row 1 and column 2 of the 4×4
    changed = (model.tile_features(lit) - model.tile_features(x)).abs().sum(dim=2)[0]
    assert changed.nonzero().flatten().tolist() == [6]


# PPEG


def test_position_encoding_leaves_the_class_token_alone_and_convolves_the_map_of_the_others() -> None:
    model = TransMil(3, small(64)).eval()
    tokens = normal(2, 17, 64).float()
    encoded = model.encode_positions(tokens)
    assert torch.equal(encoded[:, 0], tokens[:, 0])
    tokens_of_map = tokens[:, 1:].transpose(1, 2).reshape(2, 64, 4, 4)
    torch.testing.assert_close(encoded[:, 1:].transpose(1, 2).reshape(2, 64, 4, 4), model.ppeg(tokens_of_map))


def test_position_encoding_is_the_map_and_three_depthwise_convolutions_of_it() -> None:
    ppeg = Ppeg(2)
    for convolution in ppeg.convolutions.children():
        assert isinstance(convolution, nn.Conv2d)
        nn.init.ones_(convolution.weight)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    point = torch.zeros(1, 2, 9, 9)
    point[0, 0, 4, 4] = 1.0
    expected = sum(F.pad(torch.ones(k, k), [(9 - k) // 2] * 4) for k in (1, 3, 5, 7))
    torch.testing.assert_close(ppeg(point)[0], torch.stack([torch.as_tensor(expected), torch.zeros(9, 9)]))


def test_where_a_tile_lies_matters_through_the_position_encoding_alone() -> None:
    model = TransMil(3, small(64)).eval().double()
    for module in model.modules():
        if isinstance(module, NystromAttention):
            module.num_landmarks, module.num_iterations = 17, 30  # exact, so that segments do not matter either
            nn.init.zeros_(module.residual.weight)
    bag = normal(1, 16, 64)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(model.aggregate(bag), model.aggregate(bag[:, order]), atol=1e-6)
    nn.init.zeros_(model.ppeg.convolutions[0].weight)  # type: ignore[arg-type]
    nn.init.zeros_(model.ppeg.convolutions[1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(model.ppeg.convolutions[2].weight)  # type: ignore[arg-type]
    torch.testing.assert_close(model.aggregate(bag), model.aggregate(bag[:, order]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"image_size_px": 200}, {"tile_px": 8, "image_size_px": 64}, {"num_heads": 7}])
def test_shapes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        TransMil(2, TransMilConfig(**wrong))
