"""What a training will cost, measured on a few iterations of throw-away networks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ganaug.data.dataset import TrainingImages
from ganaug.parallel.processes import num_cores
from ganaug.train.distributed.process_group import Team
from ganaug.train.loop import iterate
from ganaug.train.monitoring.meter import memory_mib
from ganaug.train.state import new_state
from ganaug.train.task import Task

NUM_TIMED = 4  # iterations, of which one has the path length penalty


@dataclass(frozen=True)
class Cost:
    """Rough on purpose: `seconds` for all that is left, of which R1 is not timed."""

    seconds: float
    memory_mib: float  # of one process
    parameters_g: int
    parameters_d: int


def estimate(tasks: Sequence[Task], device: str) -> Cost:
    """The cost of what is left of these tasks; timed on one thread on the CPU, where several share the cores."""
    left = sum(task.config.total_kimg * 1000 - shown(task) for task in tasks)
    task, threads, team = tasks[0], torch.get_num_threads(), Team(device=torch.device(device))
    state = new_state(task.config, team)
    order = TrainingImages(task.dataset, task.fold, task.config.batch, task.config.seed)
    torch.set_num_threads(1 if device == "cpu" else threads)
    try:
        iterate(task, state, order)
        started = time.perf_counter()
        for _ in range(NUM_TIMED):
            iterate(task, state, order)
        if team.device.type == "cuda":
            torch.cuda.synchronize()
        per_image = (time.perf_counter() - started) / (NUM_TIMED * task.config.batch)
    finally:
        torch.set_num_threads(threads)
    side_by_side = min(len(tasks), num_cores()) if device == "cpu" else 1
    sizes = [sum(p.numel() for p in network.parameters()) for network in (state.game.networks.G, state.game.networks.D)]
    return Cost(per_image * left / side_by_side, memory_mib(team.device), *sizes)


def shown(task: Task) -> float:
    """Real images that the newest state of a task was shown."""
    states = task.run.states()
    return float(states[-1].stem.removeprefix("state-")) if states else 0.0
