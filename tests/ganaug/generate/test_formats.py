"""Synthetic files in other formats: the same pixels, each image marked as synthetic, with the provenance."""

import errno
import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganaug.config import SynthesisConfig
from ganaug.data.export import EXPORTS, export_pngs, export_synthetic
from ganaug.data.images.png import is_marked_synthetic
from ganaug.data.schema import ImageReader, read_table
from ganaug.errors import WorkspaceError
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.workspace import GanRun, Workspace, read_json


@pytest.fixture
def path(workspace: Workspace, run: GanRun) -> Path:
    """A synthetic file of 2 images per class."""
    return synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2)))


def test_png_folders_hold_the_same_pixels(path: Path, tmp_path: Path) -> None:
    export_pngs(path, tmp_path / "png")
    files = sorted((tmp_path / "png" / "Benign").glob("*.png"))
    stored = ImageReader(path)[np.arange(2)]
    assert all(np.array_equal(np.asarray(Image.open(file)), image) for file, image in zip(files, stored, strict=True))
    assert (tmp_path / "png" / "provenance.json").exists()


def test_every_format_holds_the_same_pixels_the_mark_and_the_provenance(path: Path, tmp_path: Path) -> None:
    stored = ImageReader(path)[np.arange(8)]
    record = read_table(path).attrs["provenance"]
    folder, archive = (export_synthetic(path, kind, tmp_path) for kind in EXPORTS)
    with zipfile.ZipFile(archive) as file:
        pngs = [BytesIO(file.read(name)) for name in sorted(file.namelist()) if name.endswith(".png")]
        labels = json.loads(file.read("dataset.json"))["labels"]
        assert json.loads(file.read("provenance.json")) == record
    assert [label for _, label in labels] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert read_json(folder / "provenance.json") == record
    for images in (pngs, sorted(folder.rglob("*.png"))):
        opened = [Image.open(image) for image in images]
        assert all(is_marked_synthetic(image) for image in opened)
        assert np.array_equal(np.stack([np.asarray(image) for image in opened]), stored)


def test_a_folder_that_holds_something_else_is_left_alone(
    path: Path, workspace: Workspace, run: GanRun, tmp_path: Path
) -> None:
    export_pngs(path, tmp_path / "png")
    written = (tmp_path / "png").stat().st_mtime_ns
    export_pngs(path, tmp_path / "png")
    assert (tmp_path / "png").stat().st_mtime_ns == written
    other = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=3)))
    with pytest.raises(WorkspaceError, match="holds something else"):
        export_pngs(other, tmp_path / "png")
    assert len(list((tmp_path / "png").rglob("*.png"))) == 8


def test_a_full_disk_leaves_no_half_of_a_folder(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WorkspaceError, match="the disk is full"):
        export_pngs(path, tmp_path / "out" / "png")
    assert list((tmp_path / "out").iterdir()) == []
