"""The operators' effect on training: every phase of an iteration with native operators, references and a peer's.

Each variant runs in a process of its own, with GANAUG_OPS set; they take turns. `bench_ops.py --training` runs it. The
networks are ours in all of them, in the layout that suits the operators.
"""

import multiprocessing
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from tqdm import tqdm

import custom_ops
from bench import common
from ganaug.config import GanConfig, NetworkConfig
from ganaug.train.networks import make_networks, make_optimizers, update_ema
from ganaug.train.phases import Trainer, discriminator_step, generator_step, path_length_step, r1_step

BATCH, NUM_CLASSES = 16, 4
SMALL = {"mapping_layers": 2, "channel_base": 8192, "channel_max": 256}
PHASES = {"Gmain": 1.0, "Greg": 1 / 4, "Dmain": 1.0, "Dreg": 1 / 16, "ema": 1.0}  # how often in an iteration
NUM_PROFILES = 3
OPERATORS = ("bias_act", "upfirdn2d")
RIVALS = ("ref", "peer")
LABEL = "custom_ops."  # of the operators in a profile
BACKWARD_NODE = 1  # the profiler's scope of a node of autograd

_phases: dict[str, Callable[[], object]] = {}  # of this process


def start(impl: str, resolution: int, device: str, allocator: str, peer: Path | None = None) -> None:
    """Make the networks and the phases that `time_phase` and `operators_fraction` run; raises if `impl` cannot."""
    common.set_allocator(allocator)
    if peer:
        common.find_peer(peer)
        for name in OPERATORS:
            rebind(name, getattr(custom_ops, name), partial(common.call_peer, name))
    else:
        custom_ops.bias_act(torch.zeros(1, 1, device=device), impl=impl)
    generator = torch.Generator().manual_seed(0)
    config = GanConfig(NetworkConfig(resolution, NUM_CLASSES, **SMALL), total_kimg=1, batch=BATCH)
    networks = make_networks(config.network, generator)
    for network in (networks.G, networks.D, networks.ema):
        network.to(device)
    pl_mean = torch.zeros([], device=device)
    trainer = Trainer(networks, make_optimizers(networks, config), config, pl_mean=pl_mean)
    img = torch.randn(BATCH, 3, resolution, resolution, generator=generator).to(device)
    c = torch.eye(NUM_CLASSES)[torch.randint(NUM_CLASSES, [BATCH], generator=generator)].to(device)
    random = torch.Generator(device).manual_seed(0)
    _phases["Gmain"] = partial(generator_step, trainer, c, random)
    _phases["Greg"] = partial(path_length_step, trainer, c, random)
    _phases["Dmain"] = partial(discriminator_step, trainer, img, c, random)
    _phases["Dreg"] = partial(r1_step, trainer, img, c)
    _phases["ema"] = partial(update_ema, networks.ema, networks.G, BATCH, 10**6)


def time_phase(phase: str, device: str) -> float:
    return common.wall_ms(_phases[phase], device)


def operators_fraction(phase: str, device: str) -> float:
    """The fraction of a phase's time that passes in the operators, with their derivatives of every order."""
    label_operators()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as profiler, record_function(phase):
        _phases[phase]()
        common.synchronize(device)
    events = list(profiler.events() or [])
    if device == "cuda":
        busy = sum(event.self_device_time_total for event in events if event.device_type == DeviceType.CPU)
        return float(sum(event.device_time_total for event in operator_events(events)) / busy)
    (whole,) = [event.cpu_time_total for event in events if event.name == phase]
    return float(sum(event.cpu_time_total for event in operator_events(events)) / whole)


def label_operators() -> None:
    """Let every caller in the project call the operators under a name that the profiler shows."""
    for name in OPERATORS:
        operator = getattr(custom_ops, name)
        if getattr(operator, "func", None) is not call_labelled:
            rebind(name, operator, partial(call_labelled, LABEL + name, operator))


def rebind(name: str, old: object, new: object) -> None:
    for module_name, module in list(sys.modules.items()):
        if module_name.split(".")[0] in ("ganaug", "custom_ops") and vars(module).get(name) is old:
            setattr(module, name, new)


