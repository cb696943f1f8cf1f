"""Synthesis in shards: processes that share the work of a plan, and parts that add up to the file of one process."""

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path

from ganaug.checkpoint.snapshot import Snapshot, load_snapshot_of
from ganaug.config import CPU, Compute
from ganaug.data.synthetic_file import read_rows, write_rows
from ganaug.errors import UserError, WorkspaceError
from ganaug.generate.synthesize import SynthesisPlan, file_attrs, is_made, plan_chunks, synthesize
from ganaug.parallel.processes import run_parallel
from ganaug.parallel.shards import Shard


def synthesize_all(
    plans: Sequence[SynthesisPlan], *, compute: Compute = CPU, batch: int | None = None, shard: Shard | None = None
) -> list[Path]:
    """Carry out plans, each cut into `compute.num_workers` shards that run in processes of their own, or one `shard`.

    Without a number of workers one process makes all, on as many threads as there are. Returns for each plan its file,
    or as long as other shards are missing: the part.
    """
    num_workers = compute.num_workers or 1
    shards = [[shard] if shard else all_shards(1 if plan.config.reject else num_workers) for plan in plans]
    calls = [(plan, each) for plan, of_plan in zip(plans, shards, strict=True) for each in of_plan]
    names = [f"{plan.target.name}, shard {each}" for plan, each in calls]
    for _ in run_parallel(partial(synthesize, compute=compute, batch=batch), calls, num_workers, names):
        pass
    return [merge(plan, of_plan[0].count) or plan.path(of_plan[0]) for plan, of_plan in zip(plans, shards, strict=True)]


def all_shards(count: int) -> list[Shard]:
    """Every shard of `count`."""
    return [Shard(index, count) for index in range(count)]


def merge(plan: SynthesisPlan, count: int) -> Path | None:
    """Merge the parts of `count` shards and remove them; None as long as one is missing.

    The content is that of the unsharded file. Shards that end at the same time, and equal runs, may merge at the same
    time: each writes the whole file, and a process that finds its parts gone finds the file there.
    """
    if count == 1:
        return plan.target
    snapshot = load_snapshot_of(plan.run, plan.snapshot_path)
    chunks = plan_chunks(plan.config, snapshot.class_names)
    if not is_made(plan.target, plan.config, snapshot):
        if missing_shards(plan, snapshot, count) and not is_made(plan.target, plan.config, snapshot):
            return None
        rows = chain.from_iterable(read_rows(plan.path(shard)) for shard in all_shards(count) if shard.of(chunks))
        try:
            write_rows(plan.target, rows, snapshot.provenance, snapshot.class_names, file_attrs(plan, snapshot))
        except (UserError, OSError):  # a part has gone, before or after it was opened
            if not is_made(plan.target, plan.config, snapshot):
                raise
    with suppress(OSError):  # what another process is writing there stays: that process removes it
        for path in plan.workspace.parts(plan.target):
            path.unlink(missing_ok=True)
        os.rmdir(plan.path(Shard(0, count)).parent)
        os.rmdir(plan.target.parent / "parts")
    return plan.target


def merge_parts(plan: SynthesisPlan) -> Path:
    """Merge the parts that are there; WorkspaceError names those missing, corrupt or made with other options."""
    counts = sorted({int(path.stem.rpartition("-")[2]) for path in plan.workspace.parts(plan.target)})
    for count in counts:
        if merged := merge(plan, count):
            return merged
    snapshot = load_snapshot_of(plan.run, plan.snapshot_path)
    if is_made(plan.target, plan.config, snapshot):  # another process has merged them
        return plan.target
    if not counts:
        raise WorkspaceError(f"there are no parts of {plan.target.name}", todo="make them with --shard 0/N, 1/N, …")
    lacking = [str(shard) for shard in missing_shards(plan, snapshot, counts[-1])]
    raise WorkspaceError(
        f"{len(lacking)} of {counts[-1]} parts of {plan.target.name} are missing, corrupt or made with other options",
        expected=f"the parts {', '.join(lacking)}",
        todo=f"run the same command with --shard {lacking[0]}",
    )


def missing_shards(plan: SynthesisPlan, snapshot: Snapshot, count: int) -> list[Shard]:
    """The shards whose parts are missing, corrupt or made with other options."""
    chunks = plan_chunks(plan.config, snapshot.class_names)
    return [
        shard
        for shard in all_shards(count)
        if shard.of(chunks) and not is_made(plan.path(shard), plan.config, snapshot)
    ]
