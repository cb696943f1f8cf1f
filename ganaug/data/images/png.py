"""Images as PNG files; synthetic ones carry a mark inside, so that a copy of one is never taken for a patient's."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

MARK, SYNTHETIC = "ganaug", "synthetic"  # a text chunk: its keyword and its text


def encode_png(image: NDArray[np.uint8], *, synthetic: bool) -> bytes:
    """A PNG of u8 [H,W,3]; with the mark where a generator made the image."""
    mark = PngInfo()
    if synthetic:
        mark.add_text(MARK, SYNTHETIC)
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG", pnginfo=mark)
    return file.getvalue()


def is_marked_synthetic(image: Image.Image) -> bool:
    return image.info.get(MARK) == SYNTHETIC
