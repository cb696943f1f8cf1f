"""The interface that every classifier of the registry has, and the meaning of each architecture."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from classifiers.config import FitConfig
from classifiers.fit import fit
from classifiers.models.backbones import IMAGENET_MEAN, RESNET50, Normalise, ResidualNet, resize
from classifiers.models.dalaresnet50 import DalaConfig, DalaResNet50, LayerFourGate
from classifiers.models.dalaresnet50 import small as dala_small
from classifiers.models.resvit_gannet import ResViTConfig, ResViTGANNet, pool_2x2
from classifiers.models.resvit_gannet import small as resvit_small
from classifiers.registry import CLASSIFIERS, build, build_seeded

OF_IMAGES = {name: entry for name, entry in CLASSIFIERS.items() if entry.inputs == "image"}
SMALL = sorted({classifier.small for classifier in OF_IMAGES.values() if classifier.small})


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_features_are_what_the_last_layer_sees(name: str) -> None:
    model: Any = build(name, 3).eval()
    x = noise(2, 3, 64, 64)
    torch.testing.assert_close(model(x), model.classify(model.features(x)))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("px", [32, 64])
def test_small_models_are_small_and_reach_every_parameter(name: str, px: int) -> None:
    model: Any = build_seeded(name, 4, 0, image_size_px=px)
    assert model.config.image_size_px == px
    assert num_parameters(model) < 1_000_000
    model(noise(4, 3, px, px)).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", SMALL)
def test_a_tiny_batch_can_be_learnt_by_heart(name: str) -> None:
    images = (noise(8, 32, 32, 3) * 255).byte().numpy()
    labels = torch.arange(8).numpy() % 4
    model: Any = build_seeded(name, 4, 0, image_size_px=32)
    config = FitConfig(num_steps=40, batch=8, classical_augmentation="none", label_smoothing=0.0)
    result = fit(model, images, labels, val=(images, labels), config=config)
    assert result.history[-1]["val_accuracy"] == 1.0


@pytest.mark.parametrize("name", SMALL)
def test_initial_weights_depend_on_the_seed_alone(name: str) -> None:
    first = build_seeded(name, 4, 7).state_dict()
    torch.rand(5)
    again, other = build_seeded(name, 4, 7).state_dict(), build_seeded(name, 4, 8).state_dict()
    assert len(first) == len(again) > 10
    assert all(torch.equal(first[key], again[key]) for key in first)
    drawn = [key for key, value in first.items() if key.endswith("weight") and value.ndim >= 2]
    assert drawn
    assert not any(torch.equal(first[key], other[key]) for key in drawn)


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    build_seeded("resvit_gannet_small", 4, 7)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("px", "works_at"), [(16, 32), (50, 48), (64, 64), (512, 128)])
def test_small_models_work_near_the_images_own_size(px: int, works_at: int) -> None:
    for name in SMALL:
        model: Any = build(name, 2, image_size_px=px)
        assert model.config.image_size_px == works_at


@pytest.mark.parametrize("name", SMALL)
def test_an_image_of_another_size_is_resized_first(name: str) -> None:
    model: Any = build(name, 2, image_size_px=32).eval()
    x = noise(2, 3, 80, 80)
    torch.testing.assert_close(model(x), model(resize(x, 32)))


def test_unknown_names_and_single_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown classifier 'resvit'.*resvit_gannet_small.*timm:"):
        build("resvit", 4)
    with pytest.raises(ValueError, match="timm has no model 'resnet_18'"):
        build("timm:resnet_18", 4)
    with pytest.raises(ValueError, match="1 classes"):
        build("dalaresnet50_small", 1)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_timm_models_come_with_the_same_interface(name: str) -> None:
    model: Any = build(f"timm:{name}", 5).eval()
    x = noise(2, 3, 64, 64)
    torch.testing.assert_close(model.classify(model.features(x)), model(x))
    assert model(x).shape == (2, 5)


def test_the_residual_network_is_torchvisions_resnet50() -> None:
    from torchvision.models import resnet50

    theirs, ours = resnet50(weights=None).eval(), ResidualNet(RESNET50).eval()
    ours.load_state_dict({key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")})
    theirs.avgpool, theirs.fc = nn.Identity(), nn.Identity()
    x = noise(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x).flatten(1), theirs(x))


def test_normalisation_sends_the_mean_colour_to_zero() -> None:
    x = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert Normalise(IMAGENET_MEAN, (0.5, 0.5, 0.5))(x).abs().max() == 0


# ResViT-GANNet


def test_pooling_averages_two_by_two_neighbours() -> None:
    grid = noise(2, 6, 6, 5)
    expected = nn.functional.avg_pool2d(grid.permute(0, 3, 1, 2), 2).flatten(2).transpose(1, 2)
    torch.testing.assert_close(pool_2x2(grid.reshape(2, 36, 5), 6), expected)


@pytest.mark.parametrize("px", [64, 96])
def test_token_i_of_both_branches_sees_the_same_tissue(px: int) -> None:
    model = ResViTGANNet(4, replace(resvit_small(px), squeeze_excitation=False)).eval()
    for module in model.cnn.modules():
        if isinstance(module, nn.Conv2d):  # averaging kernels: a token answers by where its view lies and nothing else
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    stride = model.config.residual.stride_px
    side = px // stride
    blank = torch.zeros(1, 3, px, px)
    lit = blank.repeat(side * side, 1, 1, 1)
    for i in range(side * side):
        top, left = i // side * stride, i % side * stride
        lit[i, :, top : top + stride, left : left + stride] = 1.0
    with torch.no_grad():
        assert len(model.tokens(lit)) == 2
        for tokens, tokens_of_blank in zip(model.tokens(lit), model.tokens(blank), strict=True):
            most_moved = (tokens - tokens_of_blank).norm(dim=2).argmax(dim=1)
            assert most_moved.tolist() == list(range(side * side))


SWITCHES = ["squeeze_excitation", "token_fusion", "alignment", "tama"]


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_part_can_be_switched_off(switch: str) -> None:
    whole = ResViTGANNet(4, resvit_small(32)).eval()
    without: dict[str, Any] = {switch: False}
    ablated = ResViTGANNet(4, replace(resvit_small(32), **without)).eval()
    x = noise(3, 3, 32, 32)
    assert ablated(x).shape == (3, 4)
    assert num_parameters(ablated) != num_parameters(whole)
    ablated(x).square().sum().backward()
    dead = [key for key, parameter in ablated.named_parameters() if parameter.grad is None]
    assert not dead


def test_without_alignment_the_branches_keep_their_own_grids() -> None:
    model = ResViTGANNet(4, replace(resvit_small(64), alignment=False)).eval()
    cnn, vit = model.tokens(noise(1, 3, 64, 64))
    assert (cnn.shape[1], vit.shape[1]) == (16, 64)


def test_tama_does_not_depend_on_the_order_of_the_aligned_tokens() -> None:
    model = ResViTGANNet(4, resvit_small(64)).eval()
    cnn, vit = model.tokens(noise(2, 3, 64, 64))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.merge(cnn[:, order], vit[:, order]), model.merge(cnn, vit))
    assert not torch.allclose(model.merge(cnn[:, order], vit), model.merge(cnn, vit), atol=1e-6)


def test_the_gate_mixes_the_two_branches_by_weights() -> None:
    merge: Any = ResViTGANNet(4, resvit_small(32)).merge
    a, b = noise(2, 4, 64), noise(2, 4, 64, seed=1)
    nn.init.zeros_(merge.gate.weight)
    nn.init.constant_(merge.gate.bias, 30.0)
    torch.testing.assert_close(merge.mix(a, b), a)
    nn.init.constant_(merge.gate.bias, 0.0)
    torch.testing.assert_close(merge.mix(a, b), (a + b) / 2)


@pytest.mark.parametrize("wrong", [{"image_size_px": 200}, {"token_dim": 30}, {"residual": dala_small().residual}])
def test_grids_that_cannot_match_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(ResViTConfig(), **wrong)


# DALAResNet50


def test_the_gate_after_layer_4_halves_a_channel_at_most() -> None:
    x = 10 * noise(4, 32, 3, 3)
    gate = LayerFourGate(32, 16)(x) / x
    assert gate.min() >= 0.5 - 1e-6
    assert gate.max() < 1
    assert gate.std(dim=(2, 3)).max() < 1e-6  # one factor a channel


def test_the_two_readings_differ_where_they_say() -> None:
    gate = DalaResNet50(4, dala_small(32))
    head = DalaResNet50(4, replace(dala_small(32), variant="head"))
    x = noise(2, 3, 32, 32)
    assert gate.features(x).shape == (2, 128)
    assert head.features(x).shape == (2, 8)
    assert [type(layer).__name__ for layer in head.hidden.children()] == ["Linear", "LeakyReLU", "Linear", "ReLU"]
    assert head.features(x).min() >= 0
    with pytest.raises(ValueError, match="variant 'both'"):
        DalaConfig(variant="both")  # type: ignore[arg-type]
