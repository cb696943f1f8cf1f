"""Networks of other tools: their names and sizes become ours, others are refused, and other classes can be learnt."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from ganaug.checkpoint.adopt import FIRST_LAYER, adopt
from ganaug.checkpoint.stylegan_pickles import load_external
from ganaug.errors import ConfigError, DataError
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator

if TYPE_CHECKING:
    from tests.ganaug.conftest import Peer


def random(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"num_classes": 1, "mapping_layers": 8, "resolution_px": 32},
        {"num_half": 0, "conv_clamp": None, "std_group": 8, "w_dim": 24},
    ],
)
def test_configuration_and_weights_are_those_of_the_pickle(
    make_peer: Callable[..., "Peer"], fields: dict[str, Any]
) -> None:
    peer = make_peer(**fields)
    config, G, D, ema, skipped = load_external(peer.path)
    assert config == peer.G.config
    assert skipped == ()
    for state, network in ((G, peer.G), (D, peer.D), (ema, peer.ema)):
        expected = network.state_dict()
        assert state is not None
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in state)


def test_options_may_stand_with_the_generator_or_its_synthesis(peer: "Peer") -> None:
    """As the two projects keep them: both note the options of the synthesis with the synthesis itself."""
    peer.content["G_ema"].options["conv_clamp"] = 1
    assert load_external(peer.path).config.conv_clamp == 256


def test_without_g_or_d_the_average_is_still_read(peer: "Peer") -> None:
    del peer.content["G"], peer.content["D"]
    external = load_external(peer.path)
    assert external.G is None
    assert external.D is None
    assert external.skipped == ("G is not in the file", "D is not in the file")
    assert external.config == replace(peer.ema.config, std_group=4)


@pytest.mark.parametrize(
    ("path", "name", "value", "says"),
    [
        ("b16", "architecture", "orig", "D has b16.architecture orig, which is not computed here"),
        ("", "conv_clamp", 8, "D has another precision or clamp than G_ema"),
        ("b4.mbstd", "mbstd_num_channels", 2, "D has b4.mbstd.mbstd_num_channels 2"),
    ],
)
def test_another_discriminator_is_skipped_with_its_reason(
    peer: "Peer", path: str, name: str, value: Any, says: str
) -> None:
    peer.content["D"].at(path).options[name] = value
    external = load_external(peer.path)
    assert external.D is None
    assert external.G is not None
    assert says in external.skipped[0]


@pytest.mark.parametrize(
    ("path", "name", "value", "says"),
    [
        ("synthesis.b8.conv0", "resample_filter", [1, 2, 1], "synthesis.b8.conv0.resample_filter"),
        ("mapping", "lr_multiplier", 0.02, "mapping.lr_multiplier 0.02"),
        ("mapping.fc0", "activation", "relu", "mapping.fc0.activation relu"),
        ("synthesis", "conv_clamp", "much", "conv_clamp much"),
        ("synthesis", "num_fp16_res", None, "num_fp16_res None"),
        ("synthesis.b8.conv1", "use_noise", False, "use_noise False"),
    ],
)
def test_a_generator_that_is_not_ours_is_refused_by_name(
    peer: "Peer", path: str, name: str, value: Any, says: str
) -> None:
    peer.content["G_ema"].at(path).options[name] = value
    with pytest.raises(DataError, match=says):
        load_external(peer.path)


def test_missing_additional_and_misshapen_tensors_are_refused_by_name(make_peer: Callable[..., "Peer"]) -> None:
    changes: list[tuple[Callable[[Any], object], str]] = [
        (lambda G: G.at("synthesis.b8.torgb").parameters.pop("bias"), "synthesis.b8.torgb.bias missing"),
        (lambda G: G.at("synthesis.b8.conv2").buffers.update(weight=torch.ones(2)), r"conv2.weight \[2\], where none"),
        (lambda G: G.at("synthesis.b8.conv1").parameters.update(bias=torch.ones(5)), r"b8.conv1.bias \[5\], where"),
        (lambda G: G.at("mapping").children.pop("fc0"), "has no layers of these names"),
    ]
    for change, says in changes:
        peer = make_peer()
        change(peer.content["G_ema"])
        with pytest.raises(DataError, match=says):
            load_external(peer.path)


def images(G: Generator, labels: list[int]) -> torch.Tensor:
    z, c = torch.randn(len(labels), 16, generator=random(1)), torch.eye(max(G.config.num_classes, 2))[labels]
    img: torch.Tensor = G(z, c, noise_mode="const")
    return img


def test_the_same_classes_take_over_everything(peer: "Peer") -> None:
    for trained, kind in ((peer.ema, Generator), (peer.D, Discriminator)):
        network = kind(trained.config, generator=random())
        assert adopt(network, trained.state_dict()) == []
        assert all(torch.equal(value, trained.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("num_classes", [2, 5])
def test_the_embedding_of_other_classes_is_as_drawn_and_the_rest_as_trained(peer: "Peer", num_classes: int) -> None:
    config = replace(peer.ema.config, num_classes=num_classes)
    for trained, kind, stem in ((peer.ema, Generator, "mapping.trunk"), (peer.D, Discriminator, "mapping")):
        network, drawn = (kind(config, generator=random()) for _ in range(2))
        left = adopt(network, trained.state_dict())
        assert left == [f"{stem}.embed.bias", f"{stem}.embed.weight"]
        for name, value in network.state_dict().items():
            origin = drawn if name in left else trained
            assert torch.equal(value, origin.state_dict()[name]), name


def test_a_generator_without_classes_goes_on_with_its_images_and_learns_the_classes(
    make_peer: Callable[..., "Peer"],
) -> None:
    trained = make_peer(num_classes=1).ema
    G = Generator(replace(trained.config, num_classes=3), generator=random())
    assert adopt(G, trained.state_dict()) == ["mapping.trunk.embed.bias", "mapping.trunk.embed.weight"]
    labels = [0, 1, 2, 0]
    torch.testing.assert_close(images(G, labels), images(trained, [0] * 4), atol=1e-5, rtol=1e-5)
    torch.autograd.backward(images(G, labels).square().mean())
    grad = G.get_parameter(FIRST_LAYER).grad
    assert grad is not None
    assert grad[:, 16:].abs().max() > 0


def test_a_discriminator_learns_classes_anew_where_it_knew_none(make_peer: Callable[..., "Peer"]) -> None:
    trained = make_peer(num_classes=1).D
    D = Discriminator(replace(trained.config, num_classes=3), generator=random())
    left = adopt(D, trained.state_dict())
    assert {name.split(".")[0] for name in left} == {"mapping", "b4"}
    assert all(name.startswith(("mapping.", "b4.out.")) for name in left)
    assert torch.equal(D.b4.conv.weight, trained.b4.conv.weight)


def test_classes_can_be_forgotten(peer: "Peer") -> None:
    config = replace(peer.ema.config, num_classes=1)
    G, D = Generator(config, generator=random()), Discriminator(config, generator=random())
    assert adopt(G, peer.ema.state_dict()) == []
    assert adopt(D, peer.D.state_dict()) == ["b4.out.bias", "b4.out.weight"]
    assert images(G, [0, 0]).isfinite().all()


@pytest.mark.parametrize(
    "fields",
    [{"channel_max": 8}, {"z_dim": 8}, {"z_dim": 32}, {"mapping_layers": 3}, {"w_dim": 8}],
)
@pytest.mark.parametrize("num_classes", [1, 3])
def test_weights_of_another_shape_are_refused(peer: "Peer", fields: dict[str, int], num_classes: int) -> None:
    config = replace(peer.ema.config, num_classes=num_classes, **fields)
    network = Generator(config, generator=random())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ConfigError, match="only the number of classes and a generator's resolution may differ"):
        adopt(network, peer.ema.state_dict())
    assert len(before) > 10
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
