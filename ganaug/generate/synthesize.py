"""Synthesis: an averaged generator to a file of synthetic images with provenance, whole or one shard of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ganaug.checkpoint.snapshot import Snapshot, load_snapshot_of
from ganaug.config import CPU, Compute, GanConfig, SynthesisConfig, to_dict
from ganaug.data.dataset import open_dataset
from ganaug.data.schema import read_table
from ganaug.data.synthetic import require_serves
from ganaug.data.synthetic_file import Rows, read_record, rows_of, write_rows
from ganaug.errors import ConfigError, UserError
from ganaug.generate.filters import FilterInputs, Screening, fit_filters, record_of, require_known_filters
from ganaug.generate.sampler import CHUNK, Sampler, best_snapshot, chunks_at_a_time, map_in_threads, values_per_class
from ganaug.parallel.shards import WHOLE, Shard
from ganaug.provenance import digest_of
from ganaug.workspace import GanRun, Workspace


@dataclass(frozen=True)
class SynthesisPlan:
    """What one call makes: which generator, which images, and where they go."""

    workspace: Workspace
    snapshot_path: Path
    run: GanRun
    config: SynthesisConfig
    target: Path

    def path(self, shard: Shard) -> Path:
        """The file that a shard writes: the target where it is the only one."""
        return self.target if shard.count == 1 else self.workspace.part(self.target, shard.index, shard.count)


@dataclass(frozen=True)
class Chunk:
    """Images of a class from position `start`, `size` of the CHUNK that are computed together."""

    label: int
    start: int
    size: int


def plan_synthesis(
    workspace: Workspace, run: GanRun, config: SynthesisConfig, *, for_study: bool = False
) -> SynthesisPlan:
    """The plan of what the best snapshot of a run makes; `for_study` adds images until a study has enough.

    Raises WorkspaceError where the run has no snapshot, ConfigError for unknown filters.
    """
    require_known_filters([name for name, _ in config.reject])
    if for_study:
        config = replace(config, per_class=num_for_study(workspace, run, config.per_class))
    snapshot, kimg = best_snapshot(run)
    bare = replace(config, counts=(), psi_of=(), truncation="global", reject=())
    variant = "" if bare == config else digest_of({**to_dict(config), "per_class": 0, "psi": 0, "seed": 0})
    target = workspace.synthetic(run.root.name, kimg, config.psi, config.seed, variant)
    return SynthesisPlan(workspace, snapshot, run, config, target)


def num_for_study(workspace: Workspace, run: GanRun, at_least: int) -> int:
    """Images per class that a study draws, one for each real one; `at_least` where the data set is not there."""
    if run.dataset not in workspace.datasets():
        return at_least
    dataset = open_dataset(workspace, run.dataset)
    return max(at_least, dataset.largest_class(run.fold)) if run.fold < dataset.folds.num_folds else at_least


def synthesize(plan: SynthesisPlan, shard: Shard = WHOLE, *, compute: Compute = CPU, batch: int | None = None) -> Path:
    """Write the images of a plan, or a shard of them, as HDF5; a file that already holds them stays as it is.

    `batch` images are computed at a time, None: as many as memory and CPU threads allow; it changes no image. Returns
    the file. A shard for which no image is left writes none.
    """
    if shard.count > 1 and plan.config.reject:
        raise ConfigError(
            f"shard {shard} of filtered images",
            expected="all of them in one process, as the filters decide one after the other how many to draw",
            todo="leave out --shard",
        )
    snapshot = load_snapshot_of(plan.run, plan.snapshot_path, compute.device)
    chunks = shard.of(plan_chunks(plan.config, snapshot.class_names))
    if not chunks:
        return plan.path(shard)
    for path in (plan.target, plan.path(shard)):
        if is_made(path, plan.config, snapshot):
            return path
    _require_no_loss(plan, snapshot)
    at_a_time = chunks_at_a_time(snapshot.config.network, compute.device, batch)
    sampler = Sampler(snapshot, plan.config, compute.device)
    attrs = file_attrs(plan, snapshot)
    if plan.config.reject:
        rows = screen_rows(plan, snapshot, sampler, attrs, at_a_time, compute=compute)
    else:
        rows = draw_rows(sampler, chunks, at_a_time)
    total = sum(chunk.size for chunk in chunks)
    name = f"fold {plan.run.fold}" + (f", shard {shard}" if shard.count > 1 else "")
    with tqdm(total=total, unit="img", desc=name, disable=not compute.progress or None) as bar:
        try:
            write_rows(plan.path(shard), show_progress(rows, bar), snapshot.provenance, snapshot.class_names, attrs)
        except UserError:
            if shard.count == 1 or not is_made(plan.target, plan.config, snapshot):
                raise
            return plan.target  # an equal run has merged its parts meanwhile, and removed ours
    return plan.path(shard)


def is_made(path: Path, config: SynthesisConfig, snapshot: Snapshot) -> bool:
    """Whether a file was made by this very generator with these very options, and is whole."""
    if not path.exists():
        return False
    try:
        table = read_table(path)
        record = read_record(path, table)
    except UserError:
        return False
    same_options = digest_of(table.attrs.get("synthesis")) == digest_of(to_dict(config))
    return record.generator == snapshot.provenance.generator and same_options


def _require_no_loss(plan: SynthesisPlan, snapshot: Snapshot) -> None:
    """Raise ConfigError where fewer images would replace those that were made with the same other options."""
    try:
        there = read_table(plan.target).class_counts()
    except UserError:
        return
    asked = values_per_class(plan.config.per_class, plan.config.counts, snapshot.class_names)
    if there.max() > max(asked):
        raise ConfigError(
            f"{plan.target} holds {there.max()} images per class, made with the same options",
            expected=f"at least as many, not {max(asked)}: a study may rest on them",
            todo="ask for as many, choose another --seed, or remove the file",
        )


def plan_chunks(config: SynthesisConfig, class_names: Sequence[str]) -> list[Chunk]:
    """The chunks that are drawn where nothing is filtered, class by class; ConfigError where there is no image."""
    counts = values_per_class(config.per_class, config.counts, class_names)
    if not any(counts):
        raise ConfigError("no image of any class", expected="at least one image")
    return [
        Chunk(label, start, min(CHUNK, count - start))
        for label, count in enumerate(counts)
        for start in range(0, count, CHUNK)
    ]


def file_attrs(plan: SynthesisPlan, snapshot: Snapshot) -> dict[str, Any]:
    """The attributes of the file of a plan, as JSON values."""
    return {
        "generator": plan.run.root.name,
        "snapshot": plan.snapshot_path.name,
        "resolution_px": snapshot.config.network.resolution_px,
        "synthesis": to_dict(plan.config),
        "psi": plan.config.psi,
        "kimg": snapshot.provenance.kimg,
        "real_fraction": real_fraction_of(snapshot),
    }


def real_fraction_of(snapshot: Snapshot) -> float:
    """The fraction of the real images that a generator was trained on."""
    return snapshot.config.real_fraction if isinstance(snapshot.config, GanConfig) else 1.0


def draw_rows(sampler: Sampler, chunks: Sequence[Chunk], at_a_time: int) -> Iterator[Rows]:
    """The images of chunks, in their order; they are hashed where they are drawn."""

    def draw(chunk: Chunk) -> Rows:
        images = sampler.chunk(chunk.label, chunk.start)[: chunk.size]
        return rows_of(images, chunk.label, chunk.start + np.arange(chunk.size))

    return map_in_threads(draw, chunks, at_a_time)


def screen_rows(
    plan: SynthesisPlan,
    snapshot: Snapshot,
    sampler: Sampler,
    attrs: dict[str, Any],
    at_a_time: int,
    *,
    compute: Compute,
) -> Iterator[Rows]:
    """Images that pass the filters; adds to `attrs` the filters' provenance, and how many images each accepted."""
    config, fold = plan.config, plan.run.fold
    dataset = open_dataset(plan.workspace, plan.run.dataset).reduced_to(real_fraction_of(snapshot))
    require_serves(dataset, fold, snapshot.provenance, plan.snapshot_path)
    inputs = FilterInputs(dataset, fold, plan.run, compute)
    filters = fit_filters(config.reject, inputs)
    attrs["filters"] = {
        name: {
            "value": value,
            **filters[name].facts,
            "provenance": record_of(name, value, filters[name], inputs).to_dict(),
        }
        for name, value in config.reject
    }
    screening = Screening(sampler, filters, snapshot.class_names)
    attrs["acceptance"] = screening.counts
    return screening.rows(values_per_class(config.per_class, config.counts, snapshot.class_names), at_a_time)


def show_progress(rows: Iterator[Rows], bar: "tqdm[Any]") -> Iterator[Rows]:
    """The rows, counted on the bar once they are consumed."""
    for batch in rows:
        yield batch
        bar.update(len(batch))
