"""ResNet50, SE-ResNet50, DenseNet121, VGG16 and VGG16Inception: the published networks, to the parameter."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from classifiers.models.densenet121 import DenseNet121
from classifiers.models.map_classifier import MapConfig
from classifiers.models.vgg16 import small as vgg_small
from classifiers.models.vgg16_inception import Inception, InceptionWidths
from classifiers.registry import CLASSIFIERS, build, build_seeded
from classifiers.weights import load_weights

NUM_CLASSES = 1000
PUBLISHED_PARAMETERS = {
    "resnet50": 25_557_032,
    "seresnet50": 28_088_024,
    "densenet121": 7_978_856,
    "vgg16": 138_357_544,
}
LAST_MAPS = {
    "resnet50": (2048, 7, 7),
    "seresnet50": (2048, 7, 7),
    "densenet121": (1024, 7, 7),
    "vgg16": (512, 14, 14),
    "vgg16_inception": (832, 7, 7),
}
HEADS = {"resnet50": "fc", "seresnet50": "fc", "densenet121": "classifier", "vgg16": "classifier.6"}


@lru_cache(maxsize=1)
def built(name: str) -> Any:
    return build_seeded(name, NUM_CLASSES, 0)


def peer(name: str) -> Any:
    """The network of torchvision or timm whose weights the registry names, without memory."""
    import timm
    import torchvision

    library, architecture = (CLASSIFIERS[name].weights or {})["body"].split()
    with torch.device("meta"):
        if library == "timm":
            return timm.create_model(architecture, pretrained=False)
        return torchvision.models.get_model(architecture, weights=None)


def with_random_weights(net: nn.Module) -> nn.Module:
    """Weights that keep the size of a signal, and statistics unlike zero and one; all exact in half precision."""
    generator = torch.Generator().manual_seed(0)
    net = net.to_empty(device="cpu")
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if value.ndim > 1:
                value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
            elif value.is_floating_point():
                value.uniform_(*((0.5, 1.5) if key.endswith(("weight", "var")) else (-0.1, 0.1)), generator=generator)
            value.copy_(value.half())
    return net.eval()


def num_parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(name, NUM_CLASSES).parameters())


def image() -> Tensor:
    return torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", LAST_MAPS, scope="module")
def test_a_published_size_runs_forward_and_backward_and_reaches_every_parameter(name: str) -> None:
    model = built(name).train()
    model(image()).square().sum().backward()
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    assert len(gradients) > 20
    for key, gradient in gradients.items():
        assert gradient is not None, key
        assert gradient.isfinite().all(), key
        assert gradient.any(), key


@pytest.mark.parametrize("name", HEADS, scope="module")
def test_published_weights_give_the_published_networks_logits(name: str, tmp_path: Path) -> None:
    theirs, ours = with_random_weights(peer(name)), built(name).eval()
    state = {key: value.half() if value.is_floating_point() else value for key, value in theirs.state_dict().items()}
    if name == "densenet121":  # as the file that torchvision publishes writes it
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", key): state[key] for key in state}
        assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save(state, tmp_path / "published.pth")
    assert load_weights(ours, tmp_path / "published.pth").startswith("only body from")
    (tmp_path / "published.pth").unlink()  # it is large
    ours.classify.load_state_dict(theirs.get_submodule(HEADS[name]).state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(ours(image()), theirs(ours.normalise(image())), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LAST_MAPS)
def test_a_body_has_the_published_names_and_no_others(name: str) -> None:
    with torch.device("meta"):
        model: Any = build(name, NUM_CLASSES)
    head = HEADS.get(name, "classifier")
    names = {key for key in peer(name).state_dict() if not key.startswith(f"{head}.")}
    assert model.body.state_dict().keys() == names


@pytest.mark.parametrize("name", LAST_MAPS)
def test_the_map_that_explains_is_the_last_one_with_neighbours(name: str) -> None:
    maps: list[Tensor] = []
    with torch.device("meta"):
        model: Any = build(name, 2)
        cam_layer = CLASSIFIERS[name].cam_layer
        assert cam_layer
        model.get_submodule(cam_layer).register_forward_hook(lambda _, x, output: maps.append(output))
        model(torch.empty(1, 3, 224, 224))
    assert [tuple(last_map.shape[1:]) for last_map in maps] == [LAST_MAPS[name]]


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_a_thousand_classes_give_the_published_number_of_parameters(name: str) -> None:
    assert num_parameters(name) == PUBLISHED_PARAMETERS[name]


def test_vgg16_inception_has_the_parameters_of_its_two_sources() -> None:
    convolutions = 14_714_688  # of VGG16, published
    block = 512 * (256 + 160 + 32 + 128) + 9 * 160 * 320 + 25 * 32 * 128 + (256 + 160 + 320 + 32 + 128 + 128)
    head = (256 + 320 + 128 + 128 + 1) * NUM_CLASSES
    assert num_parameters("vgg16_inception") == convolutions + block + head


def test_todays_names_of_densenet_stay_as_they_are() -> None:
    with torch.device("meta"):
        model = DenseNet121(2)
    state = model.body.state_dict()
    assert list(model.translate(state)) == list(state)


def test_each_branch_of_an_inception_block_sees_as_far_as_its_kernel() -> None:
    widths = InceptionWidths(single=3, three=(4, 5), five=(6, 7), pooled=8)
    block = Inception(2, widths)
    for parameter in block.parameters():
        nn.init.constant_(parameter, 0.1)  # all positive, so that no ReLU hides what a position sees
    x = torch.zeros(1, 2, 9, 9)
    x[..., 4, 4] = 1.0
    moved = (block(x) - block(torch.zeros_like(x)))[0] > 1e-6
    reach = [int(rows.any(dim=1).sum()) for rows in moved]
    assert reach == [1] * 3 + [3] * 5 + [5] * 7 + [3] * 8
    assert len(reach) == widths.num_channels


def test_the_wide_layers_of_vgg_know_where_a_stain_lies() -> None:
    torch.manual_seed(0)
    model: Any = CLASSIFIERS["vgg16_small"].build(2, 64).eval()
    last_map = torch.rand(1, 128, 4, 4)
    assert model.config == vgg_small(64)
    assert not torch.allclose(model.pool(last_map), model.pool(last_map.flip(-1)))
    spread = last_map.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(model.pool(last_map), model.pool(spread))  # averaged to the grid from another size


def test_images_below_the_stride_are_refused() -> None:
    with pytest.raises(ValueError, match="image size 16 px; expected at least 32 px"):
        MapConfig(16)
