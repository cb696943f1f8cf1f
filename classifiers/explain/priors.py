"""Maps that know nothing of the model: what a method has to beat."""

import torch
from torch import Tensor, nn

from classifiers.explain.method import MapMethod, MapOptions, check_request, scale_to_unit, upsample
from classifiers.models.entry import Layout

GRID = 8  # positions per side of the random map


def random_map(
    model: nn.Module, images: Tensor, class_index: Tensor, cam_layer: str, layout: Layout, options: MapOptions
) -> Tensor:
    """Uniform noise on a grid of 8×8 positions, upsampled; the first map of a seed is the same in every batch.

    Our choice: a coarse grid, since the other maps are smooth. Noise of single pixels would destroy the image's texture
    long before its content, and would look faithful for that.
    """
    check_request(model, images, class_index)
    generator = torch.Generator().manual_seed(options.seed)
    noise = torch.rand(len(images), GRID, GRID, generator=generator).to(images.device)
    return scale_to_unit(upsample(noise, (images.shape[2], images.shape[3])))


def centre_map(
    model: nn.Module, images: Tensor, class_index: Tensor, cam_layer: str, layout: Layout, options: MapOptions
) -> Tensor:
    """A Gaussian around the middle of the image, with a quarter of each side as its standard deviation (our choice)."""
    check_request(model, images, class_index)
    y, x = (torch.linspace(-1 + 1 / side, 1 - 1 / side, side) for side in images.shape[2:])
    falling = torch.exp(-2 * (y[:, None] ** 2 + x[None] ** 2)).to(images.device)
    return scale_to_unit(falling.expand(len(images), -1, -1))


RANDOM = MapMethod(random_map, "Smooth noise, drawn without a look at image or model.", "none", sees_model=False)
CENTRE = MapMethod(centre_map, "A round hill in the middle of every image.", "none", sees_model=False)
