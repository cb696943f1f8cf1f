"""Time and memory of the metrics, on features of the sizes that they are used at.

    python scripts/bench_metrics.py [--quick] [--part frechet] [--part kernel] [--out scripts/results/metrics-cpu.json]

The Fréchet distance takes turns with the two routes that others take: the eigenvalues of the product of the covariances
(torch-fidelity 0.4, its own functions) and the square root of that product (scipy). At N = 400 each route goes from
features to distance. At N = 50,000 the moments are at hand, as they are where features arrive in blocks, and each route
goes from them to the distance; what all have to do before that, a pass over the features, is timed on its own.

Then each metric runs once at N = 50,000 in a process of its own, whose peak of resident memory is read at its end:
Python, its imports and the features of both sides (1.6 GB) are in it.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
import scipy.linalg
import torch
from bench import common
from threadpoolctl import threadpool_limits
from torch_fidelity import metric_fid

from ganaug.evaluate.metrics.checks import tiles
from ganaug.evaluate.metrics.frechet import frechet_distance, frechet_distance_of_moments
from ganaug.evaluate.metrics.metric import Features
from ganaug.evaluate.metrics.moments import Moments, moments_of
from ganaug.evaluate.metrics.neighbours import compare_neighbours
from ganaug.evaluate.metrics.registry import METRICS

NUM_FEATURES = 2048  # of Inception
NUM_LATENTS = 200
NUM_ROUNDS = 3  # of the routes in turns; a matrix root takes ten seconds and more
FEW, MANY, QUICK_MANY = 400, 50_000, 5_000
GOALS = {FEW: 50, MANY: 5}  # times faster; at many, the eigenvalues alone of our route take a third of theirs
GOAL_GIB = 4
ROUTES_HEADER = ["images", "ours", "eigenvalues", "matrix root", "faster than eigenvalues", "than the root"]
ROUTES = "routes"  # the part that compares routes to a Fréchet distance; the others are single metrics
PARTS = (ROUTES, "kernel", "frechet", "precision-and-recall", "vendi", "mind")


def draw_features(num: int, seed: int) -> Features:
    """Features [num,D] that are mixed of latents, so that they are correlated as a network's are."""
    mixing = np.random.default_rng(99).normal(size=(NUM_LATENTS, NUM_FEATURES))
    rng, features = np.random.default_rng(seed), np.empty((num, NUM_FEATURES))
    mixing += 0.1 * rng.normal(size=mixing.shape)  # the two sides differ a little
    mixing /= np.sqrt(np.arange(1, NUM_LATENTS + 1))[:, None]
    for rows in tiles(num):
        shape = rows.stop - rows.start, NUM_FEATURES
        features[rows] = rng.normal(size=(shape[0], NUM_LATENTS)) @ mixing + 0.3 * rng.normal(size=shape) + 1
    return features


def by_eigenvalues(x: Moments, y: Moments) -> float:
    """torch-fidelity's distance of two moments."""
    sides = [{"mu": side.mean, "sigma": side.covariance} for side in (x, y)]
    return float(metric_fid.fid_statistics_to_metric(*sides, verbose=False)["frechet_inception_distance"])


def by_matrix_root(x: Moments, y: Moments) -> float:
    """The formula as it is written, through scipy's root of a matrix."""
    gap = x.mean - y.mean
    root = np.real(scipy.linalg.sqrtm(x.covariance @ y.covariance))
    return float(gap @ gap + np.trace(x.covariance + y.covariance - 2 * root))


