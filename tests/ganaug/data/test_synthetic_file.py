"""The file of synthetic images takes any number of them in bounded memory, and gives back what was written."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganaug.data.schema import read_table
from ganaug.data.synthetic_file import Rows, read_record, read_rows, rows_of, write_rows
from ganaug.provenance import Provenance

RECORD = Provenance("bach", "a" * 64, "b" * 64, 0, ("p1", "p2"), "c" * 64)
ATTRS = {"resolution_px": 16, "generator": "run", "snapshot": "ema.pt"}


def block(label: int) -> Rows:
    images = np.random.default_rng(label).integers(0, 256, (3, 16, 16, 3), np.uint8)
    return rows_of(images, label, np.arange(3))


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.h5"
    write_rows(path, map(block, range(2)), RECORD, ("a", "b"), ATTRS)
    (stored,) = read_rows(path)
    for name in ("images", "label", "position", "sha256", "phash"):
        written = np.concatenate([getattr(block(label), name) for label in range(2)])
        assert np.array_equal(getattr(stored, name), written), name
    assert read_record(path, read_table(path)).groups_seen == ("p1", "p2")


def test_pixels_that_are_written_are_let_go(tmp_path: Path) -> None:
    drawn: list[weakref.ref[NDArray[np.uint8]]] = []

    def rows() -> Iterator[Rows]:
        for label in range(4):
            rows = block(label)
            drawn.append(weakref.ref(rows.images))
            yield rows
            assert not any(ref() is not None for ref in drawn[:-1]), "blocks before the last are still in memory"

    write_rows(tmp_path / "synthetic.h5", rows(), RECORD, ("a", "b", "c", "d"), ATTRS)
