"""Contact sheets: rows of images side by side, to look at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganaug.workspace import atomic_path

GAP_PX = 2
SMALLEST_PX = 96  # smaller images are enlarged by whole factors, pixel by pixel


def sheet(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Tile rows of images u8 [n,H,W,3], all of one size, to one white-bordered image u8 [h,w,3]."""
    side = rows[0].shape[1]
    factor = max(1, round(SMALLEST_PX / side))
    cell = side * factor + GAP_PX
    canvas = np.full((len(rows) * cell + GAP_PX, max(map(len, rows)) * cell + GAP_PX, 3), 255, np.uint8)
    for top, row in enumerate(rows):
        for left, image in enumerate(row):
            y, x = GAP_PX + top * cell, GAP_PX + left * cell
            canvas[y : y + side * factor, x : x + side * factor] = image.repeat(factor, 0).repeat(factor, 1)
    return canvas


def save_sheet(path: Path, rows: Sequence[NDArray[np.uint8]]) -> None:
    """Write a sheet as PNG."""
    with atomic_path(path) as part:
        Image.fromarray(sheet(rows)).save(part, format="PNG")