def compare_frechet(num: int) -> dict[str, Any]:
    """The three routes in turns."""
    x, y = (draw_features(num, seed) for seed in (1, 2))
    routes: dict[str, Callable[[], float]]
    row: dict[str, Any] = {"images": num}
    if num <= NUM_FEATURES:
        row["from"] = "features"
        routes = {
            "ours": lambda: frechet_distance(x, y),
            "eigenvalues": lambda: by_eigenvalues(moments_of(x), moments_of(y)),
            "matrix root": lambda: by_matrix_root(moments_of(x), moments_of(y)),
        }
    else:
        started = time.perf_counter()
        sides = moments_of(x), moments_of(y)
        row |= {"from": "moments", "seconds_of_the_pass_over_both_sides": time.perf_counter() - started}
        routes = {
            "ours": lambda: frechet_distance_of_moments(*sides),
            "eigenvalues": lambda: by_eigenvalues(*sides),
            "matrix root": lambda: by_matrix_root(*sides),
        }
    values: dict[str, float] = {}
    times: dict[str, list[float]] = {name: [] for name in routes}
    for _ in range(NUM_ROUNDS):  # in turns, so that the ratios hold on a busy machine
        for name, route in routes.items():
            started = time.perf_counter()
            values[name] = route()
            times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    peers = {name: value for name, value in medians.items() if name != "ours"}
    return row | {
        "seconds": medians,
        "times_faster_than": {name: value / medians["ours"] for name, value in peers.items()},
        "relative_difference": {name: abs(values[name] / values["ours"] - 1) for name in peers},
    }


def run_large(name: str, num: int) -> dict[str, Any]:
    """One metric once, in this process, with the peak of its memory."""
    real, synthetic = draw_features(num, 1), draw_features(num, 2)
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    value: float | tuple[float, float]
    if name == "precision-and-recall":
        found = compare_neighbours(real, synthetic)
        value = found.precision, found.recall
    else:
        value = METRICS[name].compute(real, synthetic, rng).value
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"metric": name, "images": num, "seconds": seconds, "peak_gib": peak / 2**30, "value": value}


def in_a_process_of_its_own(name: str, num: int, num_threads: int) -> dict[str, Any]:
    limit = partial(threadpool_limits, num_threads)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=limit) as pool:
        return pool.submit(run_large, name, num).result()


@click.command()
@click.option("--quick", is_flag=True, help=f"{QUICK_MANY:,} images in place of {MANY:,}")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS, show_default=True)
@click.option("--threads", "num_threads", default=1, show_default=True, help="Of BLAS")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(quick: bool, parts: tuple[str, ...], num_threads: int, out: Path | None) -> None:
    """Compare the routes to a Fréchet distance, then run each metric on many images; parts add to the file's others."""
    many = QUICK_MANY if quick else MANY
    figures: dict[str, Any] = json.loads(out.read_text()) if out and out.exists() else {"routes": [], "large": []}
    torch.set_num_threads(num_threads)
    if ROUTES in parts:
        with threadpool_limits(num_threads):
            figures["routes"] = [compare_frechet(num) for num in (FEW, many)]
    large = {row["metric"]: row for row in figures["large"]}
    large |= {name: in_a_process_of_its_own(name, many, num_threads) for name in parts if name != ROUTES}
    figures["large"] = [large[name] for name in PARTS if name in large]
    print(common.markdown_table(ROUTES_HEADER, [routes_cells(row) for row in figures["routes"]]))
    cells = [
        [row["metric"], f"{row['images']:,}", f"{row['seconds']:,.0f}", f"{row['peak_gib']:.2f}"]
        for row in figures["large"]
    ]
    print(common.markdown_table(["metric", "images per side", "seconds", f"peak GiB, goal {GOAL_GIB}"], cells))
    if out:
        goals = {f"times_faster_at_{num}": factor for num, factor in GOALS.items()} | {"peak_gib": GOAL_GIB}
        common.write_json(out, figures | {"machine": common.describe_machine("cpu", "default"), "goals": goals})


def routes_cells(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['images']:,}, from {row['from']}",
        *(f"{1e3 * row['seconds'][name]:,.0f} ms" for name in ("ours", "eigenvalues", "matrix root")),
        *(f"{row['times_faster_than'][name]:.1f} ×" for name in ("eigenvalues", "matrix root")),
    ]


if __name__ == "__main__":
    main()
