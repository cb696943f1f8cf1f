import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import EpsImagePlugin, Image

from ganaug.data.images import decode as module
from ganaug.data.images.decode import DEPTHS, Undecodable, count_pixels, decode, decode_mask, open_picture
from ganaug.data.images.png import encode_png


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
def test_truncated_files_are_distinguished_from_other_formats(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind)
    with pytest.raises(Undecodable, match="damaged or truncated"):
        decode(data[: len(data) // 2])


def test_empty_and_other_files_are_reported() -> None:
    with pytest.raises(Undecodable, match="the file is empty"):
        decode(b"")
    with pytest.raises(Undecodable, match="not an image"):
        decode(b"%PDF-1.7 a report named like an image")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9500, 20000])
def test_a_decompression_bomb_is_refused_from_its_header(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(encode(Image.new("1", (1, 1))))
    data[16:24] = side.to_bytes(4, "big") * 2  # the size in the header, which no pixel backs
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("the pixels were read"))
    with pytest.raises(Undecodable, match="tiles"):
        decode(bytes(data))
    assert side * side > module.MAX_PIXELS


def test_an_image_that_a_generator_made_is_known_by_its_mark() -> None:
    pixels = np.full((8, 8, 3), 90, np.uint8)
    assert np.array_equal(np.asarray(decode(encode_png(pixels, synthetic=False))), pixels)
    with pytest.raises(Undecodable, match="a generator made it"):
        decode(encode_png(pixels, synthetic=True))


# ---- other formats and faults ----------------------------------------------------------------------------------------

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n(/etc/passwd) run\n"


@pytest.mark.parametrize("kind", ["BMP", "GIF", "WEBP", "PPM", "TGA", "ICO", "PCX", "EPS"])
def test_no_other_format_is_opened_whatever_its_name(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("a file was run as a program"))
    data = EPS if kind == "EPS" else encode(Image.new("RGB", (4, 4)), kind)
    for read in (decode, decode_mask, count_pixels):
        with pytest.raises(Undecodable, match="not an image"):
            read(data)


