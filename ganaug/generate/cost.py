"""The cost of a synthesis, estimated from the time of one chunk."""

import time
from dataclasses import dataclass

from ganaug.checkpoint.snapshot import load_snapshot_of
from ganaug.generate.sampler import CHUNK, Sampler, chunks_at_a_time, one_thread, values_per_class
from ganaug.generate.synthesize import SynthesisPlan, plan_chunks

BYTES_PER_ROW = 500  # of what the file holds of an image in addition to its pixels


@dataclass(frozen=True)
class SynthesisCost:
    """What a plan makes and costs; of filters neither the time nor the dropped images are known."""

    file: str
    counts: dict[str, int]  # images of each class
    psi: dict[str, float]  # truncation of each class
    batch: int  # images computed at a time
    seconds: float
    bytes: int


def estimate_cost(plan: SynthesisPlan, *, device: str = "cpu", batch: int | None = None) -> SynthesisCost:
    """Time one chunk on the device, and compute the cost of all; writes nothing."""
    snapshot = load_snapshot_of(plan.run, plan.snapshot_path, device)
    num_chunks = len(plan_chunks(plan.config, snapshot.class_names))
    sampler = Sampler(snapshot, plan.config, device)
    with one_thread():
        sampler.chunk(0, 0)
        started = time.perf_counter()
        sampler.chunk(0, 0)
        seconds = time.perf_counter() - started
    at_a_time = chunks_at_a_time(snapshot.config.network, device, batch)
    counts = values_per_class(plan.config.per_class, plan.config.counts, snapshot.class_names)
    return SynthesisCost(
        file=str(plan.target),
        counts=dict(zip(snapshot.class_names, counts, strict=True)),
        psi=dict(zip(snapshot.class_names, sampler.psi, strict=True)),
        batch=at_a_time * CHUNK,
        seconds=seconds * num_chunks / min(at_a_time, num_chunks),
        bytes=sum(counts) * (3 * snapshot.config.network.resolution_px**2 + BYTES_PER_ROW),
    )
