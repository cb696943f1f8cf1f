"""The HDF5 file of synthetic images: rows of images with what is known of each, written once with their provenance."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.images.perceptual_hash import phash
from ganaug.data.schema import (
    IMAGES_AT_A_TIME,
    ImageReader,
    ImageTable,
    creation_time_of_images,
    open_images,
    read_table,
    require_arrays,
)
from ganaug.provenance import Provenance, digest_of_bytes, read_provenance, require_content
from ganaug.workspace import moment


@dataclass(frozen=True)
class Rows:
    """Some images that follow each other in a file, and what is known of each."""

    images: NDArray[np.uint8]  # u8 [n,H,W,3]
    label: NDArray[np.int64]  # i64 [n]
    position: NDArray[np.int64]  # i64 [n], within its class: with the seed and the class it fixes the latents
    sha256: NDArray[np.str_]  # text [n], of the pixels
    phash: NDArray[np.uint64]  # u64 [n]

    def __len__(self) -> int:
        return len(self.label)


def rows_of(images: NDArray[np.uint8], label: int, positions: NDArray[np.int64]) -> Rows:
    """Images u8 [n,H,W,3] of a class at positions i64 [n], hashed."""
    digests = np.array([digest_of_bytes([image.tobytes()]) for image in images], dtype="<U64")
    perceptual = np.array([phash(image) for image in images], dtype=np.uint64)
    return Rows(images, np.full(len(images), label, np.int64), positions.astype(np.int64), digests, perceptual)


def read_rows(path: Path) -> Iterator[Rows]:
    """The rows of a file that `write_rows` wrote."""
    table, reader = read_table(path), ImageReader(path)
    with open_images(path) as file:
        position = file["position"][:]
    for start in range(0, len(table), IMAGES_AT_A_TIME):
        chosen = np.arange(start, min(start + IMAGES_AT_A_TIME, len(table)))
        yield Rows(reader[chosen], table.label[chosen], position[chosen], table.sha256[chosen], table.phash[chosen])


def read_record(path: Path, table: ImageTable) -> Provenance:
    """The provenance of a file whose table was read; LeakError where it, or what it was sealed with, was changed."""
    record = read_provenance(table.attrs.get("provenance"), path)
    require_content(record, require_arrays(path, table), path)
    return record


def write_rows(
    path: Path, rows: Iterable[Rows], record: Provenance, class_names: tuple[str, ...], attrs: dict[str, Any]
) -> None:
    """Write rows under `record`, sealed to them. `attrs` may still be filled in while the rows are drawn.

    It must hold `resolution_px`, `generator` (name of the run), and `snapshot` (name of the file of the weights).
    """
    known = []  # everything but the pixels
    with writing_images(path, attrs["resolution_px"]) as writer:
        for block in rows:
            writer.append(block.images)
            known.append((block.label, block.position, block.sha256, block.phash))
        label, position, sha256, hashes = (np.concatenate(column) for column in zip(*known))
        others = (other for other in path.parent.glob("*.h5") if other != path)
        attrs = {**attrs, "created": moment(after=map(creation_time_of_images, others))}
        table = _table(label, position, sha256, hashes, class_names, attrs)
        writer.finish(table, positions=position, record=record)


def _table(
    label: NDArray[np.int64],
    position: NDArray[np.int64],
    sha256: NDArray[np.str_],
    hashes: NDArray[np.uint64],
    class_names: tuple[str, ...],
    attrs: dict[str, Any],
) -> ImageTable:
    """The table of synthetic images; their group is the generator, as no patient stands behind them."""
    return ImageTable(
        class_names=class_names,
        label=label,
        image_id=np.array([f"{class_names[k]}-{i:05d}" for k, i in zip(label, position)]),
        group_id=np.full(len(label), f"synthetic:{attrs['generator']}"),
        path=np.full(len(label), attrs["snapshot"]),
        sha256=sha256,
        magnification=np.zeros(len(label), np.int64),
        um_per_px=np.full(len(label), np.nan),
        site_id=np.full(len(label), ""),
        phash=hashes,
        attrs={"source": "synthetic", **attrs},
    )