@pytest.mark.parametrize("fault", [RuntimeError, MemoryError, RecursionError, AssertionError, KeyError, OverflowError])
def test_whatever_a_decoder_raises_leaves_out_that_image_only(
    fault: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(image: Image.Image) -> None:
        raise fault("of a\ndecoder")

    data = encode(Image.new("RGB", (4, 4)), "TIFF")
    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.load", load)
    with pytest.raises(Undecodable) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


def small_images() -> list[bytes]:
    """One small file of each kind that is read, all their decoders among them."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (9, 7), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x112] = 6
    tiffs = [encode(colour, "TIFF", compression=packing) for packing in (None, "tiff_lzw", "tiff_deflate", "jpeg")]
    pages = encode(colour, "TIFF", save_all=True, append_images=[deep, colour])
    pngs = [encode(colour, exif=exif), encode(deep), encode(colour.quantize(4)), encode(colour.convert("RGBA"))]
    animated = encode(colour, save_all=True, append_images=[colour.rotate(90)])
    jpegs = [encode(colour, "JPEG", exif=exif), encode(colour, "JPEG", progressive=True)]
    return [*tiffs, encode(deep, "TIFF"), pages, *pngs, animated, *jpegs]


def image_or_reason(data: bytes) -> Image.Image | str:
    try:
        return decode(data)
    except Undecodable as reason:
        return str(reason)


def test_every_mutation_of_a_file_is_an_image_or_a_reason_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    rng, outcomes = np.random.default_rng(1), Counter[str]()
    warnings.simplefilter("ignore")
    for data in small_images():
        decode(data)
        for _ in range(60):
            mutated = bytearray(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.2 else data)
            for place in rng.integers(0, len(mutated), rng.integers(1, 6)):
                mutated[place] = rng.choice([0, 1, 0x7F, 0xFF, int(rng.integers(256))])
            found = image_or_reason(bytes(mutated))
            assert "\n" not in found if isinstance(found, str) else found.mode == "RGB"
            outcomes["reason" if isinstance(found, str) else "image"] += 1
    assert min(outcomes["image"], outcomes["reason"]) > 50
    assert capfd.readouterr().err == ""


# ---- orientation, pages, depth ---------------------------------------------------------------------------------------

SHOWN: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {  # by EXIF orientation, Exif 2.32, 4.6.4 A
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", SHOWN)
def test_pixels_and_masks_lie_as_they_are_shown(orientation: int, kind: str) -> None:
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :16], stored[8:, 16:], stored[:8, 16:] = (255, 0, 0), (0, 0, 255), (255, 255, 255)
    exif = Image.Exif()
    exif[0x112] = orientation
    data = encode(Image.fromarray(stored), kind, exif=exif)
    expected = SHOWN[orientation](stored).astype(int)
    picture = open_picture(data)
    assert np.abs(np.asarray(decode(data)).astype(int) - expected).mean() < 8
    assert decode_mask(data).size == decode(data).size == picture.pixels.size == (expected.shape[1], expected.shape[0])
    assert picture.about.is_turned == (orientation != 1)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_says_nothing_and_the_pixels_are_read() -> None:
    data = encode(Image.new("RGB", (4, 8), (9, 9, 9)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff nonsense")
    assert decode(data).size == (4, 8)


def test_of_several_pages_the_first_is_used_and_their_number_noted() -> None:
    pages = [Image.new("RGB", (4, 4), (10 * number, 0, 0)) for number in range(120)]
    for kind, number, expected in (("TIFF", 3, 3), ("PNG", 5, 5), ("TIFF", 120, 100), ("TIFF", 1, 1), ("PNG", 1, 1)):
        data = encode(pages[0], kind, save_all=True, append_images=pages[1:number])
        picture = open_picture(data)
        assert picture.about.num_pages == expected
        assert np.asarray(picture.rgb()[0])[0, 0, 0] == 0


@given(st.sampled_from(DEPTHS[1:]), st.lists(st.integers(0, 65535), min_size=4, max_size=4))
def test_grey_of_any_depth_spans_all_levels_in_order(bits: int, values: list[int]) -> None:
    top = 2**bits - 1
    row = np.array([[0, top, *(min(value, top) for value in values)]], np.uint16)
    picture = open_picture(encode(Image.fromarray(row)))
    assert (picture.about.deep, picture.about.max_value, picture.about.own_bits) == ("grey", top, bits)
    image, about = picture.rgb(bits)
    assert about.bits == bits
    levels = np.asarray(image)[0, :, 0]
    assert (levels[0], levels[1]) == (0, 255)
    assert np.abs(levels - row[0].astype(float) * 255 / top).max() <= 0.5
    assert decode_mask(encode(Image.fromarray(row))).getpixel((1, 0)) == 255


def test_of_colour_of_16_bits_the_upper_byte_is_used_and_fewer_bits_are_refused(
    png_of_16_bits: Callable[[NDArray[np.uint16]], bytes],
) -> None:
    values = np.full((4, 4, 3), 0x1234, np.uint16)
    values[0, 0] = 0xFEDC
    picture = open_picture(png_of_16_bits(values))
    assert (picture.about.deep, picture.about.own_bits) == ("colour", 16)
    assert np.asarray(picture.rgb()[0])[:2, 0].tolist() == [[0xFE] * 3, [0x12] * 3]
    dark = open_picture(png_of_16_bits(np.full((4, 4, 3), 4095, np.uint16)))
    assert dark.about.own_bits == 12
    with pytest.raises(Undecodable, match="12 bits"):
        dark.rgb(12)


@pytest.mark.parametrize("orientation", [1, 3])
def test_deep_grey_of_either_byte_order_is_read(orientation: int) -> None:
    values = np.array([[0, 257], [4660, 65535]], np.uint16)
    for mode in ("I;16", "I;16B"):
        image = Image.frombytes(mode, (2, 2), values.astype("<u2" if mode == "I;16" else ">u2").tobytes())
        data = encode(image, "TIFF", tiffinfo={0x112: orientation})
        assert open_picture(data).about.max_value == 65535
        expected = np.round(values / 257)[:: 1 if orientation == 1 else -1, :: 1 if orientation == 1 else -1]
        assert np.array_equal(np.asarray(decode(data))[..., 0], expected)


def test_deep_grey_whose_zero_is_white_is_refused() -> None:
    data = encode(Image.fromarray(np.full((4, 4), 40000, np.uint16)), "TIFF", tiffinfo={262: 0})
    with pytest.raises(Undecodable, match="0 is white"):
        decode(data)
