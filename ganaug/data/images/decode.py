"""Decoding of PNG, JPEG and TIFF files of any mode to RGB pixels, or the reason why not in a few words.

No other format is opened, whatever a file is called: Pillow would run Ghostscript on a PostScript file. Pixels are
turned as the file's EXIF orientation says, since that is what people saw when they drew masks and gave labels.
"""

import ctypes
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError, _imaging

from ganaug.data.images.png import is_marked_synthetic

FORMATS = ("PNG", "JPEG", "TIFF")
MAX_PIXELS = 80_000_000  # larger images are taken for decompression bombs; below Pillow's own limit
GENERATED = "a generator made it: it stands for no patient"  # the reason for which marked images are skipped
MAX_PAGES = 100  # pages are counted up to here
DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners give, within files of 16 bits
_ORIENTATION, _PHOTOMETRIC, _MIN_IS_WHITE = 0x112, 262, 0
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_FOREIGN = (
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
)


class Undecodable(Exception):
    """The reason, in a few words, why an image file is skipped."""


@dataclass(frozen=True)
class About:
    """How the pixels of a file were read, as far as a user would want to know."""

    num_pages: int = 1  # the first is used; counted up to MAX_PAGES
    is_turned: bool = False  # by its EXIF orientation
    deep: str = ""  # "grey" or "colour" where the file holds 16 bits per value
    max_value: int = 0  # the largest 16-bit value; of colour, the largest that its upper byte allows
    bits: int = 8  # that its values were taken to have

    @property
    def own_bits(self) -> int:
        """The bits that this file's values need by themselves, one of DEPTHS."""
        return depth_of(self.max_value)


PLAIN = About()


@dataclass(frozen=True)
class Picture:
    """A decoded image, upright: 8 bits of some mode, or 16-bit grey whose range only the whole set shows."""

    pixels: Image.Image
    about: About

    def rgb(self, bits: int = 16) -> tuple[Image.Image, About]:
        """The image as 8-bit RGB, its 16-bit values taken to have `bits` bits; raises Undecodable.

        Grey is repeated, palettes are looked up, CMYK is converted, transparency is laid on white as on a light table.
        Of 16-bit colour Pillow gives the upper bytes only, which are too few where the values have fewer bits.
        """
        if self.about.deep == "grey":
            top = 2**bits - 1
            levels = np.round(np.minimum(np.arange(2**16), top) * (255 / top)).astype(np.uint8)
            grey = Image.fromarray(levels[np.asarray(self.pixels)])  # looked up: no large array of floats
            return grey.convert("RGB"), replace(self.about, bits=bits)
        if self.about.deep == "colour" and bits < 16:
            raise Undecodable(f"colour of {bits} bits in a file of 16; convert it to 8 bits per channel")
        return _opaque(self.pixels), replace(self.about, bits=16 if self.about.deep else 8)


def decode(data: bytes) -> Image.Image:
    """Decode an image file by itself to 8-bit RGB; full 16-bit range stays full range. Raises Undecodable."""
    return open_picture(data).rgb()[0]


def decode_mask(data: bytes) -> Image.Image:
    """Decode a mask to 8-bit grey; one of 16 bits has as many as its own values need. Raises Undecodable."""
    picture = open_picture(data)
    return picture.rgb(16 if picture.about.deep == "colour" else picture.about.own_bits)[0].convert("L")


def depth_of(value: int) -> int:
    """The fewest bits of DEPTHS that hold a value from 0 to 65535."""
    return next(bits for bits in DEPTHS if value < 2**bits)


def format_of(head: bytes) -> str:
    """PNG, JPEG or TIFF by a file's first bytes, empty for any other format."""
    return next((kind for signature, kind in _SIGNATURES if head.startswith(signature)), "")


def count_pixels(data: bytes) -> int:
    """The pixels that a file's header declares; raises Undecodable where they are too many or it is no image."""
    with _faults_as_reasons(data):
        image = _open(data)
        return image.width * image.height


