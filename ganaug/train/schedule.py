"""The class transition: how much the classes count at each moment of a training."""

from torch import Tensor

from ganaug.config import GanConfig


def conditioning(config: GanConfig, num_images: float) -> float:
    """How much the class counts: 0 before the transition, 1 after it, in between a straight line.

    With few images per class, a generator that is asked for classes from the start collapses; one that first learns
    what they share does not. Source: Shahbazi et al. 2022, section 4.
    """
    if config.transition_kimg is None:
        return 1.0
    start, end = (1000 * kimg for kimg in config.transition_kimg)
    if num_images >= end:
        return 1.0
    return 0.0 if num_images <= start else (num_images - start) / (end - start)


def blend_with_uniform(c: Tensor, conditioning: float) -> Tensor:
    """Classes [N, K] that count only in part: what both networks are shown moves from 1/K each to `c`.

    Shahbazi et al. fade the embedding in; as that is linear in `c`, this is the same, but that at 0 both networks see
    the mean embedding instead of none. Nothing of it is left in the networks at the end.
    """
    return c if conditioning == 1 else (1 - conditioning) / c.shape[1] + conditioning * c
