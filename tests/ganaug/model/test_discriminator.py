"""The discriminator: class projection, comparison inside the batch, gradients."""

from dataclasses import replace

import pytest
import torch

from ganaug.config import NetworkConfig
from ganaug.model.discriminator import Discriminator, minibatch_std

CONFIG = NetworkConfig(32, 3, z_dim=16, w_dim=16, channel_base=512, channel_max=32)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(num: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(num, 3, 32, 32, generator=random(1)), torch.eye(3)[torch.arange(num) % 3]


@pytest.fixture
def D() -> Discriminator:
    return Discriminator(CONFIG, generator=random())


def test_published_parameter_count() -> None:
    config = NetworkConfig(64, 4, channel_base=8192, channel_max=256)
    count = sum(p.numel() for p in Discriminator(config, generator=random()).parameters())
    assert count == pytest.approx(6.45e6, abs=5e3)


def test_same_seed_same_bytes() -> None:
    first, again = (Discriminator(CONFIG, generator=random()).state_dict() for _ in range(2))
    assert len(first) == len(again) > 10
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_class_changes_the_logits(D: Discriminator) -> None:
    img, c = batch(4)
    logits = D(img, c)
    assert logits.shape == (4, 1)
    assert (logits - D(img, c.roll(1, dims=1))).abs().min() > 1e-4


def test_one_class_ignores_the_label() -> None:
    config = NetworkConfig(32, 1, channel_base=512, channel_max=32)
    D = Discriminator(config, generator=random())
    img, _ = batch(4)
    assert torch.equal(D(img, None), D(img, torch.ones(4, 1)))


def largest_gradient(parameter: torch.nn.Parameter) -> float:
    return 0.0 if parameter.grad is None else parameter.grad.abs().max().item()


def test_gradients_flow_to_every_parameter_also_through_the_penalty(D: Discriminator) -> None:
    img, c = batch(8)
    img.requires_grad_()
    (gradient,) = torch.autograd.grad(D(img, c).sum(), img, create_graph=True)
    D(img, c).sum().backward()
    first = {name: largest_gradient(parameter) for name, parameter in D.named_parameters()}
    assert min(first.values()) > 0, first
    D.zero_grad()
    torch.autograd.backward(gradient.square().sum())
    without_bias = [p for name, p in D.named_parameters() if "bias" not in name and name != "b4.out.weight"]
    assert len(without_bias) > 5
    assert all(largest_gradient(parameter) > 0 for parameter in without_bias)


@pytest.mark.parametrize(
    ("num_images", "most", "group"),
    [(8, 4, 4), (4, 4, 4), (6, 4, 3), (2, 4, 2), (1, 4, 1), (8, 8, 8), (8, 2, 2), (8, 1, 1), (12, 8, 6)],
)
def test_minibatch_deviation_is_that_of_its_group(num_images: int, most: int, group: int) -> None:
    x = torch.randn(num_images, 2, 3, 3, generator=random(2))
    channel = minibatch_std(x, most)[:, 2]
    stride = num_images // group
    for image in range(num_images):
        members = x[image % stride :: stride]
        expected = (members.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(channel[image], expected.expand(3, 3))


def test_the_configuration_says_how_many_images_are_compared() -> None:
    img, c = batch(8)
    logits = [Discriminator(replace(CONFIG, std_group=size), generator=random())(img, c) for size in (1, 4, 8)]
    assert not torch.allclose(logits[0], logits[1])
    assert not torch.allclose(logits[1], logits[2])


def test_equal_images_have_no_deviation() -> None:
    x = torch.randn(1, 2, 3, 3, generator=random(2)).expand(4, -1, -1, -1)
    assert minibatch_std(x, 4)[:, 2].max() < 1e-3
