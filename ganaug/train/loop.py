"""The training loop of generators: show the training patients of a fold, save, and resume where it was stopped."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from ganaug.augment.dihedral import random_dihedral
from ganaug.config import STOP, Compute
from ganaug.data.dataset import TrainingImages
from ganaug.errors import ConfigError, Ended
from ganaug.model.pixels import from_pixels, one_hot
from ganaug.model.projected.discriminator import ProjectedDiscriminator
from ganaug.parallel.interrupt import StopRequest, note_stop_requests
from ganaug.parallel.launcher import num_processes
from ganaug.parallel.processes import num_cores, run_parallel
from ganaug.train.distributed.process_group import ProcessGroup, join_process_group
from ganaug.train.memory import with_largest_micro_batch
from ganaug.train.monitoring.alarms import is_stopped, raise_alarms
from ganaug.train.monitoring.meter import Meter, require_finite
from ganaug.train.monitoring.monitor import Monitor
from ganaug.train.monitoring.tensorboard import TensorBoardWriter
from ganaug.train.phases import Stats, train_iteration
from ganaug.train.saving.lock import run_lock
from ganaug.train.saving.resume import drop_lines_after, resume_latest
from ganaug.train.saving.retention import save_state
from ganaug.train.schedule import blend_with_uniform, conditioning
from ganaug.train.state import TrainingState, load_initial_weights, make_random, new_state
from ganaug.train.task import Task, write_description
from ganaug.workspace import GanRun, append_jsonl

ON_CPU = Compute()
NUM_TAUGHT = 2000  # real images that a class probe learns from, about
STATS_EVERY = 50  # iterations whose losses are averaged to one line of stats.jsonl


def train_gans(tasks: Sequence[Task], compute: Compute = ON_CPU, *, tensorboard: bool = False) -> list[GanRun]:
    """Train several generators, `compute.num_workers` at a time; returns their runs in the order of `tasks`.

    With None, on the CPU all train at once unless they are more than twice the cores: at the sizes that a CPU can
    train, a network gains little from a second core. On a GPU they train one after another. Under torchrun all its
    processes train one generator after another together.
    """
    if num_processes() > 1:
        with join_process_group(compute.device) as processes:
            return [train_gan(task, compute, tensorboard=tensorboard, processes=processes) for task in tasks]
    at_once = min(len(tasks), 2 * num_cores()) if compute.device == "cpu" else 1
    calls = [(task, compute, position, tensorboard) for position, task in enumerate(tasks)]
    names = [task.run.root.name for task in tasks]
    runs = dict(run_parallel(train_gan, calls, compute.num_workers or at_once, names))
    return [runs[position] for position in range(len(tasks))]


def train_gan(
    task: Task,
    compute: Compute = ON_CPU,
    position: int = 0,
    tensorboard: bool = False,
    processes: ProcessGroup | None = None,
) -> GanRun:
    """Train to `total_kimg`, from the newest state if there is one; returns the run, its snapshots and sheets written.

    position: the line of the terminal on which the progress is shown. processes: those that train it together; None
    is this one alone.

    A request to stop saves the state and raises KeyboardInterrupt on SIGINT, its child Ended on SIGTERM and SIGUSR1;
    the same call resumes from there. Raises ConfigError where a GPU has not enough memory, WorkspaceError where another
    process trains this run.
    """
    processes = processes or ProcessGroup(device=torch.device(compute.device))
    # Stops are noted from here on: a request while all is set up waits for the first iteration.
    with note_stop_requests() as stop, run_lock(task.run, processes):
        task = with_largest_micro_batch(task, processes)
        state = new_state(task.config, processes)
        if resume_latest(task, state):
            if processes.is_main:
                drop_lines_after(task.run, state.num_images)
        elif task.init:
            load_initial_weights(state, task.init)
        monitor = Monitor(task, compute.weights_dir)
        is_unfinished = state.num_images < task.config.total_kimg * 1000 and not is_stopped(task.run, task.config)
        try:
            if is_unfinished:
                if processes.is_main:
                    monitor.require_extractor()
                teach_classes(task, state.trainer.networks.D)
                is_shown = compute.progress and processes.is_main
                run_iterations(
                    task, state, monitor, stop, progress=is_shown, position=position, tensorboard=tensorboard
                )
        except torch.OutOfMemoryError as error:
            at_once = task.config.micro_batch or task.config.batch // processes.size
            raise ConfigError(
                f"the GPU is out of memory with {at_once} images at a time",
                todo=f"pass --micro-batch {max(at_once // 2, 1)}; the batch stays as it is",
            ) from error
        if processes.is_main and (is_unfinished or not task.run.ema(state.num_images / 1000).exists()):
            monitor.snapshot(state)
    return task.run


def teach_classes(task: Task, discriminator: nn.Module) -> None:
    """Show real training images to the discriminator's class probe, where a penalty comes from it."""
    if task.config.class_penalty > 0 and isinstance(discriminator, ProjectedDiscriminator):
        label, train = task.dataset.table.label, task.dataset.train(task.fold)
        rows = train[spread_over_classes(label[train], NUM_TAUGHT)]
        discriminator.learn_classes(task.dataset.images(task.fold)[rows], label[rows])


