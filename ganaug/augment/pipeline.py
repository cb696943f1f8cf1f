"""The differentiable augmentation of what the discriminator sees, real or generated."""

from typing import NamedTuple

import torch
from torch import Tensor

from ganaug.augment.colour import apply_colour, draw_colour
from ganaug.augment.corrupt import apply_gains, apply_hole, draw_gains, draw_hole, draw_noise
from ganaug.augment.dice import Dice
from ganaug.augment.geometry import Geometry, draw_geometry, transform
from ganaug.augment.spec import AugmentSpec
from ganaug.errors import ConfigError

SMALLEST_PX = 8


class Draws(NamedTuple):
    """All that is random about one batch; None where the specification leaves it out."""

    geometry: Geometry
    colour: Tensor | None
    gains: Tensor | None
    noise: Tensor | None
    hole: Tensor | None


class AugmentPipe:
    """Augments each image of a batch on its own: every transformation is applied with probability p, else skipped.

    As each leaves an image unchanged with probability 1 − p, and p < 1, the generator can learn what images look like
    without: augmentations do not leak into it. Differentiable to any order with respect to the images.
    Source: Karras et al. 2020b, section 2 and appendix B.

    Flips and quarter turns move pixels and change none; with p = 0 nothing moves:

    >>> img = torch.linspace(-1, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)
    >>> pipe, generator = AugmentPipe(AugmentSpec(x_flip=True, quarter_turns=True)), torch.Generator().manual_seed(0)
    >>> augmented = pipe(img, 1.0, generator)
    >>> torch.equal(augmented.flatten().sort().values, img.flatten().sort().values)
    True
    >>> torch.equal(pipe(img, 0.0, generator), img)
    True
    """

    def __init__(self, spec: AugmentSpec) -> None:
        self.spec = spec
        self.is_off = spec == AugmentSpec()

    def __call__(self, img: Tensor, p: float | Tensor, generator: torch.Generator) -> Tensor:
        """Augment images [N, 3, H, H] in [-1, 1], which the result may leave.

        p: in [0, 1], a number or a scalar tensor. generator: on the images' device. Images in a half type are
        augmented in float32 and returned in theirs. Raises ConfigError where the images or p do not fit.
        """
        return img if self.is_off else self.apply(img, self.draw(img, p, generator))

    def draw(self, img: Tensor, p: float | Tensor, generator: torch.Generator) -> Draws:
        """Draw all that is random; apart from `apply`, as torch.compile cannot take a torch.Generator."""
        _check(img, p)
        spec, dice, size = self.spec, Dice(img.shape[0], p, generator), img.shape[3]
        return Draws(
            geometry=draw_geometry(spec, dice, size),
            colour=draw_colour(spec, dice) if spec.is_coloured else None,
            gains=draw_gains(spec, dice) if spec.filter > 0 else None,
            noise=draw_noise(spec, dice, size) if spec.noise > 0 else None,
            hole=draw_hole(spec, dice) if spec.cutout > 0 else None,
        )

    def apply(self, img: Tensor, draws: Draws) -> Tensor:
        """Augment images as drawn; compiles as a whole."""
        x = img.to(torch.promote_types(img.dtype, torch.float32))
        x = transform(x, draws.geometry)
        if draws.colour is not None:
            x = apply_colour(x, draws.colour)
        if draws.gains is not None:
            x = apply_gains(x, draws.gains)
        if draws.noise is not None:
            x = x + draws.noise
        if draws.hole is not None:
            x = apply_hole(x, draws.hole)
        return x.to(img.dtype)


def _check(img: Tensor, p: float | Tensor) -> None:
    if img.ndim != 4 or img.shape[1] != 3 or img.shape[2] != img.shape[3] or img.shape[3] < SMALLEST_PX:
        expected = f"square RGB images [N, 3, H, H] of at least {SMALLEST_PX} px"
        raise ConfigError(f"images of shape {list(img.shape)} to augment", expected=expected)
    if not isinstance(p, Tensor) and not 0 <= p <= 1:
        raise ConfigError(f"augmentation with probability {p}", expected="a number from 0 to 1")
