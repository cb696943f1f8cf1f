"""How many images at a time a GPU's memory holds."""

from dataclasses import replace
from functools import partial

import torch

from ganaug.config import GanConfig
from ganaug.errors import ConfigError
from ganaug.train.distributed.process_group import Team
from ganaug.train.phases import train_iteration
from ganaug.train.state import new_state, random_of
from ganaug.train.task import Task


def fitting(task: Task, team: Team) -> Task:
    """The task with the largest `micro_batch` that the GPU holds, halved from the process's whole share downwards.

    Tried on throw-away networks, by an iteration with both penalties. On a processor, whose memory shows no edge, and
    where the user has said it, the task stays as it is. Raises ConfigError where not even one image fits.
    """
    share = task.config.batch // team.size
    if team.device.type != "cuda" or task.config.micro_batch is not None:
        return task
    micro = share
    while team.any(not fits(replace(task.config, micro_batch=micro), team)):
        if micro == 1:
            raise ConfigError("the GPU's memory does not hold one image", todo="train at a lower resolution")
        micro = (micro + 1) // 2
    return task if micro == share else replace(task, config=replace(task.config, micro_batch=micro))


def fits(config: GanConfig, team: Team) -> bool:
    """Whether an iteration of one process stays within the device's memory."""
    try:
        _iterate_once(config, Team(device=team.device), config.batch // team.size)
    except torch.OutOfMemoryError:
        return False
    finally:
        if team.device.type == "cuda":
            torch.cuda.empty_cache()
    return True


def _iterate_once(config: GanConfig, alone: Team, share: int) -> None:
    state, random, size = new_state(config, alone), random_of(config, 0, alone), config.network.resolution_px
    img = torch.zeros(share, 3, size, size, device=alone.device)
    c = torch.full([share, config.network.num_classes], 1 / config.network.num_classes, device=alone.device)
    state.game.augment = partial(state.pipe, p=1.0, generator=random)
    train_iteration(state.game, img, c, 0, random)
