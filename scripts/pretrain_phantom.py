"""The generators that come with the package, trained on procedural tissue: `ganaug train-gan --init phantom`.

    python scripts/pretrain_phantom.py --resolution 64 --keep FOLDER
    python scripts/pretrain_phantom.py --resolution 128 --keep FOLDER --init WEIGHTS-OF-64-PX

Draws fields of many scales, as real data sets have, trains on them with the projected discriminator, and writes the
averaged generator and the discriminator's heads in half precision into the package. The images belong to nobody and are
drawn from a seed of their own, so that no phantom that a user prepares holds one of them. The same command resumes what
was stopped; a longer --kimg trains on.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from PIL import Image
from tqdm import tqdm

from ganaug.checkpoint.builtin import BUILTIN_FOLDER
from ganaug.checkpoint.snapshot import COMPANIONS, load_snapshot, load_tensors, save_snapshot
from ganaug.config import BREAST_CLASSES, Compute, FoldsConfig, GanConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.phantom.draw import PhantomImage, draw_one
from ganaug.parallel.processes import run_parallel, tune_allocator
from ganaug.presets import gan
from ganaug.provenance import Seen
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace, open_workspace

SEED = 20261129  # of the drawn images, far from those that people choose
IMAGES_PER_PATIENT = 8
FIELD_UM = (100.0, 290.0)  # width of a field of view: at 64 px from 1.6 to 4.5 micrometres per pixel
NAME = "pretraining"


def draw_patient_images(root: Path, patient: int, resolution_px: int) -> None:
    """Write the images of a patient, all at one scale, unless they are there."""
    folder = root / BREAST_CLASSES[patient % len(BREAST_CLASSES)] / f"p{patient:05d}"
    if folder.exists():
        return
    part = folder.with_suffix(".part")
    part.mkdir(parents=True, exist_ok=True)
    for image in images_of(patient, resolution_px):
        Image.fromarray(image.image).save(part / f"{image.image_id}.png")
    part.rename(folder)


def images_of(patient: int, resolution_px: int) -> Iterator[PhantomImage]:
    random = np.random.default_rng([SEED, patient])
    field_um = math.exp(random.uniform(*np.log(FIELD_UM)))
    config = PhantomConfig(resolution_px, patient + 4, IMAGES_PER_PATIENT, um_per_px=field_um / resolution_px)
    for index in range(IMAGES_PER_PATIENT):
        yield draw_one(config, SEED, patient, index)


def make_dataset(workspace: Workspace, images: Path, num_patients: int, resolution_px: int, num_jobs: int) -> DataSet:
    if not workspace.datasets():
        calls = [(images, patient, resolution_px) for patient in range(num_patients)]
        for _ in tqdm(run_parallel(draw_patient_images, calls, num_jobs), total=len(calls), desc="drawing"):
            pass
        config = PrepareConfig(
            "folder",
            source=str(images),
            name=NAME,
            layout="class/patient",
            resolution_px=resolution_px,
            folds=FoldsConfig(num_folds=10),  # eight of ten parts are trained on
            whole_copies_only=True,
        )
        prepare_dataset(workspace, config)
    return open_dataset(workspace, NAME)


def training_config(resolution_px: int, kimg: float) -> GanConfig:
    """The CPU's default, from nothing; averaged over more images, as none are wanted early."""
    config = gan("auto", resolution_px, len(BREAST_CLASSES), "cpu")
    return replace(config, total_kimg=kimg, ema_kimg=5.0, ema_rampup=0.05, snapshot_kimg=10.0, extractor="none")


def export(snapshot: Path, state: Path, target: Path) -> None:
    """The averaged generator of a snapshot and the discriminator of a state, in half precision."""
    trained, (tensors, _) = load_snapshot(snapshot), load_tensors(state)
    _, prefix = COMPANIONS
    heads = {name: value.half() for name, value in tensors.items() if name.startswith(prefix)}
    record = replace(
        trained.provenance,
        dataset="phantom",
        groups_seen=(),
        images_seen=(),
        hashes_seen=(),
    )
    target.parent.mkdir(exist_ok=True)
    save_snapshot(target, replace(trained, generator=trained.generator.half(), companions=heads, provenance=record))


@click.command()
@click.option("--resolution", "resolution_px", type=int, default=64, show_default=True)
@click.option("--patients", "num_patients", type=int, default=1000, show_default=True)
@click.option("--kimg", type=float, default=80.0, show_default=True, help="Length of the training")
@click.option("--jobs", "num_jobs", type=int, default=os.cpu_count() or 1, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), required=True, help="Work in this folder, and resume there")
@click.option(
    "--init", type=click.Path(path_type=Path, exists=True), help="Weights to begin with, of a lower resolution"
)
@click.option("--out", type=click.Path(path_type=Path), help="The file to write  [default: the package's own]")
def main(
    resolution_px: int, num_patients: int, kimg: float, num_jobs: int, keep: Path, init: Path | None, out: Path | None
) -> None:
    """Train the generator that comes with the package, and write it."""
    tune_allocator()
    workspace = open_workspace(keep / f"{resolution_px}px")
    dataset = make_dataset(workspace, keep / f"images-{resolution_px}px", num_patients, resolution_px, num_jobs)
    task = plan_training(workspace, dataset, 0, training_config(resolution_px, kimg), init)
    if task.seen_before != Seen() or task.declared:
        raise click.UsageError(f"{init} saw {len(task.seen_before.groups)} patients; expected weights that saw nobody")
    run = train_gan(task, Compute(progress=True))
    newest = run.newest_ema()
    assert newest is not None
    export(newest, run.states()[-1], out or BUILTIN_FOLDER / f"phantom-{resolution_px}px.safetensors")


if __name__ == "__main__":
    main()
