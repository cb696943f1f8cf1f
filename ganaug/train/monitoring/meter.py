"""Lines of stats that a run writes at intervals, and the memory that it takes."""

import resource
import sys
import time

import numpy as np
import torch

from ganaug.errors import UserError
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.workspace import GanRun


class Meter:
    """Averages the stats of the iterations since its last line, and times them."""

    def __init__(self, num_images: int) -> None:
        self._reset(num_images)

    def _reset(self, num_images: int) -> None:
        self.num_iterations = 0
        self._stats: dict[str, list[torch.Tensor]] = {}
        self._since, self._images = time.perf_counter(), num_images

    def add(self, stats: dict[str, torch.Tensor]) -> None:
        for name, value in stats.items():
            self._stats.setdefault(name, []).append(value.detach())
        self.num_iterations += 1

    def line(self, num_images: int, processes: ProcessGroup) -> dict[str, float]:
        """A record of stats.jsonl: kimg, seconds per kimg, the mean of every stat over all processes, and memory."""
        speed = 1000 * (time.perf_counter() - self._since) / (num_images - self._images)
        means = {name: float(processes.mean(torch.stack(values).mean())) for name, values in self._stats.items()}
        self._reset(num_images)
        return {"kimg": num_images / 1000, "sec_per_kimg": speed, **means, "memory_mib": memory_mib(processes.device)}


def memory_mib(device: torch.device) -> float:
    """The most memory that this process held so far, in MiB: the GPU's, or the CPU's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def require_finite(line: dict[str, float], run: GanRun) -> None:
    """Raise UserError where a stat is NaN or infinite, as where the training diverged."""
    broken = [name for name, value in line.items() if not np.isfinite(value)]
    if broken:
        raise UserError(
            f"training diverged before {line['kimg']:.1f} kimg ({', '.join(broken)} is not a finite number)",
            expected="finite losses",
            todo=f"use a larger --gamma; the last good state is kept in {run.root}",
        )
