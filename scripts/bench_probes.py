"""The time of the cells of a study whose classifier is a linear probe, on features of BreakHis' size.

    python scripts/bench_probes.py [--workers 2] [--out scripts/results/probes-cpu.json]

The features are drawn and stored where those of an extractor would be, so that everything but the extraction is
measured: composing, reading features, the path of penalties, prediction, scores and the records on disk. They are
Gaussian around a mean per class, either independent or correlated as a network's are, on which every iteration that is
granted is used. About 4,750 training images per fold; the arms with repeats or with both kinds have twice as many.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from bench import common
from numpy.typing import NDArray

from classifiers.transforms import NUM_ORIENTATIONS
from ganaug.classify.probes import PROBE, extractor_of
from ganaug.config import FoldsConfig, StudyConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.schema import ImageReader, ImageTable
from ganaug.evaluate.features import feature_paths
from ganaug.generate.supplies import Supply
from ganaug.parallel.processes import run_parallel
from ganaug.provenance import Provenance, digest_of
from ganaug.study.admission.admit import design_study
from ganaug.study.cells import run_cell
from ganaug.study.design import Cell, Design, plan_cells
from ganaug.workspace import Workspace, open_workspace

SIDE_PX, NUM_FEATURES = 8, 1280
NUM_LATENTS = 200  # that features are mixed of, so that they are correlated as a network's are
NUM_PATIENTS, NUM_IMAGES = 82, 7909  # of BreakHis
NAME = "probe:torchscript"
GOAL = 1000  # cells
KINDS = ("independent", "correlated")


def make_table(label: NDArray[np.int64], group: NDArray[np.str_], part: str) -> ImageTable:
    names = np.array([f"{part}{index}" for index in range(len(label))])
    return ImageTable(
        class_names=("benign", "malignant"),
        label=label,
        image_id=names,
        group_id=group,
        path=names,
        sha256=np.array([digest_of(name) for name in names.tolist()]),
        magnification=np.zeros(len(label), np.int64),
        um_per_px=np.full(len(label), np.nan),
        site_id=np.full(len(label), ""),
        phash=np.zeros(len(label), np.uint64),
        attrs={"resolution_px": SIDE_PX, "source": "drawn", "licence": "none"},
    )


def write_images(path: Path, table: ImageTable, seed: int, record: Provenance | None = None) -> ImageTable:
    images = np.random.default_rng(seed).integers(0, 256, (len(table), SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    with writing_images(path, SIDE_PX) as writer:
        writer.append(images)
        return writer.finish(table, record=record)


def make_dataset(workspace: Workspace, num_images: int = NUM_IMAGES) -> DataSet:
    patient = np.sort(np.random.default_rng(0).integers(0, NUM_PATIENTS, num_images))
    label = (patient % 3 > 0).astype(np.int64)  # two thirds malignant
    group = np.array([f"patient{number:02d}" for number in patient.tolist()])
    table = write_images(workspace.dataset("drawn"), make_table(label, group, "real"), 0)
    write_folds(workspace.folds("drawn"), make_folds(table, FoldsConfig(num_folds=5)))
    return open_dataset(workspace, "drawn")


def make_supply(workspace: Workspace, dataset: DataSet, fold: int) -> Supply:
    train = dataset.train(fold)
    seen, counts = dataset.table.seen(train), dataset.table.class_counts(train)
    record = Provenance(
        dataset=dataset.name,
        dataset_fingerprint=dataset.table.fingerprint,
        folds_digest=dataset.folds.digest,
        fold=fold,
        groups_seen=seen.groups,
        config_digest=digest_of(fold),
        images_seen=seen.images,
        hashes_seen=seen.hashes,
        kimg=1.0,
        generator=digest_of(["weights", fold]),
    )
    label = np.repeat([0, 1], counts)
    path = workspace.synthetic(f"drawn-fold{fold}-00000000", 1, 1.0, 0)
    write_images(path, make_table(label, np.full(len(label), "synthetic"), "made"), 1 + fold, record)
    return Supply(fold, workspace.gan("drawn", fold, "0" * 64), path)


def store_features(
    workspace: Workspace, reader: ImageReader, table: ImageTable, weights: Path, seed: int, kind: str
) -> None:
    """Features of every image, in every orientation with noise of its own."""
    rng, extractor = np.random.default_rng(seed), extractor_of(NAME, weights)
    task, shape = np.random.default_rng(0), (len(table), NUM_FEATURES)
    means = 0.05 * task.normal(size=(2, NUM_FEATURES))
    of_image = means[table.label] + (1.0 if kind == "independent" else 0.3) * rng.normal(size=shape)
    if kind == "correlated":
        scales = 1 / np.sqrt(np.arange(1, NUM_LATENTS + 1))
        mixing = scales[:, None] * task.normal(size=(NUM_LATENTS, NUM_FEATURES))
        _, patient = np.unique(table.group_id, return_inverse=True)
        of_patient = rng.normal(size=(patient.max() + 1, NUM_LATENTS))[patient]
        of_image += (rng.normal(size=(len(table), NUM_LATENTS)) + of_patient) @ mixing
    for path in feature_paths(workspace, reader, extractor, range(NUM_ORIENTATIONS)):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, (of_image + 0.3 * rng.normal(size=of_image.shape)).astype(np.float32))


def make_study(workspace: Workspace, folds: tuple[int, ...], num_seeds: int, kind: str, num_images: int) -> Design:
    weights = workspace.root / "program.pt"
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.AvgPool2d(56), torch.nn.Flatten())), str(weights))
    dataset = make_dataset(workspace, num_images)
    store_features(workspace, dataset.images(0), dataset.table, weights, 0, kind)
    supplies = [make_supply(workspace, dataset, fold) for fold in folds]
    for supply in supplies:
        reader = ImageReader(supply.synthetic)
        label = np.repeat([0, 1], dataset.table.class_counts(dataset.train(supply.fold)))
        store_features(workspace, reader, make_table(label, np.full(len(label), "synthetic"), "made"), weights, 1, kind)
    config = StudyConfig(
        classifiers=(NAME,),
        pretrained=((NAME, str(weights)),),
        pretrained_saw=((NAME, "nothing"),),
        folds=folds,
        seeds=tuple(range(num_seeds)),
    )
    return design_study(workspace, dataset, supplies, config)


def timed_cell(workspace: Workspace, design: Design, cell: Cell) -> float:
    """Run a cell, and return its CPU seconds, without what a process does once: imports and the extractor."""
    import sklearn.linear_model  # noqa: F401

    extractor_of(NAME, design.config.weights_of(NAME))
    started = time.process_time()
    run_cell(workspace, design, cell)
    return time.process_time() - started


def measure(kind: str, num_cells: int, num_workers: int, num_images: int) -> dict[str, Any]:
    """The figures of one kind of features."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(folder)
        design = make_study(workspace, (0, 1), num_cells // 8, kind, num_images)
        calls = [(workspace, design, cell) for cell in plan_cells(design)]
        started = time.perf_counter()
        cpu = [seconds for _, seconds in run_parallel(timed_cell, calls, num_workers)]
        wall = time.perf_counter() - started
        num_train = len(open_dataset(workspace, "drawn").train(0))
    return {
        "features": kind,
        "training_images": num_train,
        "cells": len(cpu),
        "cpu_seconds_per_cell": {"median": float(np.median(cpu)), "mean": float(np.mean(cpu)), "max": max(cpu)},
        "wall_seconds": wall,
        f"cpu_minutes_per_core_of_{GOAL}_cells": GOAL * float(np.mean(cpu)) / num_workers / 60,
        f"wall_minutes_of_{GOAL}_cells": GOAL * wall / len(cpu) / 60,
    }


@click.command()
@click.option("--workers", "num_workers", default=2, show_default=True, help="Processes")
@click.option("--cells", "num_cells", default=40, show_default=True, help="Cells per kind of features, a multiple of 8")
@click.option("--images", "num_images", default=NUM_IMAGES, show_default=True, help="Of the data set")
@click.option("--features", "kinds", multiple=True, type=click.Choice(KINDS), default=KINDS, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(num_workers: int, num_cells: int, num_images: int, kinds: tuple[str, ...], out: Path | None) -> None:
    """Run some cells, and say how long a thousand of them take."""
    common.set_allocator("tuned")
    torch.set_num_threads(1)
    rows = [measure(kind, num_cells, num_workers, num_images) for kind in kinds]
    header = [
        "features",
        "cells",
        "CPU s per cell",
        f"{GOAL} cells, CPU min per core",
        f"{GOAL} cells, min at this speed",
    ]
    cells = [
        [
            row["features"],
            str(row["cells"]),
            f"{row['cpu_seconds_per_cell']['mean']:.2f}",
            f"{row[f'cpu_minutes_per_core_of_{GOAL}_cells']:.1f}",
            f"{row[f'wall_minutes_of_{GOAL}_cells']:.1f}",
        ]
        for row in rows
    ]
    print(common.markdown_table(header, cells))
    if out:
        effort = {"penalties": list(PROBE.penalties), "iterations_per_penalty": PROBE.num_iterations}
        machine = common.describe_machine("cpu", "tuned")
        common.write_json(out, {"machine": machine, "workers": num_workers, **effort, "rows": rows})


if __name__ == "__main__":
    main()
