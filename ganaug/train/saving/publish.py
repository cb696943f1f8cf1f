"""Snapshots of the averaged generator with its provenance, and sheets of its images to look at."""

import numpy as np
import torch
from numpy.typing import NDArray

from ganaug.checkpoint.snapshot import Snapshot, save_snapshot
from ganaug.data.images.sheet import save_sheet
from ganaug.model.generator import Generator
from ganaug.model.pixels import one_hot, to_pixels
from ganaug.train.state import TrainingState
from ganaug.train.task import Task

NUM_COLUMNS = 8


def write_snapshot(task: Task, state: TrainingState) -> None:
    """Write the snapshot, and a sheet of real and one of generated images, a row per class."""
    kimg, run, table = state.num_images / 1000, task.run, task.dataset.table
    ema, device, labels = state.trainer.networks.ema, state.trainer.processes.device, range(table.num_classes)
    save_sheet(run.reals, [real_row(task, label) for label in labels])
    save_sheet(run.samples(kimg), [sample_row(ema, label, device) for label in labels])
    record = task.provenance(kimg)
    save_snapshot(run.ema(kimg), Snapshot(ema, task.config, table.class_names, record))


def real_row(task: Task, label: int) -> NDArray[np.uint8]:
    """Training images of a class, spread over its patients, in the order of their digests: u8 [n,H,W,3]."""
    train = task.dataset.train(task.fold)
    members = train[task.dataset.table.label[train] == label]
    spread = np.linspace(0, len(members) - 1, NUM_COLUMNS).astype(int)
    return task.dataset.images(task.fold)[task.dataset.table.in_shared_order(members[spread])]


@torch.no_grad()
def sample_row(generator: Generator, label: int, device: torch.device) -> NDArray[np.uint8]:
    """Generated images of a class from latents and noise that are the same for every snapshot: u8 [n,H,W,3]."""
    config = generator.config
    fixed = torch.Generator(device).manual_seed(label)
    z = torch.randn(NUM_COLUMNS, config.z_dim, generator=fixed, device=device)
    c = one_hot(np.full(NUM_COLUMNS, label), config.num_classes, device)
    return to_pixels(generator(z, c, noise_mode="random", generator=fixed))
