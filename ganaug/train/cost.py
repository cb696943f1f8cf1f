"""The cost of a training, measured on a few iterations of throw-away networks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ganaug.config import Compute
from ganaug.data.dataset import TrainingImages
from ganaug.parallel.processes import num_cores
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.loop import iterate
from ganaug.train.monitoring.meter import memory_mib
from ganaug.train.state import new_state
from ganaug.train.task import Task

NUM_TIMED = 4  # iterations, of which one has the path length penalty


@dataclass(frozen=True)
class Cost:
    """A rough cost; `seconds` are for all that is left, and R1 is not timed."""

    seconds: float
    memory_mib: float  # of one process
    parameters_g: int
    parameters_d: int


def estimate_training_cost(tasks: Sequence[Task], compute: Compute) -> Cost:
    """The cost of what is left of these tasks; timed on one thread on the CPU, where several share the cores."""
    left = sum(max(0.0, task.config.total_kimg * 1000 - num_images_shown(task)) for task in tasks)
    is_cpu = compute.device == "cpu"
    task, threads, processes = tasks[0], torch.get_num_threads(), ProcessGroup(device=torch.device(compute.device))
    state = new_state(task.config, processes)
    order = TrainingImages(task.dataset, task.fold, task.config.batch, task.config.seed)
    torch.set_num_threads(1 if is_cpu else threads)
    try:
        iterate(task, state, order)
        started = time.perf_counter()
        for _ in range(NUM_TIMED):
            iterate(task, state, order)
        if processes.device.type == "cuda":
            torch.cuda.synchronize()
        per_image = (time.perf_counter() - started) / (NUM_TIMED * task.config.batch)
    finally:
        torch.set_num_threads(threads)
    num_parallel = min(len(tasks), num_cores()) if is_cpu else 1
    networks = state.trainer.networks
    sizes = [sum(p.numel() for p in network.parameters()) for network in (networks.G, networks.D)]
    return Cost(per_image * left / num_parallel, memory_mib(processes.device), *sizes)


def num_images_shown(task: Task) -> float:
    """Real images that the newest state of a task was shown."""
    states = task.run.states()
    return float(states[-1].stem.removeprefix("state-")) if states else 0.0
