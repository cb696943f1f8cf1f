"""Images as network input, one batch at a time: plain for evaluation, randomly changed for training."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from classifiers.config import ClassicalAugmentation

NUM_ORIENTATIONS = 8  # of a square: tissue has no up
MIN_CROP = 0.8  # side of the smallest crop, as a fraction of the image's
MAX_TILT_RAD = math.radians(10)  # on top of a random quarter turn
MAX_JITTER = 0.2  # brightness, contrast and saturation are scaled by 1 ± this
LUMA = (0.299, 0.587, 0.114)
STAIN_VECTORS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))  # density per stain in red, green, blue
MAX_STAIN_JITTER = 0.2  # σ of Tellez et al.'s rule


def to_float(images: Tensor) -> Tensor:
    """u8 [N,3,H,W] as float32 in [0,1]: all that evaluation does; the models scale and normalise by themselves."""
    return images.float().div_(255)


def orient(images: Tensor, orientation: int) -> Tensor:
    """Square images [N,C,H,H] in one of the eight orientations of the square, 0 to 7; 0 leaves them as they are.

    1 to 3 are quarter turns counter-clockwise; 4 to 7 are the same of the image mirrored left to right.
    """
    if not 0 <= orientation < NUM_ORIENTATIONS:
        raise ValueError(f"orientation {orientation}; expected 0 to {NUM_ORIENTATIONS - 1}")
    mirrored = images.flip(-1) if orientation >= 4 else images
    return torch.rot90(mirrored, orientation % 4, (-2, -1))


def orient_each(images: Tensor, orientations: Tensor) -> Tensor:
    """`orient` with an orientation [N] of its own, i64 from 0 to 7, for each image of [N,C,H,H]."""
    quarter, mirrored = orientations[:, None, None, None] % 4, orientations[:, None, None, None] >= 4
    x = torch.where(mirrored, images.flip(-1), images)
    x = torch.where(quarter >= 2, x.flip((-2, -1)), x)
    return torch.where(quarter % 2 == 1, torch.rot90(x, 1, (-2, -1)), x)


def augment(images: Tensor, level: ClassicalAugmentation, generator: torch.Generator) -> Tensor:
    """Square u8 [N,3,H,H] as float32 in [0,1], each image changed in its own random way, or not at level "none".

    "light" is one of the eight orientations, in which every pixel keeps its value. "standard" is a random crop,
    rotation and colour jitter (ResViT-GANNet, BMC Medical Imaging 2025). The amounts are ours: a crop of 80 to 100 % of
    the side anywhere in the image, one of the eight symmetries of the square (tissue has no up) and a tilt of up to
    10°, brightness, contrast and saturation × 0.8 to 1.2; hue stays, as it is the stain's. What a tilt brings in from
    beyond the border is the image reflected. "strong" is the same with `jitter_stains` before the colour jitter: the
    stain is the laboratory's, brightness and contrast are the camera's, and both vary. `generator` lives on the CPU, so
    that all devices see the same changes. Raises ValueError for images that are not square.
    """
    if level == "none":
        return to_float(images)
    if images.shape[2] != images.shape[3]:
        raise ValueError(
            f"images of {images.shape[3]}×{images.shape[2]} px; expected squares, for quarter turns; crop them"
        )
    if level == "light":
        orientations = torch.randint(NUM_ORIENTATIONS, (len(images),), generator=generator)
        return to_float(orient_each(images, orientations.to(images.device)))
    draws = torch.rand(len(images), 9, generator=generator).to(images.device)
    matrices = crop_and_turn(draws[:, :6])
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    moved = F.grid_sample(to_float(images), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    if level == "strong":
        amounts = torch.rand(len(images), 2, 3, generator=generator).to(images.device)
        scales, shifts = (MAX_STAIN_JITTER * (2 * amounts - 1)).unbind(1)
        moved = jitter_stains(moved, 1 + scales, shifts)
    return jitter_colour(moved, 1 + MAX_JITTER * (2 * draws[:, 6:] - 1))


def crop_and_turn(draws: Tensor) -> Tensor:
    """Uniform draws [N,6] to affine maps [N,2,3] from output to input, in coordinates from -1 to 1."""
    side, x, y, quarter, tilt, mirror = draws.unbind(1)
    side = MIN_CROP + (1 - MIN_CROP) * side
    angle = (quarter * 4).floor() * (math.pi / 2) + MAX_TILT_RAD * (2 * tilt - 1)
    flip = torch.where(mirror < 0.5, -1.0, 1.0)
    cos, sin = side * angle.cos(), side * angle.sin()
    shift_x, shift_y = (1 - side) * (2 * x - 1), (1 - side) * (2 * y - 1)  # the crop stays inside the image
    return torch.stack([flip * cos, -sin, shift_x, flip * sin, cos, shift_y], dim=1).view(-1, 2, 3)


def jitter_stains(images: Tensor, scales: Tensor, shifts: Tensor) -> Tensor:
    """Float [N,3,H,W] in [0,1] with the amount of each stain times `scales` [N,3] plus `shifts` [N,3], in [0,1] again.

    The stains are haematoxylin, eosin and a residual, by Beer–Lambert's law: density = amounts · STAINS, where density
    = −ln((255·image + 1)/256), which keeps black finite. Source: the stains of Ruifrok & Johnston 2001; the rule c' =
    αc + β, with α from U(1 − σ, 1 + σ) and β from U(−σ, σ) for each stain, of Tellez et al. 2018. σ = 0.2 is HED-strong
    of Tellez et al. 2019; that β is in units of natural optical density is ours.
    """
    stains = images.new_tensor(STAIN_VECTORS).T  # columns are stains
    mixing = stains * scales[:, None, :] @ torch.linalg.inv(stains)  # unmixes, scales and mixes again, [N,3,3]
    density = -((255 * images.flatten(2) + 1) / 256).log()
    changed: Tensor = mixing @ density + (shifts @ stains.T)[:, :, None]
    return ((256 * (-changed).exp() - 1) / 255).clamp(0, 1).view_as(images)


def jitter_colour(images: Tensor, scales: Tensor) -> Tensor:
    """Float [N,3,H,W] in [0,1], brightness, contrast and saturation times `scales` [N,3], clamped to [0,1].

    One matrix per image and an offset: the image times its brightness; contrast about the mean of all its values,
    which grey has too, as the weights of LUMA sum to 1; saturation about each pixel's grey.
    """
    brightness, contrast, saturation = scales[:, :, None, None].unbind(1)
    pixels = images.flatten(2)
    offset = (1 - contrast) * brightness * pixels.mean(dim=(1, 2), keepdim=True)
    own, grey = torch.eye(3, device=images.device), images.new_tensor(LUMA).expand(3, 3)
    colours = brightness * contrast * (saturation * own + (1 - saturation) * grey)
    return torch.baddbmm(offset, colours, pixels).clamp_(0, 1).view_as(images)
