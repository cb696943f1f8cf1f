"""A tiny data set of two classes that differ in colour, its folds, and a synthetic file for each fold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.config import DEFAULT_ARMS, Compute, FoldsConfig, StudyConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.schema import ImageTable
from ganaug.evaluate.judgement import Judgement
from ganaug.generate.supplies import Supply
from ganaug.provenance import Provenance, digest_of
from ganaug.study.admission.admit import design_study
from ganaug.study.arms.names import name_arms
from ganaug.study.design import Design
from ganaug.study.run import Outcome, evaluate_augmentation
from ganaug.workspace import GanRun, Workspace, open_workspace

SIDE_PX = 16
CLASS_NAMES = ("Benign", "Malignant")


@dataclass(frozen=True)
class World:
    """A workspace with one data set, and how to add synthetic files to it."""

    workspace: Workspace
    dataset: DataSet

    def provenance(self, fold: int) -> Provenance:
        folds, seen = self.dataset.folds, self.dataset.table.seen(self.dataset.train(fold))
        return Provenance(
            dataset=self.dataset.name,
            dataset_fingerprint=self.dataset.table.fingerprint,
            folds_digest=folds.digest,
            fold=fold,
            groups_seen=seen.groups,
            config_digest=digest_of(["a generator's configuration", fold]),
            images_seen=seen.images,
            hashes_seen=seen.hashes,
            kimg=1.0,
            generator=digest_of(["its weights", fold]),
        )

    def synthesize(self, fold: int, record: Provenance | None = None, *, per_class: int = 30, seed: int = 0) -> Path:
        """A synthetic file of this fold, sealed as `record` says."""
        labels = np.repeat([0, 1], per_class)
        images = paint(labels, np.random.default_rng([fold, seed, 1]))  # no image of the data set
        path = self.workspace.synthetic(f"tiny-fold{fold}-00000000", 1, 1.0, seed)
        with writing_images(path, SIDE_PX) as writer:
            writer.append(images)
            table = tabulate(labels, np.array([f"synthetic-{fold}"] * len(labels)), self.dataset.table.class_names)
            writer.finish(table, record=record or self.provenance(fold))
        return path

    def supply(self, fold: int, path: Path | None = None) -> Supply:
        """This file, or a new honest one, as what serves the fold."""
        return Supply(fold, self.workspace.gan("tiny", fold, "0" * 64), path or self.synthesize(fold))

    def supply_all(self) -> list[Supply]:
        return [self.supply(fold) for fold in range(self.dataset.folds.num_folds)]

    def design(self, config: StudyConfig) -> Design:
        return design_study(self.workspace, self.dataset, self.supply_all(), config)

    def run(
        self,
        config: StudyConfig,
        supplies: list[Supply] | None = None,
        *,
        num_workers: int = 1,
        image_scores: Sequence[Judgement] = (),
    ) -> Outcome:
        """The whole study, by default on new honest files."""
        return evaluate_augmentation(
            self.workspace,
            self.dataset,
            self.supply_all() if supplies is None else supplies,
            config,
            compute=Compute(num_workers=num_workers),
            score=lambda: image_scores,
        )


def paint(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    images = rng.integers(0, 160, (len(labels), SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    images[np.arange(len(labels)), :, :, 2 * labels] += 60
    return images


def tabulate(labels: NDArray[np.int64], groups: NDArray[np.str_], class_names: tuple[str, ...]) -> ImageTable:
    names = np.array([f"{group}-{index:03d}" for index, group in enumerate(groups)])
    return ImageTable(
        class_names=class_names,
        label=labels,
        image_id=names,
        group_id=groups,
        path=names,
        sha256=np.array([digest_of(name) for name in names.tolist()]),
        magnification=np.zeros(len(labels), np.int64),
        um_per_px=np.full(len(labels), np.nan),
        site_id=np.full(len(labels), ""),
        phash=np.zeros(len(labels), np.uint64),
        attrs={"source": "tiny", "licence": "none", "resolution_px": SIDE_PX},
    )


def make_world(root: Path, class_names: tuple[str, ...] = CLASS_NAMES, num_patients: int = 12) -> World:
    """`num_patients` of four images, half of them of each class, in three folds."""
    workspace = open_workspace(root)
    labels = np.repeat(np.arange(num_patients) % 2, 4)
    groups = np.repeat([f"p{patient:02d}" for patient in range(num_patients)], 4)
    table = tabulate(labels, groups, class_names)
    with writing_images(workspace.dataset("tiny"), SIDE_PX) as writer:
        writer.append(paint(labels, np.random.default_rng(0)))
        table = writer.finish(table)
    write_folds(workspace.folds("tiny"), make_folds(table, FoldsConfig(num_folds=3)))
    return World(workspace, open_dataset(workspace, "tiny"))


@pytest.fixture
def home(trained: GanRun) -> Workspace:
    """The workspace of a hardly trained generator of the tiny phantom."""
    return open_workspace(trained.root.parents[1])


@pytest.fixture
def dataset(home: Workspace) -> DataSet:
    """The tiny phantom that it was trained on."""
    return open_dataset(home, "phantom")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "workspace")


@pytest.fixture
def world_of(tmp_path: Path) -> Callable[..., World]:
    """`make_world` in a folder of this test."""
    return lambda **options: make_world(tmp_path / "workspace", **options)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Outcome]:
    """A finished study with all that a report can show; tests read it and leave it as it is."""
    world = make_world(tmp_path_factory.mktemp("shown"), ("Benign-with-a-rather-long-name", "Malignant"))
    return world, world.run(EVERYTHING)


EVERYTHING = StudyConfig(
    classifiers=("dalaresnet50_small",),
    shortcuts=(),
    arms=name_arms((*DEFAULT_ARMS, "real+synthetic@0.5"), (0.5,), leak_audit=True),
    leak_audit=True,
    seeds=(0,),
    num_steps=2,
    batch=4,
    num_resamples=100,
)


@pytest.fixture
def quick() -> StudyConfig:
    """Two steps of the smallest classifier on one fold: enough to go the whole way, not to learn."""
    return StudyConfig(
        classifiers=("dalaresnet50_small",),
        shortcuts=(),
        seeds=(0,),
        folds=(0,),
        num_steps=2,
        batch=4,
        num_resamples=100,
    )
