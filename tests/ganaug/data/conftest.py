"""What the tests of data share: a workspace, folders and tables of images, and pictures with ways to copy them."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ganaug.config import PhantomConfig
from ganaug.data.schema import ImageTable
from ganaug.data.sources.phantom.draw import draw_one
from ganaug.workspace import Workspace, open_workspace

Pixels = NDArray[np.uint8]  # [H,W,3]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "workspace").begin()


@pytest.fixture
def shared(shared: Path) -> Path:
    """The real data in the folder that every room's tests share."""
    return shared / "data"


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """Write `<root>/<class>/<patient>/<n>.png`, noise images all different, from {class: {patient: number}}."""

    def make(content: dict[str, dict[str, int]], size: tuple[int, int] = (24, 20)) -> Path:
        root, rng = tmp_path / "images", np.random.default_rng(0)
        for label, patients in content.items():
            for patient, number in patients.items():
                folder = root / label / patient
                folder.mkdir(parents=True)
                for index in range(number):
                    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"{index}.png")
        return root

    return make


@pytest.fixture
def make_table() -> Callable[..., ImageTable]:
    """A table of images that exist only by name, from their labels and groups."""

    def make(labels: list[int], groups: list[str], class_names: tuple[str, ...] = ("a", "b")) -> ImageTable:
        names = np.array([f"image-{index}" for index in range(len(labels))])
        return ImageTable(
            class_names=class_names,
            label=np.array(labels),
            image_id=names,
            group_id=np.array(groups),
            path=names,
            sha256=names,
            magnification=np.zeros(len(labels), np.int64),
            um_per_px=np.full(len(labels), np.nan),
            site_id=np.full(len(labels), ""),
            phash=np.arange(len(labels), dtype=np.uint64),
            attrs={"resolution_px": 16, "fingerprint": "f" * 64},
        )

    return make


@pytest.fixture
def png_of_16_bits() -> Callable[[NDArray[np.uint16]], bytes]:
    """Encode colour u16 [H,W,3] as PNG, which Pillow reads but does not write."""

    def encode(values: NDArray[np.uint16]) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        ends = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + b"".join(ends)

    return encode


# ---- pictures and copies of them -------------------------------------------------------------------------------------


def _texture(seed: int, side: int = 64) -> Pixels:
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def _tissue(patient: int, index: int = 0) -> Pixels:
    config = PhantomConfig(resolution_px=64, num_patients=12, images_per_patient=6)
    return draw_one(config, 0, patient, index).image


def _resize(image: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def _recompress(image: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def _relight(image: Pixels, factor: float | NDArray[np.float64]) -> Pixels:
    return np.asarray(np.clip(image * factor, 0, 255), np.uint8)


def _empty_field(seed: int, side: int = 64) -> Pixels:
    """Glass under an uneven lamp: a vignette and the sensor's noise, at JPEG quality 60."""
    row, column = np.mgrid[:side, :side] / side - 0.45
    light = 230 - 60 * (row**2 + column**2) - 15 * row
    noise = np.random.default_rng(seed).normal(0, 3, (side, side, 3))
    return _recompress(np.clip(light[..., None] + noise, 0, 255).astype(np.uint8), 60)


_SPOIL: dict[str, Callable[[Pixels], Pixels]] = {
    "recompressed": lambda image: _recompress(image, 50),
    "lighter": lambda image: _relight(image, 1.1),
    "darker": lambda image: _relight(image, 0.9),
    "gamma": lambda image: (255 * (image / 255) ** 0.8).astype(np.uint8),
    "blurred": lambda image: np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.6))),
    "resized": lambda image: _resize(_resize(image, 29), 64),
}


@pytest.fixture
def texture() -> Callable[..., Pixels]:
    """An image of smooth random blobs, by seed and side in pixels."""
    return _texture


@pytest.fixture
def tissue() -> Callable[..., Pixels]:
    """An image of the phantom of 64 px, by patient and index."""
    return _tissue


@pytest.fixture
def resize() -> Callable[..., Pixels]:
    return _resize


@pytest.fixture
def recompress() -> Callable[..., Pixels]:
    return _recompress


@pytest.fixture
def relight() -> Callable[..., Pixels]:
    return _relight


@pytest.fixture
def empty_field() -> Callable[..., Pixels]:
    return _empty_field


@pytest.fixture
def spoil() -> dict[str, Callable[[Pixels], Pixels]]:
    """The ways in which a copy differs from its original, by name."""
    return _SPOIL
