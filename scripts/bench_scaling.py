"""The speed-up of training by two processes on twice the cores: torchrun, gloo, the batch divided.

    python scripts/bench_scaling.py [--cores 4] [--out scripts/results/scaling-cpu.json]

One process on half of the cores and two on all of them take turns; each is pinned to cores of its own.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import click
from bench import common

WORKER = """
import json, os, sys, time
import torch
from ganaug.parallel.processes import tune_allocator
tune_allocator()
cores, iterations, resolution = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
mine = cores[int(os.environ.get("LOCAL_RANK", 0))]
os.sched_setaffinity(0, mine)
torch.set_num_threads(len(mine))
from ganaug.config import GanConfig, NetworkConfig
from ganaug.train.distributed.process_group import join_process_group
from ganaug.train.phases import train_iteration
from ganaug.train.state import new_state, make_random
network = NetworkConfig(resolution, 4, channel_base=8192, channel_max=256)
config = GanConfig(network, total_kimg=1, batch=16)
with join_process_group("cpu") as processes:
    trainer = new_state(config, processes).trainer
    share = config.batch // processes.size
    img, c = torch.randn(share, 3, resolution, resolution), torch.eye(4)[torch.arange(share) % 4]
    times = []
    for iteration in range(iterations + 1):
        started = time.perf_counter()
        train_iteration(trainer, img, c, iteration, make_random(config, iteration, processes))
        processes.any(False)
        times.append(time.perf_counter() - started)
    if processes.is_main:
        print(json.dumps(times[1:]))
"""


def train(groups: list[list[int]], iterations: int, resolution: int) -> list[float]:
    """Seconds of each iteration of as many processes as there are groups of cores."""
    program = [sys.executable, "-c", WORKER, json.dumps(groups), str(iterations), str(resolution)]
    if len(groups) > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={len(groups)}", "--no-python"]
        program = [sys.executable, *launcher, *program]
    finished = subprocess.run(
        program, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    times: list[float] = json.loads(finished.stdout.splitlines()[-1])
    return times


@click.command()
@click.option("--cores", default=4, show_default=True, help="Of the two processes together")
@click.option("--resolution", default=64, show_default=True, help="In px")
@click.option("--rounds", default=3, show_default=True)
@click.option("--iterations", default=4, show_default=True, help="Of each turn, an even number of penalties apart")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(cores: int, resolution: int, rounds: int, iterations: int, out: Path | None) -> None:
    """Measure one process against two."""
    every = sorted(os.sched_getaffinity(0))[:cores]
    half = len(every) // 2
    variants = {"one": [every[:half]], "two": [every[:half], every[half:]]}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, groups in variants.items():
            times[name].append(statistics.mean(train(groups, iterations, resolution)))
    single, double = (statistics.median(times[name]) for name in variants)
    print(
        f"per iteration: one process on {half} cores {single:.2f} s, two on {2 * half} cores {double:.2f} s: "
        f"{single / double:.2f}×"
    )
    if out:
        machine = common.describe_machine("cpu", "tuned")
        common.write_json(
            out, {"machine": machine, "resolution_px": resolution, "seconds": times, "speedup": single / double}
        )


if __name__ == "__main__":
    main()
