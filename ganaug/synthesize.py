"""Images from an averaged generator: to the data sets' HDF5 schema with provenance, or to folders of PNGs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ganaug.checkpoint import Snapshot, load_snapshot
from ganaug.config import SynthesisConfig, to_dict
from ganaug.data.phash import phash
from ganaug.data.png import encode_png
from ganaug.data.schema import (
    ImageReader,
    ImageTable,
    content_digest,
    digest_of_pixels,
    fingerprint_of,
    read_table,
    writing_images,
)
from ganaug.errors import UserError, WorkspaceError
from ganaug.model.pixels import one_hot, to_pixels
from ganaug.provenance import digest_of_bytes, read_provenance, require_content
from ganaug.workspace import PROVENANCE_BESIDE_IMAGES, GanRun, Workspace, atomic_path, write_json

CHUNK = 32  # images whose noise is drawn together: part of what a seed means, not of how fast the machine is


@dataclass(frozen=True)
class Order:
    """What one call makes: which generator, how many images, and where they go."""

    snapshot_path: Path
    run: GanRun
    config: SynthesisConfig
    target: Path


def plan_synthesis(workspace: Workspace, run: GanRun, config: SynthesisConfig) -> Order:
    """Find the newest snapshot of a run; raises WorkspaceError where it has none yet."""
    newest = run.newest_ema()
    if newest is None:
        raise WorkspaceError(
            f"the generator {run.root.name} has not finished training",
            todo=f"run `ganaug train-gan --dataset {run.dataset} --fold {run.fold}` again to take it up",
        )
    kimg = int(newest.stem.removeprefix("ema-").removesuffix("kimg"))
    target = workspace.synthetic(run.root.name, kimg, config.psi, config.seed)
    return Order(newest, run, config, target)


def synthesize(order: Order, *, device: str = "cpu", progress: bool = False) -> Path:
    """Write `per_class` images of every class as HDF5; a file that already holds them is kept."""
    snapshot = load_snapshot(order.snapshot_path, device)
    if already_made(order, snapshot):
        return order.target
    labels = planned_labels(order.config, len(snapshot.class_names))
    hashes: list[str] = []
    perceptual: list[int] = []
    bar = tqdm(total=len(labels), unit="img", desc=f"fold {order.run.fold}", disable=not progress or None)
    with bar, writing_images(order.target, snapshot.config.network.resolution_px) as writer:
        for images in generate(snapshot, order.config, device):
            writer.append(images)
            hashes += [digest_of_bytes([image.tobytes()]) for image in images]
            perceptual += [phash(image) for image in images]
            bar.update(len(images))
        table = describe(order, snapshot, labels, hashes, perceptual)
        record = snapshot.provenance.sealed(digest_of_pixels(labels, writer.blocks()))
        writer.finish(table, seeds=positions(order.config, snapshot), attrs={"provenance": record.to_dict()})
    return order.target


def already_made(order: Order, snapshot: Snapshot) -> bool:
    """Whether the target was made by this very generator with these very options, and is whole."""
    if not order.target.exists():
        return False
    try:
        attrs = read_table(order.target).attrs
        record = read_provenance(attrs.get("provenance"), order.target)
        require_content(record, content_digest(order.target), order.target)
    except UserError:
        return False
    return record.generator == snapshot.provenance.generator and attrs.get("synthesis") == to_dict(order.config)


def planned_labels(config: SynthesisConfig, num_classes: int) -> np.ndarray:
    """The class of every image, class by class: i64 [per_class * K]."""
    return np.repeat(np.arange(num_classes), config.per_class)


@torch.no_grad()
def generate(snapshot: Snapshot, config: SynthesisConfig, device: str) -> Iterator[np.ndarray]:
    """Yield u8 [n,H,W,3] in the order of `planned_labels`.

    Latents and noise of a chunk are functions of (seed, position), so neither the batch nor the machine matters to what
    is drawn, and a longer run begins with the same images class by class.
    """
    network = snapshot.config.network
    for label in range(network.num_classes):
        for start in range(0, config.per_class, CHUNK):
            seed = np.random.SeedSequence([config.seed, label, start]).generate_state(1, np.uint64)[0]
            random = torch.Generator(device).manual_seed(int(seed >> np.uint64(1)))
            size = min(CHUNK, config.per_class - start)
            z = torch.randn(CHUNK, network.z_dim, generator=random, device=device)
            c = one_hot(np.full(CHUNK, label), network.num_classes, device)
            yield to_pixels(snapshot.generator(z, c, psi=config.psi, noise_mode="random", generator=random))[:size]


def positions(config: SynthesisConfig, snapshot: Snapshot) -> np.ndarray:
    """The position of every image within its class, which with the seed and the class fixes its latents: i64 [N]."""
    return np.tile(np.arange(config.per_class), len(snapshot.class_names))


def describe(
    order: Order, snapshot: Snapshot, labels: np.ndarray, hashes: list[str], perceptual: list[int]
) -> ImageTable:
    """The table of synthetic images; their group is the generator, as no patient stands behind them."""
    names = [f"{snapshot.class_names[k]}-{i:05d}" for k, i in zip(labels, positions(order.config, snapshot))]
    attrs = {
        "source": "synthetic",
        "generator": order.run.root.name,
        "resolution_px": snapshot.config.network.resolution_px,
        "synthesis": to_dict(order.config),
        "psi": order.config.psi,
        "kimg": snapshot.provenance.kimg,
    }
    table = ImageTable(
        class_names=snapshot.class_names,
        label=labels,
        image_id=np.array(names),
        group_id=np.full(len(labels), f"synthetic:{order.run.root.name}"),
        path=np.full(len(labels), order.snapshot_path.name),
        sha256=np.array(hashes),
        magnification=np.zeros(len(labels), np.int64),
        um_per_px=np.full(len(labels), np.nan),
        site_id=np.full(len(labels), ""),
        phash=np.array(perceptual, dtype=np.uint64),
        attrs=attrs,
    )
    return replace(table, attrs={**attrs, "fingerprint": fingerprint_of(table)})


def export_pngs(path: Path, folder: Path) -> int:
    """Write the images of a synthetic file as `<folder>/<class>/<image id>.png`, and its provenance beside them.

    Returns how many. They are to look at and for other tools: `ganaug prepare` refuses the folder and every image in
    it, and the study takes synthetic images only as HDF5, whose provenance it can check.
    """
    table, reader = read_table(path), ImageReader(path)
    for index, name in enumerate(table.image_id):
        target = folder / table.class_names[table.label[index]] / f"{name}.png"
        with atomic_path(target) as part:
            part.write_bytes(encode_png(reader[np.array([index])][0], synthetic=True))
    write_json(folder / PROVENANCE_BESIDE_IMAGES, table.attrs["provenance"])
    return len(table)
