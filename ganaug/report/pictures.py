"""Pictures as data URIs, so that a page needs nothing but itself."""

import base64
import io
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THUMBNAIL_PX = 128  # larger images are reduced to this side

# The colours of plots, on light and on dark paper. A plot uses the light ones; `plot` lets the reader's screen choose.
INK, GREY, MARK, ALARM, OTHER = "#1a1a1a", "#8a8a8a", "#7a1f5c", "#c0392b", "#2f6f8f"
_ON_DARK = {INK: "#e8e6e1", GREY: "#93918c", MARK: "#e08cc4", ALARM: "#ff7a6b", OTHER: "#7fc0dd"}


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


def overlay(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The image in grey, u8 [H,W,3], under a map [H,W] in [0,1], whose colour covers it the more the higher it is."""
    import matplotlib as mpl

    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    colour = 255 * mpl.colormaps["inferno"](heat)[..., :3]
    opacity = 0.75 * np.clip(heat, 0, 1)[..., None]
    return np.asarray((1 - opacity) * grey + opacity * colour).round().astype(np.uint8)


def png(content: bytes) -> str:
    """A PNG file as a data URI."""
    return _data_uri(content, "image/png")


def plot_style() -> AbstractContextManager[None]:
    """The style of all plots, which also makes their SVG the same every time."""
    import matplotlib as mpl

    style: dict[Any, Any] = {"svg.hashsalt": "ganaug", "font.size": 10, "font.family": "DejaVu Sans"}
    style |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    return mpl.rc_context({**style, "legend.frameon": False})


def plot(figure: "Figure") -> str:
    """A figure that was drawn in `plot_style`, as an SVG data URI that suits light and dark pages."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return _data_uri(_follow_theme(buffer.getvalue().decode()).encode(), "image/svg+xml")


def _follow_theme(svg: str) -> str:
    """The SVG with its colours as variables, which a dark screen gives other values."""
    names = {colour: f"--c{place}" for place, colour in enumerate(_ON_DARK)}
    for colour, name in names.items():
        svg = svg.replace(colour, f"var({name})")
    light = ";".join(f"{name}:{colour}" for colour, name in names.items())
    dark = ";".join(f"{name}:{_ON_DARK[colour]}" for colour, name in names.items())
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    start = svg.index(">", svg.index("<svg")) + 1
    return svg[:start] + style + svg[start:]


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
