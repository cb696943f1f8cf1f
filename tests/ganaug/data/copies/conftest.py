"""The 45 kinds of copies that two patients may share, each as a pair of pictures made of a field."""

import io
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from ganaug.data.images.perceptual_hash import apply_symmetry

Pixels = NDArray[np.uint8]  # [H,W,3]
Pair = Callable[[Pixels], tuple[Pixels, Pixels]]


def _pixels(image: Image.Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(image))


def _flip(field: Pixels, symmetry: int) -> Pixels:
    return np.ascontiguousarray(apply_symmetry(field, symmetry))


def _recompress(field: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(field).save(file, "JPEG", quality=quality)
    return _pixels(Image.open(file).convert("RGB"))


def _relight(field: Pixels, factor: float = 1, gamma: float = 1) -> Pixels:
    levels = np.clip(255 * (np.arange(256) / 255) ** gamma * factor, 0, 255).astype(np.uint8)
    return np.asarray(levels[field], np.uint8)


def _blur(field: Pixels) -> Pixels:
    return _pixels(Image.fromarray(field).filter(ImageFilter.GaussianBlur(1.5 * len(field) / 224)))


def _resize(field: Pixels, factor: float) -> Pixels:
    height, width = (round(factor * length) for length in field.shape[:2])
    return _pixels(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))


def _rotate(field: Pixels, degrees: float) -> Pixels:
    return _pixels(Image.fromarray(field).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255)))


def _crop(field: Pixels, percent: int) -> Pixels:
    height, width = field.shape[:2]
    rows, columns = (round(percent / 100 * length) for length in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 3
    part = Image.fromarray(field[top : top + rows, left : left + columns])
    return _pixels(part.resize((width, height), Image.Resampling.BICUBIC))


def _shift(field: Pixels, px_of_224: int) -> Pixels:
    px = max(1, round(px_of_224 * len(field) / 224))
    return np.ascontiguousarray(np.pad(field, ((px, 0), (px, 0), (0, 0)), constant_values=255)[:-px, :-px])


def _frame(field: Pixels, value: int) -> Pixels:
    framed, px = field.copy(), len(field) // 12
    framed[:px] = framed[-px:] = framed[:, :px] = framed[:, -px:] = value
    return framed


def _grey(field: Pixels) -> Pixels:
    return _pixels(Image.fromarray(field).convert("L").convert("RGB"))


def _stain(field: Pixels) -> Pixels:
    """A quarter more haematoxylin and a quarter less eosin, by the vectors of Ruifrok and Johnston 2001."""
    vectors = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stains = -np.log((field.astype(float) + 1) / 256) @ np.linalg.inv(vectors) * [1.25, 0.75, 1]
    return np.asarray(np.clip(256 * np.exp(-stains @ vectors) - 1, 0, 255), np.uint8)


def _noise(field: Pixels) -> Pixels:
    return np.clip(field + np.random.default_rng(0).normal(0, 10, field.shape), 0, 255).astype(np.uint8)


def _label(field: Pixels) -> Pixels:
    image = Image.fromarray(field.copy())
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, field.shape[1] // 2, field.shape[0] // 8), fill=(255, 255, 255))
    draw.text((3, 3), "case 17", fill=(0, 0, 0))
    return _pixels(image)


def _combine(field: Pixels) -> Pixels:
    return _recompress(_stain(_crop(_rotate(_flip(field, 5), 7), 80)), 75)


def _overlap(field: Pixels, axis: int) -> tuple[Pixels, Pixels]:
    """Two fields of two thirds each, which have half of their area in common."""
    whole = field.swapaxes(0, axis)
    length = len(whole) * 2 // 3
    first, last = (np.ascontiguousarray(part.swapaxes(0, axis)) for part in (whole[:length], whole[-length:]))
    return first, last


def _squash(field: Pixels, aspect: float) -> Pixels:
    height, width = field.shape[:2]
    return _pixels(Image.fromarray(field).resize((round(width / aspect), height), Image.Resampling.BICUBIC))


def _crop_and_squash(field: Pixels) -> tuple[Pixels, Pixels]:
    """A field half as wide again as it is high, cut to its central square and squashed to a square."""
    width = len(field)
    height = round(width / 1.5)
    top, left = (width - height) // 2, (width - height) // 2
    wide = np.ascontiguousarray(field[top : top + height])
    return np.ascontiguousarray(wide[:, left : left + height]), _squash(wide, 1.5)


def _with_copy(copy: Callable[[Pixels], Pixels]) -> Pair:
    return lambda field: (field, copy(field))


_COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    **{f"orientation {symmetry}": partial(_flip, symmetry=symmetry) for symmetry in range(8)},  # 1 to 8
    "JPEG 75": partial(_recompress, quality=75),
    "JPEG 50": partial(_recompress, quality=50),  # 10
    "lighter": partial(_relight, factor=1.1),
    "darker": partial(_relight, factor=0.9),
    "gamma 0.8": partial(_relight, gamma=0.8),
    "gamma 1.25": partial(_relight, gamma=1.25),
    "blurred": _blur,
    "enlarged": partial(_resize, factor=2.2),
    "reduced": partial(_resize, factor=0.5),  # 17
    **{f"rotated {degrees}°": partial(_rotate, degrees=degrees) for degrees in (1, 2, 5, 10, 30, 45)},  # 18 to 23
    **{f"cropped {percent} %": partial(_crop, percent=percent) for percent in (98, 95, 90, 80, 50)},  # 24 to 28
    **{f"shifted {px} px": partial(_shift, px_of_224=px) for px in (2, 5, 10, 30)},  # 29 to 32
    "black frame": partial(_frame, value=0),
    "white frame": partial(_frame, value=255),
    "inverted": lambda field: 255 - field,
    "grey": _grey,
    "stain": _stain,
    "noise": _noise,
    "label": _label,  # 39
    "combined": _combine,  # 40
}
_KINDS: dict[str, Pair] = {
    **{name: _with_copy(copy) for name, copy in _COPIES.items()},
    "half, across": partial(_overlap, axis=1),
    "half, down": partial(_overlap, axis=0),  # 42
    "squashed to 80 %": _with_copy(partial(_squash, aspect=1.25)),
    "squashed to 67 %": _with_copy(partial(_squash, aspect=1.5)),
    "cut and squashed": _crop_and_squash,  # 45
}


@pytest.fixture
def kinds() -> dict[str, Pair]:
    """By name, what makes of a field the pictures that two patients have."""
    assert len(_KINDS) == 45
    return _KINDS
