"""Tools of the benchmarks: contenders measured in turns, the machine's description, tables and files."""

import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

WARM_UPS = 2
MIN_ROUNDS, MAX_ROUNDS = 5, 100
SLEEP_CYCLES = 10_000_000  # about 5 ms on a GPU
CACHE_BYTES = 256 * 2**20  # more than any GPU's L2


def take_turns(turns: Mapping[str, Callable[[], float]], seconds: float) -> dict[str, float]:
    """Median of what each contender's turn returns, over rounds A B C A B C … that take about `seconds` together.

    Contenders that take turns share whatever else the machine does meanwhile, so their ratios hold on a busy one too.
    """
    started = time.perf_counter()
    for _ in range(WARM_UPS):
        started = time.perf_counter()
        for turn in turns.values():
            turn()
    num_rounds = int(seconds / (time.perf_counter() - started))
    results: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(min(max(num_rounds, MIN_ROUNDS), MAX_ROUNDS)):
        for name, turn in turns.items():
            results[name].append(turn())
    return {name: statistics.median(times) for name, times in results.items()}


def wall_ms(work: Callable[[], object], device: str) -> float:
    """Milliseconds from the call to the end of all work that it started."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return 1e3 * (time.perf_counter() - started)


def kernel_ms(work: Callable[[], object], device: str) -> float:
    """Milliseconds of the device's own work; on the CPU the whole call."""
    if device == "cpu":
        return wall_ms(work, device)
    make_event: Callable[..., Any] = torch.cuda.Event
    sleep: Callable[[int], None] = torch.cuda._sleep
    start, end = make_event(enable_timing=True), make_event(enable_timing=True)
    _cache_filler().zero_()  # operands come from memory, as they do in a network
    sleep(SLEEP_CYCLES)  # the host queues all before the clock starts
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


@cache
def _cache_filler() -> Tensor:
    return torch.empty(CACHE_BYTES, dtype=torch.uint8, device="cuda")


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def find_peer(folder: Path) -> None:
    """Let `call_peer` import from `folder`, a copy of NVlabs/stylegan2-ada-pytorch."""
    sys.path.append(str(folder))
    if "requests" not in sys.modules and importlib.util.find_spec("requests") is None:  # imported for downloads only
        sys.modules["requests"] = ModuleType("requests")


def call_peer(name: str, *arguments: Any, impl: None = None, **options: Any) -> Tensor:
    """Call the peer's operator of that name, in the implementation that it chooses."""
    module = importlib.import_module(f"torch_utils.ops.{name}")
    result: Tensor = getattr(module, name)(*arguments, **options)
    return result


def set_allocator(allocator: str) -> None:
    """Use the allocator of training for 'tuned'; 'default' leaves the C library's."""
    from ganaug.parallel.processes import tune_allocator

    if allocator == "tuned" and not tune_allocator():
        raise SystemExit("the allocator cannot be tuned on this system; pass --allocator default")


def describe_machine(device: str, allocator: str) -> dict[str, Any]:
    machine: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "allocator": allocator,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device == "cuda":
        machine |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return machine


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_json(path: Path, figures: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
