"""Squares of one size from an image of any size: its centre, a grid of tiles, or all of it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganaug.config import PrepareConfig
from ganaug.data.images.decode import Undecodable
from ganaug.errors import private

Box = tuple[float, float, float, float]  # left, top, right, bottom, in the source's pixels


@dataclass(frozen=True)
class Square:
    """One square of an image, at its final size."""

    image: NDArray[np.uint8]  # u8 [S,S,3]
    mask: NDArray[np.uint8] | None  # u8 [S,S], 0 or 255
    place: str  # which part of the image it is; empty where an image gives one square
    um_per_px: float  # of these pixels, NaN where unknown
    enlarged: bool
    squashed: bool  # the aspect was changed


def squares(
    image: Image.Image, mask: Image.Image | None, config: PrepareConfig, um_per_px: float | None
) -> Iterator[Square]:
    """Cut and resample an RGB image, and its mask with it, as the configuration says.

    crop: the central square, of the field's side or else of the image's shorter side. tile: all whole squares of the
    field's side (or else of `resolution_px`), edge to edge, the grid centred. resize: all of the image. Resampling is
    anti-aliased (bicubic, its support scaled to the reduction). `um_per_px` is that of the source's pixels.
    Raises Undecodable where the image is smaller than the field, or the field is in micrometres and the scale unknown.
    """
    side_px = config.resolution_px
    boxes = [(0.0, 0.0, float(image.width), float(image.height))]
    if config.fit != "resize":
        field_px = _field_px(config, image.size, um_per_px)
        boxes = _grid(image.size, field_px) if config.fit == "tile" else [_centre(image.size, field_px)]
    for box in boxes:
        width, height = box[2] - box[0], box[3] - box[1]
        square = math.isclose(width, height)
        yield Square(
            image=np.asarray(_resample(image, box, side_px)),
            mask=None if mask is None else _resample_mask(mask, box, side_px),
            place=f"x{round(box[0])}y{round(box[1])}" if config.fit == "tile" else "",
            um_per_px=um_per_px * width / side_px if um_per_px and square else float("nan"),
            enlarged=min(width, height) < side_px,
            squashed=not square,
        )


def _field_px(config: PrepareConfig, size: tuple[int, int], um_per_px: float | None) -> float:
    """The side of the squares in the image's own pixels."""
    if config.field_um is not None and um_per_px is None:
        raise Undecodable("micrometres per pixel are not known, so no field in micrometres can be cut")
    if config.field_um is not None and um_per_px is not None:
        field_px = config.field_um / um_per_px
    else:
        field_px = config.field_px or (config.resolution_px if config.fit == "tile" else min(size))
    if field_px > min(size) + 1e-6:
        raise Undecodable(f"{size[0]}×{size[1]} px are less than a field of {field_px:g} px")
    return field_px


def _centre(size: tuple[int, int], field_px: float) -> Box:
    left, top = _margin(size[0] - field_px), _margin(size[1] - field_px)
    return left, top, left + field_px, top + field_px


def _grid(size: tuple[int, int], field_px: float) -> list[Box]:
    columns, rows = (int(length / field_px + 1e-6) for length in size)
    left, top = _margin(size[0] - columns * field_px), _margin(size[1] - rows * field_px)
    corners = [(left + column * field_px, top + row * field_px) for row in range(rows) for column in range(columns)]
    return [(x, y, x + field_px, y + field_px) for x, y in corners]


def _margin(rest_px: float) -> float:
    """Half of what is left over, on whole pixels, so that squares of whole pixels are cut and not interpolated."""
    return float(max(0, int(rest_px) // 2))


def _resample(image: Image.Image, box: Box, side_px: int) -> Image.Image:
    right, bottom = min(box[2], image.width), min(box[3], image.height)  # rounding may step over the edge
    if all(edge == int(edge) for edge in box) and (box[2] - box[0], box[3] - box[1]) == (side_px, side_px):
        return image.crop((int(box[0]), int(box[1]), int(box[2]), int(box[3])))
    inside = (box[0], box[1], right, bottom)
    # Beyond a reduction by 6 whole pixels are averaged first, which looks the same as the filter alone.
    return image.resize((side_px, side_px), Image.Resampling.BICUBIC, inside, reducing_gap=3.0)


def _resample_mask(mask: Image.Image, box: Box, side_px: int) -> NDArray[np.uint8]:
    """A pixel is marked where at least half of what it covers is."""
    small = mask.resize((side_px, side_px), Image.Resampling.BOX, box=box)
    return np.where(np.asarray(small) >= 128, 255, 0).astype(np.uint8)


def union(masks: Sequence[Image.Image], size: tuple[int, int], names: Sequence[str]) -> Image.Image | None:
    """What any of the masks marks, as 0 or 255 [H,W] of their image's `size` (width, height); None of none.

    Raises Undecodable where a mask has another size: stretched, it would mark something else.
    """
    for mask, name in zip(masks, names, strict=True):
        if mask.size != size:
            seen = f"its mask {private(name)} has {mask.width}×{mask.height} px"
            raise Undecodable(f"{seen}; expected {size[0]}×{size[1]} px as the image has; export the mask again")
    marked = [np.asarray(mask.convert("L")) >= 128 for mask in masks]
    return Image.fromarray(np.where(np.any(marked, axis=0), 255, 0).astype(np.uint8)) if marked else None
