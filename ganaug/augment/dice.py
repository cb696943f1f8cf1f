"""Random numbers for each image of a batch, kept with the augmentation's probability and else neutral."""

import torch
from torch import Tensor


class Dice:
    """Draws for `num_images` images from `generator`, on its device.

    p: the probability that a transformation is applied, in [0, 1]. All is drawn whatever p is, so for equal states of
    the generator a transformation applied at one p is applied at every larger one, with the same parameters.
    """

    def __init__(self, num_images: int, p: float | Tensor, generator: torch.Generator) -> None:
        self.num_images, self.generator, self.device = num_images, generator, generator.device
        self.p = p if isinstance(p, Tensor) else torch.full((), p, device=self.device)  # without waiting for the device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """[N, *shape], evenly between the limits."""
        drawn = torch.rand(self.num_images, *shape, generator=self.generator, device=self.device)
        return drawn * (high - low) + low

    def normal(self, std: float, *shape: int) -> Tensor:
        """[N, *shape], around 0 with this standard deviation."""
        return torch.randn(self.num_images, *shape, generator=self.generator, device=self.device) * std

    def below(self, count: int) -> Tensor:
        """[N], the whole numbers from 0 to count − 1, evenly, as floats."""
        return torch.randint(count, (self.num_images,), generator=self.generator, device=self.device).float()

    def maybe(self, value: Tensor, p: Tensor | None = None) -> Tensor:
        """The `value` [N, …] of each image with probability `p`, the dice's own where None, and else 0."""
        applied = self.uniform(0, 1) < (self.p if p is None else p)
        return value * applied.reshape(-1, *[1] * (value.ndim - 1))