def open_picture(data: bytes) -> Picture:
    """Decode the first page of a PNG, JPEG or TIFF file; raises Undecodable."""
    _silence_libraries()
    with _faults_as_reasons(data):
        image = _open(data)
        has_16_bits = _has_16_bits(image)  # before anything below makes Pillow load the pixels
        num_pages, orientation = _num_pages(image, data), _orientation(image)
        image.load()
        if is_marked_synthetic(image):
            raise Undecodable(GENERATED)
        deep, max_value = _depth(image, has_16_bits)
        rest = _orientation(image)  # Pillow turns a TIFF by itself; a PNG may say it after its pixels
        pixels = image.transpose(_TURNS[rest]) if rest in _TURNS else image
        is_turned = orientation in _TURNS or rest in _TURNS
        return Picture(pixels, About(num_pages, is_turned, deep, max_value))


@cache
def _silence_libraries() -> None:
    """Keep Pillow and libtiff from printing remarks on damaged files, which name no file and repeat what they raise."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(AttributeError, OSError):  # where libtiff is a part of Pillow's own library it cannot be reached
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)


@contextmanager
def _faults_as_reasons(data: bytes) -> Iterator[None]:
    """Whatever decoders raise becomes Undecodable: theirs is one image of many, and no reason to stop."""
    if not data:
        raise Undecodable("the file is empty")
    try:
        yield
    except Undecodable:
        raise
    except UnidentifiedImageError:
        raise Undecodable(_foreign(data)) from None
    except Image.DecompressionBombError:
        raise Undecodable(f"more than {MAX_PIXELS:,} px: cut it into tiles first") from None
    except MemoryError:
        raise Undecodable("there is not enough memory to decode it; close other programs or cut it") from None
    except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise Undecodable(f"damaged or truncated ({reason})") from error


def _foreign(data: bytes) -> str:
    """Why a file that is no PNG, JPEG or TIFF is skipped."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "WebP"
    else:
        kind = next((kind for signature, kind in _FOREIGN if data.startswith(signature)), "")
    if format_of(data):
        return f"damaged or truncated (its {format_of(data)} header cannot be read)"
    if kind:
        return f"not an image that is read, whatever its name: it holds {kind}; convert it to PNG"
    return "not an image, whatever its name"


def _open(data: bytes) -> Image.Image:
    """The image with its header read."""
    image = Image.open(BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Undecodable(f"{image.width}×{image.height} px are more than {MAX_PIXELS:,}: cut it into tiles first")
    return image


def _num_pages(image: Image.Image, data: bytes) -> int:
    """The pages or frames of a file, MAX_PAGES at most; a damaged later page ends the count."""
    if image.format != "TIFF":
        return min(MAX_PAGES, int(getattr(image, "n_frames", 1)))
    pages = Image.open(BytesIO(data), formats=FORMATS)  # another one, as this moves on
    num_pages = 1
    with suppress(Exception):
        while num_pages < MAX_PAGES:
            pages.seek(num_pages)
            num_pages += 1
    return num_pages


def _orientation(image: Image.Image) -> int:
    """How the pixels lie, 1 where nothing is said; damaged EXIF data say nothing, as in any viewer."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow parses them with as many kinds of errors as it does pixels
        return 1


def _has_16_bits(image: Image.Image) -> bool:
    """Whether a file stores 16 bits per value, as its tiles show before they are decoded."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))  # the raw mode, such as RGB;16B


def _depth(image: Image.Image, has_16_bits: bool) -> tuple[str, int]:
    """Grey or colour where the file holds more than 8 bits per value, and the largest value; else nothing and 0."""
    if image.mode == "F":
        raise Undecodable("floating-point pixels, whose range is not known; expected 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image)  # Pillow knows no extrema of some of these modes
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise Undecodable("32-bit integer pixels; expected at most 16 bits")
        if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _MIN_IS_WHITE:
            raise Undecodable("16-bit grey whose 0 is white; expected 0 to be black; invert it or convert it to 8 bits")
        return "grey", high
    if has_16_bits:
        extrema: Any = image.getextrema()  # a pair, or a pair per channel
        channels = [extrema] if len(image.getbands()) == 1 else extrema[: 1 if image.mode == "LA" else 3]  # not alpha
        return "colour", 256 * max(high for _, high in channels) + 255
    return "", 0


def _opaque(image: Image.Image) -> Image.Image:
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
