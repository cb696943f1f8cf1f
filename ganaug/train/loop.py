"""The training of one generator: show it the training patients of one fold, save, and take up where it was stopped."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from ganaug.augment.dihedral import random_dihedral
from ganaug.data.dataset import TrainingImages
from ganaug.errors import UserError
from ganaug.model.pixels import from_pixels, one_hot
from ganaug.processes import num_cores, run_parallel
from ganaug.train.interrupt import stop_requested
from ganaug.train.phases import train_iteration
from ganaug.train.publish import publish
from ganaug.train.state import TrainingState, new_state
from ganaug.train.task import Task, describe
from ganaug.workspace import GanRun, append_jsonl, read_jsonl, write_jsonl

STATS_EVERY = 50  # iterations whose losses are averaged to one line of stats.jsonl


def train_gans(
    tasks: Sequence[Task], *, jobs: int | None = None, device: str = "cpu", progress: bool = False
) -> list[GanRun]:
    """Train several generators, `jobs` at a time, in the order of `tasks`.

    On the CPU all run at once unless they are more than twice the cores: at the sizes that a processor can train, a
    network gains little from a second core. On a GPU they run one after another.
    """
    at_once = min(len(tasks), 2 * num_cores()) if device == "cpu" else 1
    calls = [(task, device, progress, position) for position, task in enumerate(tasks)]
    runs = dict(run_parallel(train_gan, calls, jobs or at_once))
    return [runs[position] for position in range(len(tasks))]


def train_gan(task: Task, device: str = "cpu", progress: bool = False, position: int = 0) -> GanRun:
    """Train to `total_kimg`, from the newest state if there is one; returns the run, its snapshot and sheets written.

    `position` is the line of the terminal on which the progress is shown.

    A request to stop (SIGINT, SIGTERM) saves the state and raises KeyboardInterrupt; the same call goes on from there.
    """
    run = task.run
    state = new_state(task.config, torch.device(device))
    if run.state.exists():
        state.load(run.state, task.digest)
        forget_stats_after(run, state.num_images)
    else:
        describe(task)
    if state.num_images < task.config.total_kimg * 1000:
        show_images(task, state, progress=progress, position=position)
    if not run.ema(state.num_images / 1000).exists():
        publish(task, state)
    return run


def show_images(task: Task, state: TrainingState, *, progress: bool, position: int = 0) -> None:
    """Iterate until `total_kimg` have been shown, with a line of stats and a saved state every so often."""
    config, run = task.config, task.run
    total, saved_at = config.total_kimg * 1000, state.num_images
    order = TrainingImages(task.dataset, task.fold, config.batch, config.seed)
    meter = Meter(state.num_images)
    bar = tqdm(
        desc=run.root.name,
        total=config.total_kimg,
        initial=state.num_images / 1000,
        unit="kimg",
        position=position,
        disable=not progress or None,
    )
    with bar, stop_requested() as stop:
        while state.num_images < total:
            meter.add(iterate(task, state, order))
            bar.update(config.batch / 1000)
            leaving = bool(stop) or state.num_images >= total
            if leaving or meter.num_iterations == STATS_EVERY:
                line = meter.line(state.num_images)
                require_finite(line, run)
                append_jsonl(run.stats, line)
                bar.set_postfix(G=f"{line['loss_g']:.2f}", D=f"{line['loss_d']:.2f}")
            if leaving or state.num_images - saved_at >= config.state_kimg * 1000:
                state.save(run.state, task.digest)
                saved_at = state.num_images
            if stop:
                raise KeyboardInterrupt


def iterate(task: Task, state: TrainingState, order: TrainingImages) -> dict[str, torch.Tensor]:
    """One batch through both players, each real image in one of its eight orientations."""
    config, device = task.config, state.random.device
    iteration = state.num_images // config.batch
    pixels, labels = order.batch_at(iteration)
    real_img = random_dihedral(from_pixels(pixels, device), state.random)
    real_c = one_hot(labels, config.network.num_classes, device)
    losses = train_iteration(state.networks, state.optimizers, real_img, real_c, iteration, state.random, config)
    state.num_images += config.batch
    return losses


class Meter:
    """Averages the losses of the iterations since its last line, and times them."""

    def __init__(self, num_images: int) -> None:
        self._reset(num_images)

    def _reset(self, num_images: int) -> None:
        self.num_iterations = 0
        self._losses: dict[str, list[torch.Tensor]] = {}
        self._since, self._images = time.perf_counter(), num_images

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        for name, value in losses.items():
            self._losses.setdefault(name, []).append(value.detach())
        self.num_iterations += 1

    def line(self, num_images: int) -> dict[str, float]:
        """A record of stats.jsonl: kimg, seconds per kimg, and the mean of every loss."""
        speed = 1000 * (time.perf_counter() - self._since) / (num_images - self._images)
        means = {name: float(torch.stack(values).mean()) for name, values in self._losses.items()}
        self._reset(num_images)
        return {"kimg": num_images / 1000, "sec_per_kimg": speed, **means}


def forget_stats_after(run: GanRun, num_images: int) -> None:
    """Drop the lines between the state that is taken up and the moment the run was killed."""
    write_jsonl(run.stats, [line for line in read_jsonl(run.stats) if line["kimg"] * 1000 <= num_images])


def require_finite(line: dict[str, float], run: GanRun) -> None:
    broken = [name for name, value in line.items() if not np.isfinite(value)]
    if broken:
        raise UserError(
            f"training diverged before {line['kimg']:.1f} kimg ({', '.join(broken)} is not a finite number)",
            expected="finite losses",
            todo=f"use a larger --gamma; the last good state is kept in {run.root}",
        )


def estimate_seconds(tasks: Sequence[Task], device: str) -> float:
    """The time that is left to train these, from timing a few iterations on throw-away networks; rough on purpose.

    Timed on one thread on the CPU, where several generators share the cores.
    """
    left = sum(task.config.total_kimg * 1000 for task in tasks if task.run.newest_ema() is None)
    task, threads = tasks[0], torch.get_num_threads()
    state = new_state(task.config, torch.device(device))
    order = TrainingImages(task.dataset, task.fold, task.config.batch, task.config.seed)
    torch.set_num_threads(1 if device == "cpu" else threads)
    try:
        iterate(task, state, order)
        started, num_timed = time.perf_counter(), 3
        for _ in range(num_timed):
            iterate(task, state, order)
        per_image = (time.perf_counter() - started) / (num_timed * task.config.batch)
    finally:
        torch.set_num_threads(threads)
    side_by_side = min(len(tasks), num_cores()) if device == "cpu" else 1
    return per_image * left / side_by_side
