"""A small data set of two classes that differ in colour, and a network whose features depend on the orientation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganaug.config import FoldsConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.schema import ImageTable
from ganaug.workspace import Workspace

SIDE_PX = 16


@pytest.fixture
def dataset(workspace: Workspace) -> DataSet:
    """12 patients of four images in 3 folds: noise, lighter at the top, and of a colour by class."""
    label = np.repeat(np.arange(12) % 2, 4)
    group = np.repeat([f"p{patient:02d}" for patient in range(12)], 4)
    names = np.array([f"image{index}" for index in range(len(label))])
    table = ImageTable(
        class_names=("Benign", "Malignant"),
        label=label,
        image_id=names,
        group_id=group,
        path=names,
        sha256=names,
        magnification=np.zeros(len(label), np.int64),
        um_per_px=np.full(len(label), np.nan),
        site_id=np.full(len(label), ""),
        phash=np.zeros(len(label), np.uint64),
        attrs={"resolution_px": SIDE_PX, "source": "test"},
    )
    with writing_images(workspace.dataset("toy"), SIDE_PX) as writer:
        writer.append(paint(label))
        table = writer.finish(table)
    write_folds(workspace.folds("toy"), make_folds(table, FoldsConfig(num_folds=3)))
    return open_dataset(workspace, "toy")


def paint(label: NDArray[np.int64]) -> NDArray[np.uint8]:
    images = np.random.default_rng(0).integers(0, 120, (len(label), SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    images[np.arange(len(label)), :, :, 2 * label] += 60
    images[:, :4] += 50
    return images


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A TorchScript program: the means over a grid of 4×4 fields, 48 features."""
    network = torch.nn.Sequential(torch.nn.AvgPool2d(56), torch.nn.Flatten())
    path = tmp_path / "pooled.pt"
    torch.jit.save(torch.jit.script(network), str(path))
    return path
