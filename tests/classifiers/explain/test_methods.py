"""Methods that make maps: closed forms, torchcam as oracle, and what every entry keeps."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from classifiers.explain.gradcam import find_cam_layer, grad_cam
from classifiers.explain.maps import as_map
from classifiers.explain.method import MapOptions, scale_to_unit, upsample
from classifiers.explain.registry import METHODS
from classifiers.explain.winsor_cam import layer_map, record_convolutions, winsor_cam, winsorise
from classifiers.models.entry import Layout
from classifiers.registry import build_seeded

DEFAULT = MapOptions()


class TinyNet(nn.Module):
    """Two convolutions, the mean over positions, a linear layer: its gradients are known."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3, stride=2, padding=1)
        self.classify = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.second(nn.functional.relu(self.first(x), inplace=True)).mean((2, 3)))
        return logits


class TinyTransformer(nn.Module):
    """Patches of 4 px as tokens behind a class token, one attention layer, the class token's output."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.classify = nn.Linear(8, 3)
        self.cam = ("norm", "NLC")

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = self.norm(torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1))
        logits: Tensor = self.classify(self.attention(tokens, tokens, tokens, need_weights=False)[0][:, 0])
        return logits


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        yield


@pytest.fixture
def net() -> TinyNet:
    return TinyNet().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 16, 16)


CLASSES = torch.tensor([0, 1, 2, 1])


def test_grad_cam_is_its_closed_form(net: TinyNet, images: Tensor) -> None:
    with torch.no_grad():
        channels = net.second(net.first(images).relu())
    weights = net.classify.weight[CLASSES] / 64  # the logit's gradient at each of 8×8 positions
    expected = torch.einsum("nc,nchw->nhw", weights, channels).relu()
    maps = grad_cam(net, images, CLASSES, "second", "NCHW", DEFAULT)
    torch.testing.assert_close(maps, upsample(scale_to_unit(expected.detach()), (16, 16)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", ["NCHW", "NLC"])
def test_grad_cam_is_that_of_torchcam(images: Tensor, layout: Layout) -> None:
    from torchcam.methods import GradCAM

    model = (TinyNet() if layout == "NCHW" else TinyTransformer()).eval()
    layer = "second" if layout == "NCHW" else "norm"
    with GradCAM(model, layer, reshape_transform=partial(as_map, layout=layout)) as extractor:
        expected = extractor(CLASSES.tolist(), model(images))[0]
    maps = grad_cam(model, images, CLASSES, layer, layout, DEFAULT)
    torch.testing.assert_close(maps, upsample(expected, (16, 16)))


def test_a_frozen_network_gives_the_same_map(net: TinyNet, images: Tensor) -> None:
    before = grad_cam(net, images, CLASSES, "second", "NCHW", DEFAULT)
    net.requires_grad_(False)
    assert torch.equal(before, grad_cam(net, images, CLASSES, "second", "NCHW", DEFAULT))


def test_the_map_of_a_class_that_rests_on_the_right_half_lies_there(images: Tensor) -> None:
    net = TinyNet().eval()
    with torch.no_grad():
        for layer in (net.first, net.second):
            layer.weight.zero_()
            assert layer.bias is not None
            layer.bias.zero_()
        net.first.weight[0, 0, 1, 1] = net.second.weight[0, 0, 1, 1] = 1
        net.classify.weight.zero_()
        net.classify.weight[:, 0] = torch.tensor([1.0, -1.0, 0.0])
    red = torch.zeros(3, 3, 16, 16)
    red[:, 0, :, 8:] = 1
    for name in ("gradcam", "winsor_cam"):
        maps = METHODS[name].compute(net, red, torch.tensor([0, 1, 2]), "second", "NCHW", DEFAULT)
        assert maps[0, :, 10:].min() > 0.9
        assert maps[0, :, :6].max() == 0
        assert not maps[1:].any(), "it speaks against the second class and says nothing of the third"


# ---- Winsor-CAM ------------------------------------------------------------------------------------------------------


def test_winsor_cam_is_the_sum_of_torchcams_maps_by_lowered_importance(net: TinyNet, images: Tensor) -> None:
    from torchcam.methods import GradCAM

    class Copying(TinyNet):  # torchcam reads what an activation in place has changed
        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.classify(self.second(self.first(x).relu()).mean((2, 3)))
            return logits

    peer = Copying().eval()
    peer.load_state_dict(net.state_dict())
    with GradCAM(peer, ["first", "second"]) as extractor:
        cams = extractor(CLASSES.tolist(), peer(images), normalized=False)
        importances = torch.stack([g.mean((1, 2, 3)).relu() for g in extractor.hook_g], dim=1)
    weights = winsorise(importances, 90)
    expected = sum(
        weight[:, None, None] * upsample(cam / cam.amax((1, 2), keepdim=True).clamp(min=1e-30), (16, 16))
        for cam, weight in zip(cams, weights.unbind(1), strict=True)
    )
    assert isinstance(expected, Tensor)
    maps = winsor_cam(net, images, CLASSES, "", "NCHW", DEFAULT)
    torch.testing.assert_close(maps, scale_to_unit(expected), atol=1e-5, rtol=1e-4)


def test_a_low_percentile_makes_importances_equal_and_a_high_one_leaves_them() -> None:
    importances = torch.tensor([[0.0, 0.1, 0.2, 5.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(winsorise(importances, 100), importances)
    assert winsorise(importances, 0).tolist() == [
        [0.0, pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1)],
        [0.0] * 4,
    ]
    with pytest.raises(ValueError, match="101"):
        winsorise(importances, 101)


def test_a_layer_is_weighed_by_its_importance_and_not_by_the_size_of_its_activations() -> None:
    activations, gradients = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    cam, importance = layer_map(activations, gradients)
    louder, same = layer_map(1000 * activations, gradients)
    torch.testing.assert_close(cam, louder)
    assert torch.equal(importance, same)
    torch.testing.assert_close(importance, gradients.mean((1, 2, 3)))


def test_recording_changes_nothing_and_leaves_no_hook(net: TinyNet, images: Tensor) -> None:
    expected = net(images)
    with record_convolutions(net) as outputs:
        assert torch.equal(net(images), expected)
    assert [output.shape[1] for output in outputs] == [5, 4]
    assert (outputs[0] < 0).any(), "as the convolution gave it, before the activation in place"
    net(images)
    assert len(outputs) == 2


def test_winsor_cam_skips_layers_without_a_map_of_the_whole_image(net: TinyNet, images: Tensor) -> None:
    class Tiled(TinyNet):
        """The same decision, after a look at every quarter of the image and at its mean colour."""

        def __init__(self) -> None:
            super().__init__()
            self.of_tiles, self.of_mean = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            quarters = torch.cat([half for part in x.chunk(2, 2) for half in part.chunk(2, 3)])
            seen = self.of_tiles(quarters).sum() + self.of_mean(x.mean((2, 3), keepdim=True)).sum()
            logits: Tensor = super().forward(x) + seen
            return logits

    tiled = Tiled().eval()
    tiled.load_state_dict(net.state_dict(), strict=False)
    maps = winsor_cam(tiled, images, CLASSES, "", "NCHW", DEFAULT)
    assert torch.equal(maps, winsor_cam(net, images, CLASSES, "", "NCHW", DEFAULT))


def test_winsor_cam_refuses_a_transformer(images: Tensor) -> None:
    with pytest.raises(ValueError, match="1 convolutional layer;"):
        winsor_cam(TinyTransformer().eval(), images, CLASSES, "norm", "NLC", DEFAULT)


# ---- what every entry keeps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("classifier", ["dalaresnet50_small", "resvit_gannet_small"])
def test_a_method_gives_maps_of_the_images_size_in_the_unit_range(name: str, classifier: str) -> None:
    model = build_seeded(classifier, 3, 0, image_size_px=32).eval()
    images, method = torch.rand(3, 3, 40, 48), METHODS[name]
    layer, layout = find_cam_layer(model, classifier)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    maps = method.compute(model, images, torch.tensor([0, 1, 2]), layer, layout, DEFAULT)
    assert maps.shape == (3, 40, 48)
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert not maps.requires_grad
    assert torch.equal(maps, method.compute(model, images, torch.tensor([0, 1, 2]), layer, layout, DEFAULT))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    other = method.compute(model, images.flip(3), torch.tensor([0, 1, 2]), layer, layout, DEFAULT)
    assert torch.equal(maps, other) != method.sees_model


@pytest.mark.parametrize("name", METHODS)
def test_a_method_refuses_a_model_in_training_and_classes_that_do_not_go_with_the_images(
    name: str, net: TinyNet, images: Tensor
) -> None:
    with pytest.raises(ValueError, match="training mode"):
        METHODS[name].compute(net.train(), images, CLASSES, "second", "NCHW", DEFAULT)
    net.eval()
    net.second.train()
    with pytest.raises(ValueError, match="training mode"):
        METHODS[name].compute(net, images, CLASSES, "second", "NCHW", DEFAULT)
    with pytest.raises(ValueError, match=r"\[3\] classes for 4 images"):
        METHODS[name].compute(net.eval(), images, CLASSES[:3], "second", "NCHW", DEFAULT)


def test_the_layer_is_the_models_own_or_the_registrys_or_there_is_none(net: TinyNet) -> None:
    assert find_cam_layer(TinyTransformer()) == ("norm", "NLC")
    assert find_cam_layer(net, "dalaresnet50_small") == ("gates.0", "NCHW")
    for name in (None, "probe:efficientnet_lite0", "timm:resnet18"):
        with pytest.raises(ValueError, match="no layer with a map"):
            find_cam_layer(net, name)


def test_the_random_map_depends_on_its_seed_and_the_centre_is_highest_in_the_middle(
    net: TinyNet, images: Tensor
) -> None:
    first, again, other = (
        METHODS["random"].compute(net, images, CLASSES, "", "NCHW", MapOptions(seed=seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    centre = METHODS["centre"].compute(net, images, CLASSES, "", "NCHW", DEFAULT)[0]
    assert centre[7:9, 7:9].min() == centre.max()
    assert torch.equal(centre, centre.flip(0))
    torch.testing.assert_close(centre, centre.T)
