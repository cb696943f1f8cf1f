"""Two dozen images in a data set with folds and in a synthetic file, and readers of what is exported of them."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganaug.config import FoldsConfig
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.schema import ImageTable, read_table
from ganaug.provenance import Provenance
from ganaug.workspace import Workspace

NUM = 24  # images, two of each patient
SIDE = 24  # no power of two: it stays as it is
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM, SIDE, SIDE, 3), dtype=np.uint8)
MakeTable = Callable[..., ImageTable]


def _read_as_stylegan(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    """Images u8 [N,H,W,3] and labels i64 [N], read as the format is documented: images by sorted name, all of one
    square shape; a label in `dataset.json` for every one of them, or none at all."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        images = [np.array(Image.open(io.BytesIO(archive.read(name)))) for name in names]
        labels = json.loads(archive.read("dataset.json"))["labels"]
    shapes = {image.shape for image in images}
    assert len(shapes) == 1
    ((height, width, channels),) = shapes
    assert (height, channels) == (width, 3)
    if labels is None:
        return np.stack(images), None
    by_name = dict(labels)
    assert [name for name, _ in labels] == names
    return np.stack(images), np.array([by_name[name] for name in names], dtype=np.int64)


def _listed(path: Path, name: str = "dataset.json") -> dict[str, Any]:
    values: dict[str, Any] = json.loads(zipfile.ZipFile(path).read(name))
    return values


@pytest.fixture
def table(make_table: MakeTable) -> ImageTable:
    """Twelve patients of three sites, six of each class; scale and magnification are known of some images."""
    plain = make_table([i // 2 % 2 for i in range(NUM)], [f"pä{i // 2}" for i in range(NUM)], ("benign", "malignant"))
    return replace(
        plain,
        site_id=np.array(["ulm" if i % 3 else "" for i in range(NUM)]),
        magnification=np.array([200 if i % 2 else 0 for i in range(NUM)]),
        um_per_px=np.where(np.arange(NUM) % 4 == 0, np.nan, 0.1 + 0.2),
        sha256=np.array([f"{i:064x}" for i in range(NUM)]),
        attrs={"resolution_px": SIDE, "source": "folder", "licence": "CC BY 4.0", "citation": "Someone, 2020"},
    )


def _store(
    path: Path, table: ImageTable, stained: NDArray[np.uint8] | None = None, record: Provenance | None = None
) -> Path:
    with writing_images(path, SIDE) as writer:
        writer.append(PIXELS)
        if stained is not None:
            writer.append_stained(0, stained)
        writer.finish(table, record=record)
    return path


@pytest.fixture
def dataset(workspace: Workspace, table: ImageTable) -> Path:
    path = _store(workspace.dataset("lab"), table)
    write_folds(workspace.folds("lab"), make_folds(read_table(path), FoldsConfig(3)))
    return path


@pytest.fixture
def synthetic(tmp_path: Path, table: ImageTable) -> Path:
    record = Provenance("lab", "f" * 64, "d" * 64, 0, ("p1", "p2"), "c" * 64, generator="g" * 64)
    attrs = {**table.attrs, "source": "synthetic"}
    return _store(
        tmp_path / "synthetic.h5", replace(table, group_id=np.full(NUM, "synthetic:g"), attrs=attrs), None, record
    )


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return PIXELS


@pytest.fixture
def read_as_stylegan() -> Callable[[Path], tuple[NDArray[np.uint8], NDArray[np.int64] | None]]:
    return _read_as_stylegan


@pytest.fixture
def listed() -> Callable[..., dict[str, Any]]:
    """The content of a JSON file of an archive, of its `dataset.json` unless another is named."""
    return _listed


@pytest.fixture
def store() -> Callable[..., Path]:
    """Writes the pixels under a table, and where they are given as the fold 0 sees them, or with a record."""
    return _store
