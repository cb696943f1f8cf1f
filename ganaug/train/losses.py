"""The losses of both networks as pure functions."""

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Mean of softplus(−D(fake)), the non-saturating loss. Source: Goodfellow et al. 2014, section 3.

    fake_logits: [N, 1]. Returns a scalar.
    """
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean of softplus(D(fake)) plus mean of softplus(−D(real)). Source: Goodfellow et al. 2014, section 3.

    real_logits, fake_logits: [N, 1]. Returns a scalar.
    """
    return F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()


def hinge_generator_loss(fake_logits: Tensor) -> Tensor:
    """Mean of −D(fake). Source: Lim and Ye 2017, as Sauer et al. 2021 use it.

    fake_logits: [N, L]. Returns a scalar.
    """
    return -fake_logits.mean()


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean of max(0, 1 − D(real)) plus mean of max(0, 1 + D(fake)). Source: Lim and Ye 2017.

    real_logits, fake_logits: [N, L]. Returns a scalar.
    """
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def r1_penalty(real_logits: Tensor, real_img: Tensor) -> Tensor:
    """Squared norm of the discriminator's gradient at each real image, ‖∇D(x)‖², differentiable.

    real_logits: [N, 1], computed from real_img [N, C, H, W], which requires gradients. Returns [N].
    Source: Mescheder et al. 2018, equation 9, without its γ/2.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_img, create_graph=True)
    return gradient.square().sum(dim=[1, 2, 3])


def path_lengths(img: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """How far each image moves, at random angles, when its styles move: ‖∇_ws ⟨img, noise⟩‖, differentiable.

    img: [N, C, H, W], computed from ws [N, L, w_dim], which requires gradients. noise: like img, of variance
    1 / (H · W), so that lengths do not depend on the resolution. Returns [N], root mean square over the L styles.
    Source: Karras et al. 2020a, equation 4 and appendix B.
    """
    (gradient,) = torch.autograd.grad((img * noise).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
