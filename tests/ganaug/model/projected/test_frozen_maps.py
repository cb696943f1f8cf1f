"""The frozen maps: those of the published network, and nothing that is trained or saved."""

import pytest
import torch

from classifiers.models.efficientnet_lite import EfficientNetLite
from ganaug.model.projected.frozen_maps import BLOCKS, NETWORK, STRIDES, FrozenMaps, enlarge
from ganaug.weights import find_weights, read_weights


@pytest.fixture(scope="module")
def frozen() -> FrozenMaps:
    return FrozenMaps()


def test_the_maps_are_those_of_the_published_network_with_its_batch_norms(frozen: FrozenMaps) -> None:
    net = EfficientNetLite(f"tf_{NETWORK}", num_classes=2, image_size_px=224).eval()
    net.body.load_state_dict(net.translate(read_weights(find_weights(None, NETWORK))))
    img = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        x, expected = net.body.bn1(net.body.conv_stem(img)), []
        for index, block in enumerate(net.body.blocks):
            x = block(x)
            if index in BLOCKS:
                expected.append(x)
        maps = frozen(img)
    assert len(maps) == len(expected) == len(BLOCKS)
    for seen, wanted, stride, channels in zip(maps, expected, STRIDES, BLOCKS.values(), strict=True):
        assert list(seen.shape) == [2, channels, 96 // stride, 96 // stride]
        torch.testing.assert_close(seen, wanted, atol=1e-4, rtol=1e-4)


def test_nothing_is_trained_or_saved_and_gradients_reach_the_image(frozen: FrozenMaps) -> None:
    assert list(frozen.parameters()) == []
    assert frozen.state_dict() == {}
    img = torch.zeros(1, 3, 64, 64, requires_grad=True)
    sum(seen.sum() for seen in frozen(img)).backward()
    assert img.grad is not None
    assert img.grad.abs().sum() > 0
    assert torch.equal(frozen.train()(img)[0], frozen.eval()(img)[0])


def test_building_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    FrozenMaps()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_enlarging_keeps_a_constant_and_the_sides_asked_for() -> None:
    img = torch.full((1, 3, 64, 64), 0.25)
    large = enlarge(img, 1.5)
    assert list(large.shape) == [1, 3, 96, 96]
    torch.testing.assert_close(large, torch.full_like(large, 0.25))
    assert enlarge(img, 1) is img
