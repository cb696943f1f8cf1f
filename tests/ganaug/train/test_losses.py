"""The losses against their closed forms."""

import math

import torch

from ganaug.train.losses import discriminator_loss, generator_loss, r1_penalty


def test_losses_of_an_undecided_discriminator() -> None:
    undecided = torch.zeros(4, 1)
    assert generator_loss(undecided).item() == torch.tensor(math.log(2)).item()
    torch.testing.assert_close(discriminator_loss(undecided, undecided), torch.tensor(2 * math.log(2)))


def test_losses_are_cross_entropies_of_the_logits() -> None:
    real, fake = torch.randn(2, 6, 1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(generator_loss(fake), -torch.sigmoid(fake).log().mean())
    expected = -torch.sigmoid(real).log().mean() - (1 - torch.sigmoid(fake)).log().mean()
    torch.testing.assert_close(discriminator_loss(real, fake), expected)


def test_a_winning_discriminator_still_teaches_the_generator() -> None:
    fake = torch.full((4, 1), -8.0, requires_grad=True)
    torch.autograd.backward(generator_loss(fake))
    torch.testing.assert_close(fake.grad, torch.full((4, 1), -0.25), atol=1e-3, rtol=0)


def test_penalty_of_a_linear_discriminator_is_its_squared_norm() -> None:
    weight = torch.randn(48, 1, generator=torch.Generator().manual_seed(1), requires_grad=True)
    img = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(2), requires_grad=True)
    penalty = r1_penalty(img.flatten(1) @ weight, img)
    torch.testing.assert_close(penalty, weight.square().sum().expand(5))
    (gradient,) = torch.autograd.grad(penalty.mean(), weight)
    torch.testing.assert_close(gradient, 2 * weight)
