"""The speed of data: prepare against decoding alone, random batches against ImageFolder, folds, near duplicates.

    python scripts/bench_data.py [--only NAME] [--images 7909] [--out FILE]

Every figure is a ratio or a time taken in one run on one machine; the images are drawn into a temporary folder first.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

CORES = os.cpu_count() or 1
PATIENTS = 82
CLASSES = 8


def draw_png(root: Path, width: int, height: int, index: int) -> None:
    """An image as smooth and as grainy as a stained section; its PNG takes about 450 KB at 700×460."""
    rng = np.random.default_rng(index)
    patient = index % PATIENTS
    coarse = rng.integers(90, 240, (9, 12, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    grain = rng.normal(0, 5, (height, width, 1)).astype(np.float32)
    path = root / f"class{patient % CLASSES}" / f"patient{patient}" / f"{index:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(path, compress_level=4)


def draw_pngs(root: Path, num: int, width: int, height: int) -> list[Path]:
    with ProcessPoolExecutor(CORES) as pool:
        list(pool.map(partial(draw_png, root, width, height), range(num), chunksize=32))
    return sorted(root.rglob("*.png"))


def decode_all(paths: list[Path]) -> int:
    for path in paths:
        with Image.open(path) as image:
            image.convert("RGB").load()
    return len(paths)


def measure_seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bench_prepare(root: Path, num: int) -> dict[str, Any]:
    """`ganaug prepare` of a folder, in a process of its own, against all cores that only decode the same files."""
    paths = draw_pngs(root / "raw", num, 700, 460)
    with ProcessPoolExecutor(CORES) as pool:
        list(pool.map(decode_all, [[path] for path in paths[: 4 * CORES]]))  # workers start, files come into the cache
        parts = [paths[start::CORES] for start in range(CORES)]
        decoding = measure_seconds(lambda: list(pool.map(decode_all, parts)))
    result: dict[str, Any] = {
        "images": num,
        "mean_png_kb": round(np.mean([path.stat().st_size for path in paths]) / 1e3),
        "decode_images_per_s": round(num / decoding),
    }
    for resolution_px in (64, 224):  # the default, and what pretrained classifiers want
        command = ["ganaug", "prepare", "--dataset", "folder", "--source", str(root / "raw"), "--json"]
        command += ["--workspace", str(root / "workspace"), "--resolution", str(resolution_px)]
        preparing = measure_seconds(partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL))
        result[f"at_{resolution_px}_px"] = {
            "prepare_images_per_s": round(num / preparing),
            "ratio_to_decoding": round(decoding / preparing, 3),
        }
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of the largest child, a command itself
    return {**result, "peak_memory_mib": round(peak)}


class PreparedImages:
    """A prepared file as a PyTorch data set that reads a batch at a time."""

    def __init__(self, path: Path) -> None:
        from ganaug.data.schema import ImageReader

        self.reader = ImageReader(path)
        self.length = len(self.reader)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Pixels:
        image: Pixels = self.reader[np.array([index])][0]
        return image

    def __getitems__(self, indices: list[int]) -> list[Pixels]:
        return list(self.reader[np.array(indices)])


def bench_loading(root: Path, num: int) -> dict[str, Any]:
    """Random batches of 64 at 256 px from a prepared file and from torchvision's ImageFolder over PNGs."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import PILToTensor

    from ganaug.config import PrepareConfig
    from ganaug.data.prepare.pipeline import prepare_dataset
    from ganaug.workspace import open_workspace

    draw_pngs(root / "png256", num, 256, 256)
    workspace = open_workspace(root / "workspace256")
    prepared = prepare_dataset(workspace, PrepareConfig("folder", str(root / "png256"), resolution_px=256))
    ours, theirs = PreparedImages(prepared.path), ImageFolder(str(root / "png256"), transform=PILToTensor())

    def rate(dataset: Any, collate: Any, workers: int) -> float:
        order = torch.Generator().manual_seed(0)
        loader = DataLoader(
            dataset,
            64,
            shuffle=True,
            num_workers=workers,
            generator=order,
            collate_fn=collate,
            persistent_workers=workers > 0,
        )
        sum(1 for _ in loader)  # workers start, files come into the cache
        return len(dataset) / measure_seconds(lambda: sum(1 for _ in loader))

    result: dict[str, Any] = {"images": num}
    for workers in (0, CORES):
        stored, folder = rate(ours, stack, workers), rate(theirs, None, workers)
        result[f"workers_{workers}"] = {
            "ours_images_per_s": round(stored),
            "imagefolder_images_per_s": round(folder),
            "ratio": round(stored / folder, 2),
        }
    return result


def stack(images: list[Pixels]) -> Any:
    import torch

    return torch.from_numpy(np.stack(images))


def bench_folds(*_: object) -> dict[str, Any]:
    """Five folds of 1,000,000 images in 10,000 groups."""
    from ganaug.config import FoldsConfig
    from ganaug.data.folds.folds import check_feasible

    rng = np.random.default_rng(0)
    group = rng.integers(0, 10_000, 1_000_000)
    labels = (group % CLASSES + (rng.random(len(group)) < 0.1)) % CLASSES  # most groups hold several classes
    groups = np.char.add("patient", group.astype(str))
    sites = np.full(len(groups), "")
    names = [f"class{index}" for index in range(CLASSES)]
    seconds = measure_seconds(lambda: check_feasible(labels, groups, sites, names, FoldsConfig(5)))
    return {"images": len(groups), "groups": 10_000, "seconds": round(seconds, 2)}


def bench_duplicates(*_: object) -> dict[str, Any]:
    """All pairs of 100,000 perceptual hashes under the eight symmetries."""
    from ganaug.data.copies.hash_search import near_pairs

    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, (100_000, 8), dtype=np.uint64)
    hashes[1, 0] = hashes[0, 3]  # one planted copy, rotated
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: list[NDArray[np.int64]] = []
    seconds = measure_seconds(lambda: found.append(near_pairs(hashes)))
    assert [0, 1] in found[0].tolist()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"images": len(hashes), "seconds": round(seconds, 1), "memory_grown_mib": round(grown), "cores": CORES}


BENCHES: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "prepare": bench_prepare,
    "loading": bench_loading,
    "folds": bench_folds,
    "duplicates": bench_duplicates,
}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(BENCHES)), help="Run only this; may be repeated")
@click.option("--images", default=7909, show_default=True, help="PNGs to draw for prepare and for loading")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(only: tuple[str, ...], images: int, out: Path | None) -> None:
    """Measure how fast data come in."""
    figures: dict[str, Any] = {"machine": f"{platform.machine()}, {CORES} cores", "python": sys.version.split()[0]}
    for name in only or BENCHES:
        with tempfile.TemporaryDirectory(prefix="bench-data-") as root:
            figures[name] = BENCHES[name](Path(root), images)
        print(name, json.dumps(figures[name]), flush=True)
    if out:
        out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