def spread_over_classes(label: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Positions of about `most` labels [N], at equal steps within each class, at least one of each; all, if so few."""
    step = -(-len(label) // most)
    return np.concatenate([np.flatnonzero(label == k)[::step] for k in np.unique(label)])


def run_iterations(
    task: Task,
    state: TrainingState,
    monitor: Monitor,
    stop: StopRequest,
    *,
    progress: bool,
    position: int = 0,
    tensorboard: bool = False,
) -> None:
    """Iterate until `total_kimg` have been shown, with stats, saved states and snapshots every so often."""
    config, processes, run = task.config, state.trainer.processes, task.run
    total = config.total_kimg * 1000
    order = TrainingImages(task.dataset, task.fold, config.batch, config.seed)
    if processes.is_main and not state.num_images:
        write_description(task)  # once nothing is refused
    due_state = Due(config.state_kimg, state.num_images)
    due_snapshot = Due(config.snapshot_kimg, state.num_images)
    meter = Meter(state.num_images)
    if processes.is_main and due_snapshot.came_within(config.batch) and not run.ema(state.num_images / 1000).exists():
        monitor.snapshot(state)  # the stop came first
    with ExitStack() as stack:
        writer = stack.enter_context(TensorBoardWriter(run.root if tensorboard and processes.is_main else None))
        bar = stack.enter_context(
            tqdm(
                desc=run.root.name,
                total=config.total_kimg,
                initial=state.num_images / 1000,
                unit="kimg",
                position=position,
                disable=not progress or None,
            )
        )
        while state.num_images < total:
            meter.add(iterate(task, state, order))
            bar.update(config.batch / 1000)
            is_stopping = processes.any(bool(stop))
            is_last = is_stopping or state.num_images >= total
            if is_last or meter.num_iterations == STATS_EVERY:
                line = meter.line(state.num_images, processes)
                require_finite(line, run)
                if processes.is_main:
                    line |= {"p": state.p, "real_signs": state.ada.heuristic, **monitor.logits(state)}
                    append_jsonl(run.stats, line)
                    writer.add(line)
                    bar.set_postfix_str(summarize(line))
            is_state_due, is_snapshot_due = due_state(state.num_images), due_snapshot(state.num_images)
            if is_last or is_state_due:
                save_state(task, state)
            if processes.is_main and is_snapshot_due and not is_last:
                monitor.snapshot(state)
            if is_stopping:
                raise KeyboardInterrupt if stop.is_by_hand else Ended
            is_alarmed = (is_state_due or is_snapshot_due) and processes.any(processes.is_main and alarm(task))
            if is_alarmed and config.on_alarm == STOP:
                save_state(task, state)
                return


def alarm(task: Task) -> bool:
    """Whether the run raises an alarm that it has not raised before."""
    return bool(raise_alarms(task.run, task.config))


def iterate(task: Task, state: TrainingState, order: TrainingImages) -> Stats:
    """Train both networks on one batch, of which this process takes its part."""
    config, trainer, processes = task.config, state.trainer, state.trainer.processes
    iteration = state.num_images // config.batch
    random = make_random(config, iteration, processes)
    pixels, labels = order.batch_at(iteration)
    own = slice(processes.rank * config.batch // processes.size, (processes.rank + 1) * config.batch // processes.size)
    real_img = from_pixels(pixels[own], processes.device)
    if config.dihedral:
        real_img = random_dihedral(real_img, random)
    c = one_hot(labels[own], config.network.num_classes, processes.device)
    c = blend_with_uniform(c, conditioning(config, state.num_images))
    trainer.augment, trainer.on_real_logits = partial(state.pipe, p=state.p, generator=random), state.ada.observe
    stats = train_iteration(trainer, real_img, c, iteration, random)
    state.num_images += config.batch
    if (iteration + 1) % config.ada_interval == 0:
        state.ada.update(config.batch)
    return stats


class Due:
    """Something that is due at every multiple of `kimg`, wherever the training was resumed; never where it is None."""

    def __init__(self, kimg: float | None, num_images: int) -> None:
        self._every = kimg and max(round(kimg * 1000), 1)
        self._num_images = num_images
        self._last = self._times(num_images)

    def __call__(self, num_images: int) -> bool:
        before, self._last = self._last, self._times(num_images)
        return self._last > before

    def came_within(self, batch: int) -> bool:
        """Whether it became due with the newest `batch` images before the training was resumed."""
        return self._last > self._times(max(self._num_images - batch, 0))

    def _times(self, num_images: int) -> int:
        return num_images // self._every if self._every else 0


def summarize(line: dict[str, float]) -> str:
    """A line of stats, shortened for the progress line."""
    parts = [f"{line['sec_per_kimg']:.3g} s/kimg", f"G {line['loss_g']:.2f}", f"D {line['loss_d']:.2f}"]
    return ", ".join([*parts, f"p {line['p']:.3f}", f"{line['memory_mib'] / 1024:.1f} GiB"])
