import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganaug.data.schema import ImageTable
from ganaug.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "workspace")


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
def png_of_16_bits() -> Callable[[np.ndarray], bytes]:
    """Encode colour u16 [H,W,3] as PNG, which Pillow reads but does not write."""

    def encode(values: np.ndarray) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        ends = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + b"".join(ends)

    return encode
