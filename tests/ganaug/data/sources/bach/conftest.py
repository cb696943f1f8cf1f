"""The tree of BACH as it is published, with small images."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = {"Benign": "b", "InSitu": "is", "Invasive": "iv", "Normal": "n"}
ROOT = "ICIAR2018_BACH_Challenge"


def _picture(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(file, "TIFF")
    return file.getvalue()


def _photos(numbers: Iterable[int]) -> dict[str, bytes]:
    """The official tree with some images of each class, the organisers' table, and what else lies in the archive."""
    names = {f"{prefix}{number:03d}.tif": label for label, prefix in CLASSES.items() for number in numbers}
    content = {f"{ROOT}/Photos/{label}/{name}": _picture(seed) for seed, (name, label) in enumerate(names.items())}
    table = "".join(f"{name},{label}\r\n" for name, label in sorted(names.items(), reverse=True))
    content[f"{ROOT}/Photos/microscopy_ground_truth.csv"] = table.encode()
    content[f"{ROOT}/WSI/gt_thumbnails/A01.png"] = _picture(9000)
    content[f"{ROOT}/WSI/gt_thumbnails/A02.png"] = _picture(9001)
    content[f"{ROOT}/WSI/A01.xml"] = b"<annotations/>"
    return content


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    def folder(content: dict[str, bytes]) -> Path:
        for name, data in content.items():
            file = tmp_path / "bach" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return tmp_path / "bach"

    return folder


@pytest.fixture
def write_photos(write: Callable[[dict[str, bytes]], Path]) -> Callable[..., Path]:
    """Write the official tree with the images of some numbers of each class, below a folder; returns its root."""

    def tree(numbers: Iterable[int], under: str = "", *, empty: bool = False) -> Path:
        return write({f"{under}{name}": b"" if empty else data for name, data in _photos(numbers).items()})

    return tree


@pytest.fixture
def root(write_photos: Callable[..., Path]) -> Path:
    return write_photos(range(1, 4))


@pytest.fixture
def picture() -> Callable[[int], bytes]:
    """A small TIFF, another one for each seed."""
    return _picture
