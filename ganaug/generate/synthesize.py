"""An averaged generator to a file of synthetic images with provenance: whole, or in shards that add up to the same."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ganaug.checkpoint.snapshot import Snapshot, load_snapshot_of
from ganaug.config import SynthesisConfig, to_dict
from ganaug.data.dataset import open_dataset
from ganaug.data.schema import read_table
from ganaug.data.synthetic import require_serves
from ganaug.data.synthetic_file import Rows, rows_of, stored_record, stored_rows, write_rows
from ganaug.errors import ConfigError, UserError, WorkspaceError
from ganaug.generate.filters import Screening, Setting, fit_filters, record_of, require_known
from ganaug.generate.sampler import CHUNK, Sampler, best_snapshot, by_class, chunks_at_a_time, one_thread, side_by_side
from ganaug.parallel.processes import run_parallel
from ganaug.parallel.shards import WHOLE, Shard
from ganaug.provenance import digest_of
from ganaug.workspace import GanRun, Workspace

BYTES_BESIDE_PIXELS = 500  # of an image's row and its place in the file


@dataclass(frozen=True)
class Order:
    """What one call makes: which generator, which images, and where they go."""

    workspace: Workspace
    snapshot_path: Path
    run: GanRun
    config: SynthesisConfig
    target: Path

    def path(self, shard: Shard) -> Path:
        """What a shard writes; one alone writes the whole."""
        return self.target if shard.count == 1 else self.workspace.part(self.target, shard.index, shard.count)


@dataclass(frozen=True)
class Chunk:
    """Images of a class from position `start`, `size` of the CHUNK that are computed together."""

    label: int
    start: int
    size: int


def plan_synthesis(workspace: Workspace, run: GanRun, config: SynthesisConfig) -> Order:
    """Where the best snapshot of a run writes; WorkspaceError where it has none, ConfigError for unknown filters."""
    require_known([name for name, _ in config.reject])
    snapshot, kimg = best_snapshot(run)
    bare = replace(config, counts=(), psi_of=(), truncation="global", reject=())
    variant = "" if bare == config else digest_of({**to_dict(config), "per_class": 0, "psi": 0, "seed": 0})
    target = workspace.synthetic(run.root.name, kimg, config.psi, config.seed, variant)
    return Order(workspace, snapshot, run, config, target)


def enough_for_study(workspace: Workspace, run: GanRun, at_least: int) -> int:
    """Images of each class that a study asks for, one for each real one; `at_least` where the data set is not here."""
    if run.dataset not in workspace.datasets():
        return at_least
    dataset = open_dataset(workspace, run.dataset)
    return max(at_least, dataset.largest_class(run.fold)) if run.fold < dataset.folds.num_folds else at_least


def synthesize_all(
    orders: Sequence[Order],
    *,
    device: str = "cpu",
    batch: int | None = None,
    jobs: int = 1,
    shard: Shard | None = None,
    progress: bool = False,
) -> list[Path]:
    """Carry out orders, each cut into `jobs` shards that run in processes of their own, or one shard of each.

    Returns for each order its file, or what stands for it as long as other shards are missing: the part.
    """
    shards = [[shard] if shard else all_shards(1 if order.config.reject else jobs) for order in orders]
    calls = [(order, share) for order, its in zip(orders, shards) for share in its]
    work = partial(synthesize, device=device, batch=batch, progress=progress)
    names = [f"{order.target.name}, shard {share}" for order, share in calls]
    for _ in run_parallel(work, calls, jobs, names):
        pass
    return [merge(order, its[0].count) or order.path(its[0]) for order, its in zip(orders, shards)]


def all_shards(count: int) -> list[Shard]:
    return [Shard(index, count) for index in range(count)]


def synthesize(
    order: Order,
    shard: Shard = WHOLE,
    *,
    device: str = "cpu",
    batch: int | None = None,
    progress: bool = False,
) -> Path:
    """Write the images of an order, or a shard of them, as HDF5; a file that already holds them is kept.

    `batch` images are computed at a time, by default as many as memory and processors allow; it changes no image.
    Returns the file. A shard for which no image is left writes none.
    """
    if shard.count > 1 and order.config.reject:
        raise ConfigError("a shard of filtered images", expected="no --shard: how far to go is known in order only")
    snapshot = load_snapshot_of(order.run, order.snapshot_path, device)
    chunks = shard.of(planned_chunks(order.config, snapshot.class_names))
    if not chunks:
        return order.path(shard)
    for path in (order.target, order.path(shard)):
        if already_made(path, order.config, snapshot):
            return path
    at_a_time = chunks_at_a_time(snapshot.config.network, device, batch)
    sampler = Sampler(snapshot, order.config, device)
    attrs = described(order, snapshot)
    if order.config.reject:
        rows = screened_rows(order, snapshot, sampler, attrs, at_a_time, progress=progress)
    else:
        rows = drawn_rows(sampler, chunks, at_a_time)
    total = sum(chunk.size for chunk in chunks)
    name = f"fold {order.run.fold}" + (f", shard {shard}" if shard.count > 1 else "")
    with tqdm(total=total, unit="img", desc=name, disable=not progress or None) as bar:
        try:
            write_rows(order.path(shard), counted(rows, bar), snapshot.provenance, snapshot.class_names, attrs)
        except UserError:
            if shard.count == 1 or not already_made(order.target, order.config, snapshot):
                raise
            return order.target  # an equal run has put its parts together meanwhile, and removed ours
    return order.path(shard)


def already_made(path: Path, config: SynthesisConfig, snapshot: Snapshot) -> bool:
    """Whether a file was made by this very generator with these very options, and is whole."""
    if not path.exists():
        return False
    try:
        table = read_table(path)
        record = stored_record(path, table)
    except UserError:
        return False
    same_options = digest_of(table.attrs.get("synthesis")) == digest_of(to_dict(config))
    return record.generator == snapshot.provenance.generator and same_options


def planned_chunks(config: SynthesisConfig, class_names: Sequence[str]) -> list[Chunk]:
    """What is drawn where nothing is filtered, class by class; ConfigError where it is nothing at all."""
    counts = by_class(config.per_class, config.counts, class_names)
    if not any(counts):
        raise ConfigError("no image of any class", expected="at least one image")
    return [
        Chunk(label, start, min(CHUNK, count - start))
        for label, count in enumerate(counts)
        for start in range(0, count, CHUNK)
    ]


def described(order: Order, snapshot: Snapshot) -> dict[str, Any]:
    """The attrs of the file of an order."""
    return {
        "generator": order.run.root.name,
        "snapshot": order.snapshot_path.name,
        "resolution_px": snapshot.config.network.resolution_px,
        "synthesis": to_dict(order.config),
        "psi": order.config.psi,
        "kimg": snapshot.provenance.kimg,
    }


def drawn_rows(sampler: Sampler, chunks: Sequence[Chunk], at_a_time: int) -> Iterator[Rows]:
    """The images of chunks, in their order; they are hashed where they are drawn."""

    def draw(chunk: Chunk) -> Rows:
        images = sampler.chunk(chunk.label, chunk.start)[: chunk.size]
        return rows_of(images, chunk.label, chunk.start + np.arange(chunk.size))

    return side_by_side(draw, chunks, at_a_time)


def screened_rows(
    order: Order, snapshot: Snapshot, sampler: Sampler, attrs: dict[str, Any], at_a_time: int, *, progress: bool
) -> Iterator[Rows]:
    """Images that pass the filters; `attrs` gets the records of the filters, and how many images each let pass."""
    config, fold = order.config, order.run.fold
    dataset = open_dataset(order.workspace, order.run.dataset)
    require_serves(dataset, fold, snapshot.provenance, order.snapshot_path)
    setting = Setting(dataset, fold, order.run, sampler.device, progress)
    filters = fit_filters(config.reject, setting)
    attrs["filters"] = {
        name: {
            "value": value,
            **filters[name].facts,
            "provenance": record_of(name, value, filters[name], setting).to_dict(),
        }
        for name, value in config.reject
    }
    screening = Screening(sampler, filters, snapshot.class_names)
    attrs["acceptance"] = screening.counts
    return screening.rows(by_class(config.per_class, config.counts, snapshot.class_names), at_a_time)


def counted(rows: Iterator[Rows], bar: "tqdm[Any]") -> Iterator[Rows]:
    for some in rows:
        yield some
        bar.update(len(some))


# ---- parts -----------------------------------------------------------------------------------------------------------


def merge(order: Order, count: int) -> Path | None:
    """Put the parts of `count` shards together and remove them; None as long as one is missing.

    The content is that of the unsharded file. Shards that end at the same time, and equal runs, may do so at the same
    time: each writes the whole file, and whoever finds its parts gone finds the file there.
    """
    if count == 1:
        return order.target
    snapshot = load_snapshot_of(order.run, order.snapshot_path)
    chunks = planned_chunks(order.config, snapshot.class_names)
    if not already_made(order.target, order.config, snapshot):
        if missing_shards(order, snapshot, count) and not already_made(order.target, order.config, snapshot):
            return None
        rows = chain.from_iterable(stored_rows(order.path(shard)) for shard in all_shards(count) if shard.of(chunks))
        try:
            write_rows(order.target, rows, snapshot.provenance, snapshot.class_names, described(order, snapshot))
        except (UserError, OSError):  # a part that has gone, from before or after it was opened
            if not already_made(order.target, order.config, snapshot):
                raise
    with suppress(OSError):  # what another process is writing there stays: it is its own to put away
        for path in order.workspace.parts(order.target):
            path.unlink(missing_ok=True)
        os.rmdir(order.path(Shard(0, count)).parent)
        os.rmdir(order.target.parent / "parts")
    return order.target


def merge_parts(order: Order) -> Path:
    """Put the parts that are there together; WorkspaceError names what is missing, torn or of other options."""
    counts = sorted({int(path.stem.rpartition("-")[2]) for path in order.workspace.parts(order.target)})
    for count in counts:
        if merged := merge(order, count):
            return merged
    snapshot = load_snapshot_of(order.run, order.snapshot_path)
    if already_made(order.target, order.config, snapshot):  # another process has put them together
        return order.target
    if not counts:
        raise WorkspaceError(f"there are no parts of {order.target.name}", todo="make them with --shard 0/N, 1/N, …")
    lacking = [str(shard) for shard in missing_shards(order, snapshot, counts[-1])]
    raise WorkspaceError(
        f"{len(lacking)} of {counts[-1]} parts of {order.target.name} are missing, torn or made with other options",
        expected=f"the parts {', '.join(lacking)}",
        todo=f"run the same command with --shard {lacking[0]}",
    )


def missing_shards(order: Order, snapshot: Snapshot, count: int) -> list[Shard]:
    """The shards whose parts are not there, torn or made otherwise."""
    chunks = planned_chunks(order.config, snapshot.class_names)
    return [
        shard
        for shard in all_shards(count)
        if shard.of(chunks) and not already_made(order.path(shard), order.config, snapshot)
    ]


# ---- cost ------------------------------------------------------------------------------------------------------------


def estimate(order: Order, *, device: str = "cpu", batch: int | None = None) -> dict[str, Any]:
    """What an order makes and costs, from timing one chunk; of filters neither time nor dropped images are known."""
    snapshot = load_snapshot_of(order.run, order.snapshot_path, device)
    chunks = planned_chunks(order.config, snapshot.class_names)
    sampler = Sampler(snapshot, order.config, device)
    with one_thread():
        sampler.chunk(0, 0)
        started = time.perf_counter()
        sampler.chunk(0, 0)
        seconds = time.perf_counter() - started
    at_a_time = chunks_at_a_time(snapshot.config.network, device, batch)
    counts = by_class(order.config.per_class, order.config.counts, snapshot.class_names)
    return {
        "file": str(order.target),
        "counts": dict(zip(snapshot.class_names, counts)),
        "psi": dict(zip(snapshot.class_names, sampler.psi)),
        "batch": at_a_time * CHUNK,
        "seconds": seconds * len(chunks) / min(at_a_time, len(chunks)),
        "bytes": sum(counts) * (3 * snapshot.config.network.resolution_px**2 + BYTES_BESIDE_PIXELS),
    }
