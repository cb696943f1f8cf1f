"""Pictures as data URIs, so that a page needs nothing but itself."""

import base64
import io
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THUMBNAIL_PX = 128  # larger images are reduced to this side


def strip(images: NDArray[np.uint8]) -> str:
    """Images u8 [n,H,W,3] side by side, with a thin white gap, as a PNG data URI."""
    tiles = [Image.fromarray(image) for image in images]
    for tile in tiles:
        tile.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    side, gap = tiles[0].width, max(1, tiles[0].width // 32)
    canvas = Image.new("RGB", ((side + gap) * len(tiles) - gap, side), "white")
    for position, tile in enumerate(tiles):
        canvas.paste(tile, (position * (side + gap), 0))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return _data_uri(buffer.getvalue(), "image/png")


def png(content: bytes) -> str:
    """A PNG file as a data URI."""
    return _data_uri(content, "image/png")


def plot_style() -> AbstractContextManager[None]:
    """The style of all plots, which also makes their SVG the same every time."""
    import matplotlib as mpl

    return mpl.rc_context({"svg.hashsalt": "ganaug", "font.size": 10, "font.family": "DejaVu Sans"})


def plot(figure: "Figure") -> str:
    """A figure that was drawn in `plot_style`, as an SVG data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _data_uri(buffer.getvalue(), "image/svg+xml")


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
