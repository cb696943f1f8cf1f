"""An averaged generator as a source of images, chunk by chunk, and as many chunks in parallel as memory allows."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganaug.checkpoint.snapshot import Snapshot, best_ema
from ganaug.config import NetworkConfig, SynthesisConfig
from ganaug.errors import ConfigError, UserError, WorkspaceError
from ganaug.model.pixels import one_hot, to_pixels
from ganaug.workspace import GanRun, kimg_of

# Images drawn and computed together, on one CPU thread: part of what a seed means. Convolutions round differently by
# the number of images and of threads, which changes about 10 bytes in a million by a grey level.
CHUNK = 16
NUM_CENTRE = 4096  # latents whose mean w is the centre of a class
NUM_ACTIVATIONS = 12  # held at a time, in units of the largest; measured at 64 and 256 px
FREE_FRACTION = 0.5  # of the memory at hand, which is left free

Pixels = NDArray[np.uint8]  # images [n,H,W,3]
Task = TypeVar("Task")
Result = TypeVar("Result")
Value = TypeVar("Value", int, float)


def best_snapshot(run: GanRun) -> tuple[Path, float]:
    """The snapshot to draw from, and its kimg; raises WorkspaceError where a run has none yet."""
    best = best_ema(run)
    if best is None:
        raise WorkspaceError(
            f"the generator {run.root.name} has not finished training",
            todo=f"run `ganaug train-gan --dataset {run.dataset} --fold {run.fold}` again to resume",
        )
    return best, kimg_of(best)


def values_per_class(default: Value, pairs: Sequence[tuple[str, Value]], class_names: Sequence[str]) -> list[Value]:
    """The value of each class: that of its pair (class, value), else `default`; ConfigError for an unknown class."""
    for name, _ in pairs:
        if name not in class_names:
            raise ConfigError(f"the class {name}", expected=f"one of {', '.join(class_names)}")
    named = dict(pairs)
    return [named.get(name, default) for name in class_names]


class Sampler:
    """Draws the images of a generator; several threads may use it at a time."""

    def __init__(self, snapshot: Snapshot, config: SynthesisConfig, device: str) -> None:
        self.generator, self.network = snapshot.generator, snapshot.config.network
        self.seed, self.device = config.seed, device
        self.psi = values_per_class(config.psi, config.psi_of, snapshot.class_names)
        self.centres = [self._centre(label, config.truncation) for label in range(self.network.num_classes)]

    @torch.no_grad()
    def chunk(self, label: int, start: int) -> Pixels:
        """Images [CHUNK,H,W,3] of a class at the positions from `start`, a multiple of CHUNK.

        They are functions of (seed, class, position). Latents and noise are drawn on the CPU, so that every device
        draws the same; the images of two kinds of device differ by rounding. The same device gives the same bytes.
        """
        assert start % CHUNK == 0
        random = _random(self.seed, label, start)
        z = torch.randn(CHUNK, self.network.z_dim, generator=random).to(self.device)
        ws: Tensor = self.generator.mapping(z, self._c(label))
        if self.psi[label] != 1:
            ws = self.centres[label].lerp(ws, self.psi[label])
        return to_pixels(self.generator.synthesis(ws, "random", random))

    @torch.no_grad()
    def _centre(self, label: int, truncation: str) -> Tensor:
        """The w towards which truncation draws a class."""
        if truncation == "global" or self.psi[label] == 1:
            return self.generator.mapping.w_avg
        random = _random(label)  # without the seed: the centre is the generator's own
        z = torch.randn(NUM_CENTRE, self.network.z_dim, generator=random).to(self.device)
        with one_thread():
            parts = [self.generator.mapping(part, self._c(label))[:, 0].mean(0) for part in torch.split(z, CHUNK)]
            return torch.stack(parts).mean(0)

    def _c(self, label: int) -> Tensor:
        return one_hot(np.full(CHUNK, label), self.network.num_classes, self.device)


def _random(*key: int) -> torch.Generator:
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> np.uint64(1)))


# ---- chunks in parallel ----------------------------------------------------------------------------------------------


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep each of torch's operators to one CPU thread: more would change how it rounds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def map_in_threads(
    function: Callable[[Task], Result], tasks: Iterable[Task], at_a_time: int
) -> Generator[Result, None, None]:
    """Yield `function(task)` in the order of the tasks, which may be endless, computing `at_a_time` in threads.

    Where memory runs out, half as many are computed at a time; UserError where not even one fits.
    """
    tasks, waiting = iter(tasks), deque[Task]()  # started, and not yet yielded
    while True:
        try:
            with one_thread(), ThreadPoolExecutor(at_a_time) as pool:
                futures = deque(pool.submit(function, task) for task in waiting)
                while _refill(pool, function, tasks, waiting, futures, at_a_time):
                    result = futures.popleft().result()
                    waiting.popleft()
                    yield result
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            at_a_time = _halve(at_a_time, error)


def _refill(
    pool: ThreadPoolExecutor,
    function: Callable[[Task], Result],
    tasks: Iterator[Task],
    waiting: deque[Task],
    futures: deque[Future[Result]],
    at_a_time: int,
) -> bool:
    """Start as many tasks as may run; False where nothing is left."""
    while len(waiting) < at_a_time:
        try:
            task = next(tasks)
        except StopIteration:
            break
        waiting.append(task)
        futures.append(pool.submit(function, task))
    return bool(futures)


def _halve(at_a_time: int, error: Exception) -> int:
    if at_a_time == 1:
        raise UserError(
            f"out of memory for {CHUNK} images, the fewest made at a time",
            todo="end other programs on this device, or use one with more memory (--device)",
        ) from error
    torch.cuda.empty_cache()  # does nothing where no GPU is in use
    return at_a_time // 2


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the CPU or a GPU is out of memory, which torch reports in three ways.

    The CPU's has no class of its own (a bare RuntimeError of its DefaultCPUAllocator), so its text must do.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return type(error) is RuntimeError and "memory" in text and "alloca" in text


def chunks_at_a_time(network: NetworkConfig, device: str, batch: int | None) -> int:
    """How many chunks are computed at a time: `batch` images' worth, else as many as threads and memory allow."""
    if batch is not None:
        return max(1, batch // CHUNK)
    num_fitting = (1 - FREE_FRACTION) * available_bytes(device) / chunk_bytes(network)
    return max(1, min(torch.get_num_threads(), int(num_fitting)))


def chunk_bytes(network: NetworkConfig) -> int:
    """A bound on the memory that one chunk takes while it is computed."""
    resolutions = [1 << exponent for exponent in range(2, network.resolution_px.bit_length())]
    largest = max(network.channels(resolution) * resolution**2 for resolution in resolutions)
    return NUM_ACTIVATIONS * CHUNK * largest * 4


def available_bytes(device: str) -> int:
    """The memory that a device has free: a GPU's, or the machine's within the limit that a cluster sets a job."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    free = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    meminfo, limit, used = map(Path, ("/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"))
    if meminfo.exists():
        kib = [line.split()[1] for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:")]
        free += [1024 * int(number) for number in kib]
    if limit.exists() and (most := limit.read_text().strip()).isdigit():
        free.append(int(most) - int(used.read_text()))
    return min(free)
