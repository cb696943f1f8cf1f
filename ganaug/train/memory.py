"""The number of images at a time that a GPU's memory holds."""

from dataclasses import replace
from functools import partial

import torch

from ganaug.config import GanConfig
from ganaug.errors import ConfigError
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.phases import train_iteration
from ganaug.train.state import make_random, new_state
from ganaug.train.task import Task


def with_largest_micro_batch(task: Task, processes: ProcessGroup) -> Task:
    """The task with the largest `micro_batch` that the GPU holds, halved from the process's part of a batch downwards.

    Tried on throw-away networks, by an iteration with both penalties. On the CPU, whose memory has no such limit, and
    where the user chose a number, the task stays as it is. Raises ConfigError where not even one image fits.
    """
    per_process = task.config.batch // processes.size
    if processes.device.type != "cuda" or task.config.micro_batch is not None:
        return task
    micro = per_process
    while processes.any(not fits_in_memory(replace(task.config, micro_batch=micro), processes)):
        if micro == 1:
            raise ConfigError("the GPU's memory does not hold one image", todo="train at a lower resolution")
        micro = (micro + 1) // 2
    return task if micro == per_process else replace(task, config=replace(task.config, micro_batch=micro))


def fits_in_memory(config: GanConfig, processes: ProcessGroup) -> bool:
    """Whether an iteration of one process stays within the device's memory."""
    try:
        _iterate_once(config, ProcessGroup(device=processes.device), config.batch // processes.size)
    except torch.OutOfMemoryError:
        return False
    finally:
        if processes.device.type == "cuda":
            torch.cuda.empty_cache()
    return True


def _iterate_once(config: GanConfig, alone: ProcessGroup, num_images: int) -> None:
    state, random, size = new_state(config, alone), make_random(config, 0, alone), config.network.resolution_px
    img = torch.zeros(num_images, 3, size, size, device=alone.device)
    c = torch.full([num_images, config.network.num_classes], 1 / config.network.num_classes, device=alone.device)
    state.trainer.augment = partial(state.pipe, p=1.0, generator=random)
    train_iteration(state.trainer, img, c, 0, random)
