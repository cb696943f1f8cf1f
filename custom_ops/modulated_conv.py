"""Convolution whose weights are scaled per image by a style, and normalised back to unit variance."""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from custom_ops.checks import check_dtype, check_whole
from custom_ops.resample import conv2d_resample

Form = Literal["activations", "weights"]
Convolve = Callable[..., Tensor]  # of images and weights, and of groups
HALF = (torch.float16, torch.bfloat16)
TINY = 1e-8  # the smallest divisor of weights and styles


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    *,
    up: int = 1,
    padding: int = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    form: Form | None = None,
) -> Tensor:
    """Convolve each image with its own weights w'_oikl = s_i · w_oikl, demodulated to unit norm over (i, k, l).

    x: [N, I, H, W], in whose type the images are convolved; the rest may be float32 where x is a half type.
    weight: [O, I, k, k]. styles: [N, I]. noise: [N or 1, 1, H·up, W·up], added to the result.
    form: 'activations' scales the images before and after one shared convolution; 'weights' makes the N weights and
    convolves in N groups. Both give the same numbers; None takes the faster one, see `fastest_form`.
    Returns [N, O, H·up, W·up]. Raises TypeError or ValueError where the arguments do not fit.
    Source: Karras et al. 2020a, equations 1 and 3; half types 2020b, appendix.

    Two channels under styles 3 and 4: demodulated, the weights are 3/5 and 4/5.

    >>> x, weight = torch.ones(1, 2, 1, 1), torch.ones(1, 2, 1, 1)
    >>> y = modulated_conv2d(x, weight, styles=torch.tensor([[3.0, 4.0]]))
    >>> round(y.item(), 4)
    1.4
    """
    _check(x, weight, styles, noise, up, form)
    if demodulate and x.dtype in HALF:
        weight, styles = _scale_below_one(weight, styles)
    compute = _scale_activations if (form or fastest_form(x)) == "activations" else _scale_weights
    convolve = partial(conv2d_resample, f=resample_filter, up=up, padding=padding, flip_weight=flip_weight)
    return compute(x, weight, styles, noise, demodulate, convolve)


def _check(x: Tensor, weight: Tensor, styles: Tensor, noise: Tensor | None, up: int, form: str | None) -> None:
    for name, value in (("x", x), ("weight", weight), ("styles", styles), ("noise", x if noise is None else noise)):
        check_dtype(f"modulated_conv2d: {name}", value)
    if form not in (None, "activations", "weights"):
        raise ValueError(f"modulated_conv2d: form is {form!r}; expected 'activations', 'weights' or None")
    check_whole("modulated_conv2d: up", up, 1)
    shapes = f"x {list(x.shape)}, weight {list(weight.shape)}, styles {list(styles.shape)}"
    if x.ndim != 4 or weight.ndim != 4 or weight.shape[1] != x.shape[1] or styles.shape != x.shape[:2]:
        raise ValueError(f"modulated_conv2d: {shapes}; expected [N, I, H, W], [O, I, k, k] and [N, I]")
    if noise is not None and (noise.ndim != 4 or noise.shape[0] not in (1, x.shape[0]) or noise.shape[1] != 1):
        raise ValueError(f"modulated_conv2d: noise has shape {list(noise.shape)}; expected [N or 1, 1, H·up, W·up]")


def _scale_below_one(weight: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Scale weights and styles by their largest, so that nothing overflows in half precision.

    Demodulation cancels both scales, so they are constants to the gradient.
    """
    fan_in = weight[0].numel()
    largest = weight.detach().abs().amax(dim=[1, 2, 3], keepdim=True).clamp(min=TINY)
    strongest = styles.detach().abs().amax(dim=1, keepdim=True).clamp(min=TINY)
    return weight / (largest * math.sqrt(fan_in)), styles / strongest


def fastest_form(x: Tensor) -> Form:
    """The form that runs faster where x lies.

    On the CPU scaling the activations: in float32 grouped weights take 1.3 to 4.5 times as long
    (scripts/results/modulated-conv-cpu-float32.json), in the half types 1.1 to 20 times. On a GPU, not measured:
    grouped weights where no gradient is wanted, as published for evaluation.
    """
    return "weights" if x.is_cuda and not torch.is_grad_enabled() else "activations"


def _scale_activations(
    x: Tensor, weight: Tensor, styles: Tensor, noise: Tensor | None, demodulate: bool, convolve: Convolve
) -> Tensor:
    x = x * styles[:, :, None, None].to(x.dtype)
    noise = None if noise is None else noise.to(x.dtype)
    x = convolve(x, weight.to(x.dtype))
    if not demodulate:
        return x if noise is None else x + noise
    # The squared norm of every image's weights is a matrix product: no [N, O, I, k, k] is made.
    norms = styles.square() @ weight.square().sum(dim=[2, 3]).t()
    scale = (norms + 1e-8).rsqrt()[:, :, None, None].to(x.dtype)
    return x * scale if noise is None else torch.addcmul(noise, x, scale)


def _scale_weights(
    x: Tensor, weight: Tensor, styles: Tensor, noise: Tensor | None, demodulate: bool, convolve: Convolve
) -> Tensor:
    num_images = x.shape[0]
    weights = weight[None] * styles[:, None, :, None, None]  # [N, O, I, k, k]
    if demodulate:
        weights = weights * (weights.square().sum(dim=[2, 3, 4], keepdim=True) + 1e-8).rsqrt()
    x = convolve(x.reshape(1, -1, *x.shape[2:]), weights.flatten(0, 1).to(x.dtype), groups=num_images)
    x = x.reshape(num_images, -1, *x.shape[2:])
    return x if noise is None else x + noise.to(x.dtype)
