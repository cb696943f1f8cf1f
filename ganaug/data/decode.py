"""From the bytes of an image file to RGB pixels, whatever its mode; or the reason why not, in a few words."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from ganaug.data.png import is_marked_synthetic

MAX_PIXELS = 80_000_000  # larger images are taken for decompression bombs; below Pillow's own limit
_FAULTS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


class Undecodable(Exception):
    """The reason, in a few words, why an image file is left out."""


def decode(data: bytes) -> Image.Image:
    """Decode an image file to 8-bit RGB; raises Undecodable.

    Grey is repeated, palettes are looked up, CMYK is converted, transparency is laid on white as on a light table.
    16-bit grey is scaled by 1/257, so full range stays full range.
    """
    if not data:
        raise Undecodable("the file is empty")
    try:
        image = Image.open(BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            raise Undecodable(f"{image.width}×{image.height} px are more than {MAX_PIXELS:,}: cut it into tiles first")
        image.load()
        if is_marked_synthetic(image):
            raise Undecodable("a generator made it: it stands for no patient")
        return _to_rgb(image)
    except UnidentifiedImageError:
        raise Undecodable("not an image, whatever its name") from None
    except Image.DecompressionBombError:
        raise Undecodable(f"more than {MAX_PIXELS:,} px: cut it into tiles first") from None
    except _FAULTS as error:
        raise Undecodable(f"damaged or truncated ({' '.join(str(error).split())})") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise Undecodable("32-bit integer pixels; expected at most 16 bits")
        return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise Undecodable("floating-point pixels, whose range is not known; expected 8 or 16 bits")
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
