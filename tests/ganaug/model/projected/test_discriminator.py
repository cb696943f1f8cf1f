"""The projected discriminator: scale, seeds, gradients, and what a state holds of it."""

import pytest
import torch

from ganaug.config import NetworkConfig
from ganaug.model.projected.discriminator import ProjectedDiscriminator
from ganaug.model.projected.mixing import RandomMixing

CONFIG = NetworkConfig(32, 3, z_dim=16, w_dim=16, channel_base=512, channel_max=32)


def new(config: NetworkConfig = CONFIG, seed: int = 0) -> ProjectedDiscriminator:
    return ProjectedDiscriminator(config, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def D() -> ProjectedDiscriminator:
    return new()


def images(number: int, side_px: int = 32) -> torch.Tensor:
    return torch.rand(number, 3, side_px, side_px, generator=torch.Generator().manual_seed(7)) * 2 - 1


def test_same_seed_same_bytes_and_another_seed_other_weights(D: ProjectedDiscriminator) -> None:
    own, same, other = D.state_dict(), new().state_dict(), new(seed=1).state_dict()
    assert own.keys() == same.keys()
    assert all(torch.equal(own[name], same[name]) for name in own)
    assert not torch.equal(own["heads.0.layers.0.weight"], other["heads.0.layers.0.weight"])


def test_a_state_holds_heads_and_mixing_but_not_the_frozen_network(D: ProjectedDiscriminator) -> None:
    assert {name.partition(".")[0] for name in D.state_dict()} == {"heads", "mixing", "pixels"}
    assert {name.partition(".")[0] for name, _ in D.named_parameters()} == {"heads", "pixels"}


def test_gradients_reach_every_parameter_and_the_image(D: ProjectedDiscriminator) -> None:
    img = images(3).requires_grad_()
    D(img, torch.eye(3)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in D.parameters())
    assert img.grad is not None
    assert (img.grad.abs().sum(dim=[1, 2, 3]) > 0).all()
    D.zero_grad()


def test_an_image_is_judged_alone(D: ProjectedDiscriminator) -> None:
    img, c = images(4), torch.eye(3)[[0, 1, 2, 0]]
    torch.testing.assert_close(D(img, c)[1:2], D(img[1:2], c[1:2]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("side_px", [16, 64, 128])
def test_every_resolution_has_logits_of_all_heads(side_px: int) -> None:
    config = NetworkConfig(side_px, 2, z_dim=8, w_dim=8, channel_base=512, channel_max=8)
    logits = new(config)(images(2, side_px), torch.eye(2))
    assert logits.shape[0] == 2
    assert torch.isfinite(logits).all()
    assert logits.abs().max() < 100


def test_one_class_makes_it_unconditional() -> None:
    alone = new(NetworkConfig(32, 1, z_dim=8, w_dim=8, channel_base=512, channel_max=8))
    assert torch.equal(alone(images(2), None), alone(images(2), torch.ones(2, 1)))


def test_updated_norms_follow_changed_weights(D: ProjectedDiscriminator) -> None:
    D = new()
    with torch.no_grad():
        for parameter in D.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(2))
    before = {name: value.clone() for name, value in D.state_dict().items() if name.endswith(".u")}
    D.update_norms()
    after = D.state_dict()
    assert len(before) == sum(name.endswith(".weight") for name, _ in D.named_parameters())
    assert not any(torch.equal(before[name], after[name]) for name in before if len(before[name]) > 1)


# ---- the random mixing ----


def maps(number: int = 4) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(5)
    shapes = [(6, 8), (10, 4), (20, 2)]
    return [torch.randn(number, channels, side, side, generator=random) * 9 for channels, side in shapes]


def test_calibrated_maps_have_a_mean_square_of_one_and_the_asked_channels() -> None:
    mixing = RandomMixing([6, 10, 20], 16, generator=torch.Generator().manual_seed(0))
    mixing.calibrate(maps())
    mixed = mixing(maps())
    assert [list(seen.shape) for seen in mixed] == [[4, 16, 8, 8], [4, 16, 4, 4], [4, 16, 2, 2]]
    assert [float(seen.square().mean()) for seen in mixed] == pytest.approx([1, 1, 1], rel=1e-5)


def test_coarse_maps_reach_finer_ones_and_not_the_reverse() -> None:
    mixing = RandomMixing([6, 10, 20], 16, generator=torch.Generator().manual_seed(0))
    plain, changed = maps(), maps()
    changed[1] = changed[1] + 1
    is_same = [torch.equal(a, b) for a, b in zip(mixing(plain), mixing(changed), strict=True)]
    assert is_same == [False, False, True]


def test_mixing_is_linear_and_never_trained() -> None:
    mixing = RandomMixing([6, 10, 20], 16, generator=torch.Generator().manual_seed(0))
    assert list(mixing.parameters()) == []
    double = mixing([2 * seen for seen in maps()])
    for twice, once in zip(double, mixing(maps()), strict=True):
        torch.testing.assert_close(twice, 2 * once, atol=1e-4, rtol=1e-4)
