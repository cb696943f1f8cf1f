"""Pictures as data URIs: small images as they are, large ones reduced."""

from base64 import b64decode
from pathlib import Path

import numpy as np
from PIL import Image

from ganaug.report.pictures import strip


def test_strip_keeps_small_images_and_reduces_large_ones(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    (tmp_path / "small.png").write_bytes(b64decode(strip(images).partition(",")[2]))
    assert (np.asarray(Image.open(tmp_path / "small.png"))[:, :32] == images[0]).all()
    (tmp_path / "large.png").write_bytes(b64decode(strip(np.repeat(images, 20, 1).repeat(20, 2)).partition(",")[2]))
    assert Image.open(tmp_path / "large.png").height == 128
