"""The training of one generator: show it the training patients of one fold, save, and take up where it was stopped."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from ganaug.augment.dihedral import random_dihedral
from ganaug.data.dataset import TrainingImages
from ganaug.errors import ConfigError, Ended
from ganaug.model.pixels import from_pixels, one_hot
from ganaug.parallel.launcher import num_processes
from ganaug.parallel.processes import num_cores, run_parallel
from ganaug.train.distributed.process_group import Team, joined_team
from ganaug.train.interrupt import StopRequest, stop_requested
from ganaug.train.memory import fitting
from ganaug.train.monitoring.meter import Meter, require_finite
from ganaug.train.monitoring.monitor import Watch
from ganaug.train.monitoring.tensorboard import Board
from ganaug.train.phases import Stats, train_iteration
from ganaug.train.saving.lock import run_lock
from ganaug.train.saving.resume import forget_after, resume_latest
from ganaug.train.saving.retention import save_state
from ganaug.train.schedule import conditioning, softened
from ganaug.train.state import TrainingState, begin_with, new_state, random_of
from ganaug.train.task import Task, describe
from ganaug.workspace import GanRun, append_jsonl

STATS_EVERY = 50  # iterations whose losses are averaged to one line of stats.jsonl


def train_gans(
    tasks: Sequence[Task],
    *,
    jobs: int | None = None,
    device: str = "cpu",
    progress: bool = False,
    weights_dir: Path | None = None,
    tensorboard: bool = False,
) -> list[GanRun]:
    """Train several generators, `jobs` at a time, in the order of `tasks`.

    On the CPU all run at once unless they are more than twice the cores: at the sizes that a processor can train, a
    network gains little from a second core. On a GPU they run one after another. Under torchrun all its processes train
    one generator after another together.
    """
    if num_processes() > 1:
        with joined_team(device) as team:
            return [train_gan(task, device, progress, 0, weights_dir, tensorboard, team) for task in tasks]
    at_once = min(len(tasks), 2 * num_cores()) if device == "cpu" else 1
    calls = [(task, device, progress, position, weights_dir, tensorboard) for position, task in enumerate(tasks)]
    runs = dict(run_parallel(train_gan, calls, jobs or at_once, [task.run.root.name for task in tasks]))
    return [runs[position] for position in range(len(tasks))]


def train_gan(
    task: Task,
    device: str = "cpu",
    progress: bool = False,
    position: int = 0,
    weights_dir: Path | None = None,
    tensorboard: bool = False,
    team: Team | None = None,
) -> GanRun:
    """Train to `total_kimg`, from the newest state if there is one; returns the run, its snapshots and sheets written.

    position: the line of the terminal on which the progress is shown. weights_dir: of the extractor that scores
    snapshots. team: the processes that train it together.

    A request to stop saves the state and raises KeyboardInterrupt on SIGINT, its child Ended on SIGTERM and SIGUSR1;
    the same call goes on from there. Raises ConfigError where a GPU has not enough memory, WorkspaceError where another
    process trains this run.
    """
    team = team or Team(device=torch.device(device))
    # Stops are noted from here on: a request while all is set up waits for the first iteration.
    with stop_requested() as stop, run_lock(task.run, team):
        task = fitting(task, team)
        state = new_state(task.config, team)
        if resume_latest(task, state):
            if team.leads:
                forget_after(task.run, state.num_images)
        else:
            if task.init:
                begin_with(state, task.init)
            if team.leads:
                describe(task)
        watch = Watch(task, weights_dir)
        unfinished = state.num_images < task.config.total_kimg * 1000
        try:
            if unfinished:
                if team.leads:
                    watch.require_extractor()
                shown = progress and team.leads
                show_images(task, state, watch, stop, progress=shown, position=position, tensorboard=tensorboard)
        except torch.OutOfMemoryError as error:
            at_once = task.config.micro_batch or task.config.batch // team.size
            raise ConfigError(
                f"the GPU is out of memory with {at_once} images at a time",
                todo=f"pass --micro-batch {max(at_once // 2, 1)}; the batch stays as it is",
            ) from error
        if team.leads and (unfinished or not task.run.ema(state.num_images / 1000).exists()):
            watch.snapshot(state)
    return task.run


def show_images(
    task: Task,
    state: TrainingState,
    watch: Watch,
    stop: StopRequest,
    *,
    progress: bool,
    position: int = 0,
    tensorboard: bool = False,
) -> None:
    """Iterate until `total_kimg` have been shown, with stats, saved states and snapshots every so often."""
    config, team, run = task.config, state.game.team, task.run
    total = config.total_kimg * 1000
    order = TrainingImages(task.dataset, task.fold, config.batch, config.seed)
    due_state = Due(config.state_kimg, state.num_images)
    due_snapshot = Due(config.snapshot_kimg, state.num_images)
    meter = Meter(state.num_images)
    if team.leads and due_snapshot.came_within(config.batch) and not run.ema(state.num_images / 1000).exists():
        watch.snapshot(state)  # the stop came first
    with ExitStack() as stack:
        board = stack.enter_context(Board(run.root if tensorboard and team.leads else None))
        start = state.num_images / 1000
        bar = stack.enter_context(
            tqdm(
                desc=run.root.name,
                total=config.total_kimg,
                initial=start,
                unit="kimg",
                position=position,
                disable=not progress or None,
            )
        )
        while state.num_images < total:
            meter.add(iterate(task, state, order))
            bar.update(config.batch / 1000)
            stopping = team.any(bool(stop))
            leaving = stopping or state.num_images >= total
            if leaving or meter.num_iterations == STATS_EVERY:
                line = meter.line(state.num_images, team)
                require_finite(line, run)
                if team.leads:
                    line |= {"p": state.p, "real_signs": state.ada.heuristic, **watch.logits(state)}
                    append_jsonl(run.stats, line)
                    board.add(line)
                    bar.set_postfix_str(in_short(line))
            if leaving or due_state(state.num_images):
                save_state(task, state)
            if team.leads and due_snapshot(state.num_images) and not leaving:
                watch.snapshot(state)
            if stopping:
                raise KeyboardInterrupt if stop.by_hand else Ended


def iterate(task: Task, state: TrainingState, order: TrainingImages) -> Stats:
    """One batch through both players."""
    config, game, team = task.config, state.game, state.game.team
    iteration = state.num_images // config.batch
    random = random_of(config, iteration, team)
    pixels, labels = order.batch_at(iteration)
    share = slice(team.rank * config.batch // team.size, (team.rank + 1) * config.batch // team.size)
    real_img = from_pixels(pixels[share], team.device)
    if config.dihedral:
        real_img = random_dihedral(real_img, random)
    c = one_hot(labels[share], config.network.num_classes, team.device)
    game.augment, game.hear = partial(state.pipe, p=state.p, generator=random), state.ada.observe
    stats = train_iteration(game, real_img, softened(c, conditioning(config, state.num_images)), iteration, random)
    state.num_images += config.batch
    if (iteration + 1) % config.ada_interval == 0:
        state.ada.update(config.batch)
    return stats


class Due:
    """Says when something is due that comes at every multiple of `kimg`, wherever it was taken up; never if None."""

    def __init__(self, kimg: float | None, num_images: int) -> None:
        self._every = kimg and max(round(kimg * 1000), 1)
        self._num_images = num_images
        self._last = self._times(num_images)

    def __call__(self, num_images: int) -> bool:
        before, self._last = self._last, self._times(num_images)
        return self._last > before

    def came_within(self, batch: int) -> bool:
        """Whether it became due with the newest `batch` images before it was taken up."""
        return self._last > self._times(max(self._num_images - batch, 0))

    def _times(self, num_images: int) -> int:
        return num_images // self._every if self._every else 0


def in_short(line: dict[str, float]) -> str:
    """What the progress line shows of a line of stats."""
    parts = [f"{line['sec_per_kimg']:.3g} s/kimg", f"G {line['loss_g']:.2f}", f"D {line['loss_d']:.2f}"]
    return ", ".join([*parts, f"p {line['p']:.3f}", f"{line['memory_mib'] / 1024:.1f} GiB"])
