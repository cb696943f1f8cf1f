from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganaug.data import decode as module
from ganaug.data.decode import Undecodable, decode
from ganaug.data.png import encode_png


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixel(data: bytes) -> tuple[int, ...]:
    image = decode(data)
    assert image.mode == "RGB"
    return tuple(np.asarray(image)[0, 0].tolist())


def test_grey_is_repeated_and_colour_kept() -> None:
    assert pixel(encode(Image.new("L", (4, 4), 77))) == (77, 77, 77)
    assert pixel(encode(Image.new("RGB", (4, 4), (1, 2, 3)))) == (1, 2, 3)
    assert pixel(encode(Image.new("1", (4, 4), 1))) == (255, 255, 255)


def test_palettes_are_looked_up() -> None:
    assert pixel(encode(Image.new("RGB", (4, 4), (200, 30, 90)).quantize(4))) == (200, 30, 90)


def test_transparency_is_laid_on_white() -> None:
    assert pixel(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))) == (255, 255, 255)
    assert pixel(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 255)))) == (0, 0, 0)
    assert pixel(encode(Image.new("LA", (4, 4), (0, 51)))) == (204, 204, 204)
    assert pixel(encode(Image.new("RGB", (4, 4), (9, 9, 9)), transparency=(9, 9, 9))) == (255, 255, 255)


def test_sixteen_bits_keep_their_range() -> None:
    for value, expected in ((0, 0), (65535, 255), (32896, 128), (257, 1)):
        data = encode(Image.fromarray(np.full((4, 4), value, np.uint16)))
        assert pixel(data) == (expected,) * 3
        assert pixel(encode(Image.fromarray(np.full((4, 4), value, np.uint16)), "TIFF")) == (expected,) * 3


def test_cmyk_becomes_rgb() -> None:
    assert pixel(encode(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "TIFF")) == (255, 255, 255)
    red, green, blue = pixel(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert red > 240
    assert max(green, blue) < 15


def test_pixels_of_unknown_range_are_refused() -> None:
    with pytest.raises(Undecodable, match="floating-point"):
        decode(encode(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))
    with pytest.raises(Undecodable, match="32-bit"):
        decode(encode(Image.fromarray(np.full((4, 4), 70000, np.int32)), "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_truncated_files_are_told_from_foreign_ones(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind)
    with pytest.raises(Undecodable, match="damaged or truncated"):
        decode(data[: len(data) // 2])


def test_empty_and_foreign_files_are_told() -> None:
    with pytest.raises(Undecodable, match="the file is empty"):
        decode(b"")
    with pytest.raises(Undecodable, match="not an image"):
        decode(b"%PDF-1.7 a report named like an image")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9500, 20000])
def test_a_decompression_bomb_is_refused_from_its_header(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(encode(Image.new("1", (1, 1))))
    data[16:24] = side.to_bytes(4, "big") * 2  # the size in the header, which no pixel backs
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("the pixels were read"))
    with pytest.raises(Undecodable, match="tiles"):
        decode(bytes(data))
    assert side * side > module.MAX_PIXELS


def test_an_image_that_a_generator_made_is_told_by_its_mark() -> None:
    pixels = np.full((8, 8, 3), 90, np.uint8)
    assert np.array_equal(np.asarray(decode(encode_png(pixels, synthetic=False))), pixels)
    with pytest.raises(Undecodable, match="a generator made it"):
        decode(encode_png(pixels, synthetic=True))
