"""A small data set of two classes, and synthetic files of known faults, in a workspace of their own."""

from collections.abc import Callable
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
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.provenance import Provenance
from ganaug.workspace import GanRun, Workspace, open_workspace

SIDE = 16
CLASSES = ("Benign", "Malignant")


def images_of(
    label: NDArray[np.int64], rng: np.random.Generator, tint: NDArray[np.float64] | float = 0.0
) -> NDArray[np.uint8]:
    """Images u8 [N,16,16,3]: noise around a colour that the class decides, plus a `tint` [N,3] or one number."""
    base = np.where(label[:, None] == 0, [120.0, 90.0, 150.0], [150.0, 60.0, 130.0]) + tint
    texture = rng.normal(0, 18, size=(len(label), SIDE, SIDE, 3)) + rng.normal(0, 10, size=(len(label), 1, 1, 3))
    return np.clip(base[:, None, None, :] + texture, 0, 255).astype(np.uint8)


def table_of(label: NDArray[np.int64], group: NDArray[np.str_], **attrs: object) -> ImageTable:
    names = np.array([f"image{i}" for i in range(len(label))])
    return ImageTable(
        class_names=CLASSES,
        label=label,
        image_id=names,
        group_id=group,
        path=names,
        sha256=names,
        magnification=np.zeros(len(label), np.int64),
        um_per_px=np.full(len(label), np.nan),
        site_id=np.full(len(label), ""),
        phash=np.zeros(len(label), np.uint64),
        attrs={"resolution_px": SIDE, "source": "test", **attrs},
    )


def write(path: Path, table: ImageTable, images: NDArray[np.uint8], record: Provenance | None = None) -> ImageTable:
    with writing_images(path, SIDE) as writer:
        writer.append(images)
        return writer.finish(table, record=record)


def prepare(workspace: Workspace, name: str, num_patients: int = 20, per_patient: int = 8) -> DataSet:
    rng = np.random.default_rng(len(name))
    label = np.repeat(np.arange(num_patients) % 2, per_patient)
    group = np.repeat([f"{name}-p{patient:02d}" for patient in range(num_patients)], per_patient)
    tint = np.repeat(rng.normal(0, 6, size=(num_patients, 3)), per_patient, axis=0)  # stains differ by patient
    table = write(workspace.dataset(name), table_of(label, group), images_of(label, rng, tint))
    write_folds(workspace.folds(name), make_folds(table, FoldsConfig()))
    return open_dataset(workspace, name)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "ws").begin()


@pytest.fixture
def dataset(workspace: Workspace) -> DataSet:
    return prepare(workspace, "toy")


@pytest.fixture
def run(workspace: Workspace) -> GanRun:
    return workspace.gan("toy", 0, "0123456789")


Synthesize = Callable[..., Path]


@pytest.fixture
def synthesize(workspace: Workspace, dataset: DataSet) -> Synthesize:
    """Write synthetic `images` [N,16,16,3] with `label` as the generator of `fold` would have, and give the file."""

    def write_synthetic(
        images: NDArray[np.uint8],
        label: NDArray[np.int64],
        *,
        name: str = "gan",
        fold: int = 0,
        saw: tuple[str, ...] = (),
    ) -> Path:
        record = Provenance(
            dataset=dataset.name,
            dataset_fingerprint=dataset.table.fingerprint,
            folds_digest=dataset.folds.digest,
            fold=fold,
            groups_seen=tuple(map(dataset.table.patient_digest, {*dataset.folds.train_groups(fold), *saw})),
            config_digest="c" * 64,
            kimg=4.0,
            generator="g" * 64,
        )
        path = workspace.synthetic(name, 4, 1.0, 0)
        group = np.full(len(label), "synthetic")
        write(path, table_of(label, group, psi=1.0), images, record)
        return path

    return write_synthetic


@pytest.fixture
def pixels() -> Extractor:
    """An extractor without a network: the mean and standard deviation of each colour."""

    def embed(img: torch.Tensor) -> torch.Tensor:
        x = img.double() / 255
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], dim=1)

    return Extractor("pixels", "d" * 64, "mean and standard deviation of each colour", embed)
