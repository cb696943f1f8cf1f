"""The gallery of the closest pairs: synthetic image, nearest training image, nearest held-out image."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ganaug.data.images.perceptual_hash import apply_symmetry
from ganaug.evaluate.copies.structure import Pixels
from ganaug.evaluate.judged import Exhibit
from ganaug.report.pictures import png

MAX_PAIRS = 3  # per class
_MAX_TILES = 45  # in all, so that the page stays small
_MAX_BYTES = 700_000  # of the picture; beyond, its colours are reduced to 256
_TILE_PX, _GAP_PX, _TEXT_PX = 80, 3, 13
_PAIR_GAP_PX, _MARGIN_PX = 18, 4
COLUMNS = ("synthetic", "training", "held-out")


@dataclass(frozen=True)
class Pair:
    """A synthetic image and its nearest real images, u8 [H,W,3], in its orientation."""

    synthetic: Pixels
    training: Pixels
    held_out: Pixels | None  # None where there is none
    similarity: float  # with the training image
    is_copy: bool


def num_pairs(num_classes: int) -> int:
    """How many pairs of each class there is room for."""
    return min(MAX_PAIRS, max(1, _MAX_TILES // (3 * max(1, num_classes))))


def turn_back(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A reference in the orientation of the image that lies like it in `orientation`."""
    inverse = 4 | (orientation & 1) << 1 | (orientation & 2) >> 1 if orientation & 4 else orientation
    return np.ascontiguousarray(apply_symmetry(image, inverse))


def gallery(pairs: dict[str, list[Pair]], part: str) -> Exhibit:
    """The exhibit of pairs by class, as one PNG; `part` says of which patients the held-out images are."""
    most = max(map(len, pairs.values()))
    has_held_out = any(pair.held_out is not None for each in pairs.values() for pair in each)
    pair_px = (3 if has_held_out else 2) * (_TILE_PX + _GAP_PX) - _GAP_PX
    row_px = _TILE_PX + 2 * _TEXT_PX + 4 * _GAP_PX
    width = 2 * _MARGIN_PX + most * pair_px + (most - 1) * _PAIR_GAP_PX
    canvas = Image.new("RGB", (width, _TEXT_PX + len(pairs) * row_px + _MARGIN_PX), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT_PX - 2)
    for place in range(most):
        for column, name in enumerate(COLUMNS[: 3 if has_held_out else 2]):
            left = _MARGIN_PX + place * (pair_px + _PAIR_GAP_PX) + column * (_TILE_PX + _GAP_PX)
            draw.text((left, 0), name, "dimgray", font)
    for row, (name, of_class) in enumerate(pairs.items()):
        top = _TEXT_PX + row * row_px + _GAP_PX
        draw.text((_MARGIN_PX, top), name, "black", font)
        for place, pair in enumerate(of_class):
            left = _MARGIN_PX + place * (pair_px + _PAIR_GAP_PX)
            _paste(canvas, pair, left, top + _TEXT_PX + _GAP_PX)
            text = f"similarity {pair.similarity:.2f}" + (", copy" if pair.is_copy else "")
            draw.text(
                (left, top + _TEXT_PX + _TILE_PX + 2 * _GAP_PX), text, "firebrick" if pair.is_copy else "dimgray", font
            )
    content = _as_png(canvas)
    if len(content) > _MAX_BYTES:
        content = _as_png(canvas.quantize(256))
    return Exhibit(
        "copying",
        "The closest pairs",
        "Of each class the synthetic images that lead furthest: left the synthetic image, next to it the nearest "
        "training image in the same orientation"
        + (f", then the nearest image of {part}" if has_held_out else "")
        + ". "
        "A copy shows the same nuclei in the same places as the training image. Similarity is the correlation of the "
        "aligned images without stain and light, at most 1.",
        png(content),
    )


def _as_png(canvas: Image.Image) -> bytes:
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _paste(canvas: Image.Image, pair: Pair, left: int, top: int) -> None:
    for column, image in enumerate((pair.synthetic, pair.training, pair.held_out)):
        if image is not None:
            method = Image.Resampling.BICUBIC if len(image) < _TILE_PX else Image.Resampling.LANCZOS
            tile = Image.fromarray(image).resize((_TILE_PX, _TILE_PX), method)
            canvas.paste(tile, (left + column * (_TILE_PX + _GAP_PX), top))
    if pair.is_copy:
        box = (left - 2, top - 2, left + 2 * _TILE_PX + _GAP_PX + 1, top + _TILE_PX + 1)
        ImageDraw.Draw(canvas).rectangle(box, outline="firebrick", width=2)
