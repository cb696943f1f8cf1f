"""The rate of extracting features from a file, compared with the bare network on a batch that is ready.

    python scripts/bench_extraction.py --weights-dir WEIGHTS [--images BreaKHis_v1] [--out results/extraction-cpu.json]

Four contenders take turns over the same images, 16 at a time: `network`, the layers alone on one normalised batch;
`embed`, the extractor on one batch of pixels in memory; `features`, which reads the images from an HDF5 file; and
`features_of`, which also writes what it extracts into the workspace. The goal is that the last two reach 0.95 of the
network's rate. The wall clock is that of a user; the CPU clock counts the thread that reads as well, and holds where
other processes disturb. The images are of the side that the networks work at, so that no contender resizes.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from bench import common
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from classifiers.models.efficientnet_lite import EfficientNetLite
from classifiers.samples import read_batch
from ganaug.config import Compute
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.schema import ImageReader, ImageTable, open_reader
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.evaluate.features import features_of
from ganaug.provenance import digest_of
from ganaug.weights import find_weights, read_weights
from ganaug.workspace import Workspace, open_workspace

SIDE_PX, BATCH = 224, 16
GOAL = 0.95  # of the network's rate
NAMES = ("efficientnet_lite0", "squeezenet")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Network = Callable[[Tensor], Tensor]


def read_images(folder: Path | None, num_images: int) -> NDArray[np.uint8]:
    """Images u8 [N,224,224,3] out of a folder, spread over it, or drawn."""
    if folder is None:
        return np.random.default_rng(0).integers(0, 256, (num_images, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    files = sorted(folder.rglob("*.png"))
    if len(files) < num_images:
        raise click.BadParameter(f"{folder} holds {len(files)} PNG files; expected {num_images} or more")
    chosen = [files[position] for position in np.linspace(0, len(files) - 1, num_images).astype(int).tolist()]
    return np.stack([np.asarray(Image.open(file).convert("RGB").resize((SIDE_PX, SIDE_PX))) for file in chosen])


def write_file(workspace: Workspace, images: NDArray[np.uint8]) -> ImageReader:
    names = np.array([f"image{index}" for index in range(len(images))])
    zeros = np.zeros(len(images), np.int64)
    table = ImageTable(
        class_names=("all",),
        label=zeros,
        image_id=names,
        group_id=names,
        path=names,
        sha256=np.array([digest_of(name) for name in names.tolist()]),
        magnification=zeros,
        um_per_px=np.full(len(images), np.nan),
        site_id=np.full(len(images), ""),
        phash=zeros.astype(np.uint64),
        attrs={"resolution_px": SIDE_PX, "source": "bench", "licence": "none"},
    )
    with writing_images(workspace.dataset("bench"), SIDE_PX) as writer:
        writer.append(images)
        table = writer.finish(table)
    return open_reader(workspace.dataset("bench"), table)


def bare_network(name: str, weights_dir: Path | None) -> Network:
    """The layers that the extractor runs, float [n,3,224,224] to [n,D]."""
    state = read_weights(find_weights(weights_dir, name))
    if name == "squeezenet":
        from torchvision.models import squeezenet1_0

        net = squeezenet1_0(weights=None)
        net.load_state_dict(state)
        stage = net.features.to(memory_format=torch.channels_last).eval()
        return lambda x: stage(x).mean((2, 3))
    lite = EfficientNetLite(f"tf_{name}", num_classes=2, image_size_px=SIDE_PX)
    lite.body.load_state_dict(lite.translate(state))
    body: Network = lite.body.to(memory_format=torch.channels_last).eval()
    return body


def turns_of(
    workspace: Workspace, reader: ImageReader, extractor: Extractor, network: Network, clock: str
) -> dict[str, Callable[[], float]]:
    """What takes turns, by name; each returns its seconds for all images."""
    pixels = read_batch(reader, np.arange(BATCH), "cpu")
    ready = torch.randn(BATCH, 3, SIDE_PX, SIDE_PX).contiguous(memory_format=torch.channels_last)
    rounds, numbers = range(len(reader) // BATCH), count()

    def repeat(function: Network, batch: Tensor) -> None:
        with torch.inference_mode():
            for _ in rounds:
                function(batch)

    def extract_and_store() -> None:
        features_of(workspace, reader, replace(extractor, digest=digest_of(next(numbers))))

    def timed(work: Callable[[], object]) -> Callable[[], float]:
        def turn() -> float:
            started = CLOCKS[clock]()
            work()
            return CLOCKS[clock]() - started

        return turn

    return {
        "network": timed(lambda: repeat(network, ready)),
        "embed": timed(lambda: repeat(extractor.embed, pixels)),
        "features": timed(lambda: extractor.features(reader, batch=BATCH)),
        "features_of": timed(extract_and_store),
    }


def measure(
    name: str, images: NDArray[np.uint8], weights_dir: Path | None, seconds: float, clock: str
) -> dict[str, Any]:
    """The rates of one extractor, and their ratios to the network's."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(folder)
        reader = write_file(workspace, images)
        extractor = open_extractor(name, ExtractorInputs(compute=Compute(weights_dir=weights_dir)))
        turns = turns_of(workspace, reader, extractor, bare_network(name, weights_dir), clock)
        times = common.take_turns(turns, seconds)
    rates = {turn: len(images) / taken for turn, taken in times.items()}
    ratios = {turn: rate / rates["network"] for turn, rate in rates.items() if turn != "network"}
    return {"extractor": name, "clock": clock, "images_per_second": rates, "ratio_to_network": ratios}


@click.command()
@click.option("--weights-dir", type=click.Path(path_type=Path, exists=True), help="Folder of pretrained weights")
@click.option(
    "--images", "folder", type=click.Path(path_type=Path, exists=True), help="Folder of PNG files; else drawn"
)
@click.option("--number", "num_images", default=8 * BATCH, show_default=True, help="Images, a multiple of 16")
@click.option("--extractor", "names", multiple=True, type=click.Choice(NAMES), default=NAMES, show_default=True)
@click.option("--threads", "num_threads", default=1, show_default=True, help="Of PyTorch")
@click.option("--seconds", default=60.0, show_default=True, help="Per extractor and clock")
@click.option("--clock", "clocks", multiple=True, type=click.Choice(list(CLOCKS)), default=CLOCKS, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(
    weights_dir: Path | None,
    folder: Path | None,
    num_images: int,
    names: tuple[str, ...],
    num_threads: int,
    seconds: float,
    clocks: tuple[str, ...],
    out: Path | None,
) -> None:
    """Compare extraction with the bare network."""
    common.set_allocator("tuned")
    torch.set_num_threads(num_threads)
    images = read_images(folder, num_images)
    rows = [measure(name, images, weights_dir, seconds, clock) for name in names for clock in clocks]
    header = ["extractor", "clock", "network, images per s", "embed", "features", "features_of"]
    cells = [
        [
            row["extractor"],
            row["clock"],
            f"{row['images_per_second']['network']:.1f}",
            *(f"{ratio:.3f}" for ratio in row["ratio_to_network"].values()),
        ]
        for row in rows
    ]
    print(common.markdown_table(header, cells))
    if out:
        about = {"goal_ratio": GOAL, "images": num_images, "side_px": SIDE_PX, "batch": BATCH}
        common.write_json(out, {"machine": common.describe_machine("cpu", "tuned"), **about, "rows": rows})


if __name__ == "__main__":
    main()