def call_labelled(label: str, operator: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with record_function(label):
        return operator(*arguments, **options)


def operator_events(events: list[FunctionEvent]) -> Iterator[FunctionEvent]:
    """The labelled calls, what autograd does at the nodes that they made, at the nodes that those made, and so on."""
    nodes = [event for event in events if event.scope == BACKWARD_NODE]
    found = [event for event in events if event.name.startswith(LABEL)]
    while found:
        yield from found
        # A node bears the number of the call that made it; its parent also sums the gradient to the input's shape.
        numbers = {event.sequence_nr for event in descendants(found) if event.sequence_nr >= 0}
        found = [node.cpu_parent or node for node in nodes if node.sequence_nr in numbers]
        nodes = [node for node in nodes if node.sequence_nr not in numbers]


def descendants(events: Iterable[FunctionEvent]) -> Iterator[FunctionEvent]:
    for event in events:
        yield from event.cpu_children
        yield from descendants(event.cpu_children)


def start_variants(
    stack: ExitStack, resolution: int, device: str, allocator: str, peer: Path | None
) -> dict[str, ProcessPoolExecutor]:
    pools = {}
    for impl in ("native", "ref", *(["peer"] if peer else [])):
        os.environ["GANAUG_OPS"] = "native" if impl == "native" else "ref"  # what the new process finds
        pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        try:
            pool.submit(start, impl, resolution, device, allocator, peer if impl == "peer" else None).result()
        except custom_ops.NativeUnavailable as error:
            print(f"- {error}")
        else:
            pools[impl] = pool
    return pools


def bench_resolution(
    resolution: int, device: str, allocator: str, seconds: float, peer: Path | None
) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        pools = start_variants(stack, resolution, device, allocator, peer)
        rows = []
        for phase in tqdm(PHASES, unit="phase", desc=f"{resolution} px"):
            turns = {impl: partial(call, pool, time_phase, phase, device) for impl, pool in pools.items()}
            times = common.take_turns(turns, seconds)
            fractions = {}
            for impl, pool in pools.items():
                fractions[impl] = statistics.median(
                    call(pool, operators_fraction, phase, device) for _ in range(NUM_PROFILES)
                )
            rows.append({"resolution_px": resolution, "phase": phase, "ms": times, "operators_share": fractions})
    return [*rows, sum_iteration(rows)]


def call(pool: ProcessPoolExecutor, function: Callable[..., float], *arguments: Any) -> float:
    return pool.submit(function, *arguments).result()


def sum_iteration(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole iteration: a penalty counts as often as it comes."""
    times, fractions = {}, {}
    for impl in rows[0]["ms"]:
        parts = [(PHASES[row["phase"]] * row["ms"][impl], row["operators_share"][impl]) for row in rows]
        times[impl] = sum(ms for ms, _ in parts)
        fractions[impl] = sum(ms * fraction for ms, fraction in parts) / times[impl]
    return {"resolution_px": rows[0]["resolution_px"], "phase": "iteration", "ms": times, "operators_share": fractions}


def bench_training(
    device: str, resolutions: tuple[int, ...], allocator: str, seconds: float, peer: Path | None
) -> tuple[list[dict[str, Any]], str]:
    """The figures of every phase at every resolution, and a table of them."""
    rows = [row for size in resolutions for row in bench_resolution(size, device, allocator, seconds, peer)]
    impls = [impl for impl in ("native", *RIVALS) if impl in rows[0]["ms"]]
    header = ["px", "phase", *(f"{impl} ms" for impl in impls), *(f"operators' fraction, {impl}" for impl in impls)]
    lines = []
    for row in rows:
        times, fractions = row["ms"], row["operators_share"]
        cells = [f"{times[impl]:.0f} ({times[impl] / times[impls[0]]:.2f}×)" for impl in impls]
        lines.append([str(row["resolution_px"]), row["phase"], *cells, *(f"{fractions[impl]:.1%}" for impl in impls)])
    return rows, common.markdown_table(header, lines)
