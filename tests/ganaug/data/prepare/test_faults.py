"""Faulty images, full disks and interruptions: what is fine is still usable, and nothing half-written stands."""

import errno
import io
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.hdf5.attributes import NOTES, SKIPPED
from ganaug.data.hdf5.image_writer import ImageWriter, writing_images
from ganaug.data.images.decode import Picture, open_picture
from ganaug.data.prepare import read_images as module
from ganaug.data.prepare.pipeline import Prepared, prepare_dataset
from ganaug.data.schema import ImageTable, read_table
from ganaug.errors import DataError, FoldsError, LeakError, WorkspaceError
from ganaug.workspace import Workspace, open_workspace


@pytest.fixture
def root(make_tree: Callable[..., Path]) -> Path:
    return make_tree({label: {f"{label}{patient}": 3 for patient in range(4)} for label in ("a", "b")})


def prepare(workspace: Workspace, root: Path, num_folds: int = 3) -> Prepared:
    return prepare_dataset(
        workspace, PrepareConfig("folder", str(root), resolution_px=16, folds=FoldsConfig(num_folds))
    )


def left_over(workspace: Workspace) -> list[str]:
    return [path.name for path in workspace.root.rglob("*") if path.is_file() and path.name != "workspace.json"]


def test_faulty_images_are_skipped_with_reasons_and_the_others_are_prepared(root: Path, workspace: Workspace) -> None:
    folder = root / "a" / "a0"
    good = (folder / "0.png").read_bytes()
    rgba = io.BytesIO()
    Image.new("RGBA", (20, 20), (200, 0, 0, 128)).save(rgba, "PNG")
    (folder / "mode.png").write_bytes(rgba.getvalue())  # another mode is no fault
    faults = {
        "empty.png": (b"", "the file is empty"),
        "misnamed.jpg": (b"GIF87 not really", "GIF"),
        "truncated.png": (good[: len(good) // 2], "damaged or truncated"),
        "huge.png": (_header_of(30_000), "cut it into tiles first"),
    }
    for name, (data, _) in faults.items():
        (folder / name).write_bytes(data)
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    (folder / "loop").symlink_to(folder)
    told_before = {"dangling.png": "a link that leads nowhere", "loop": "a link to a folder that is listed already"}

    prepared = prepare(workspace, root)
    assert len(prepared.table) == 25
    reasons = told_before | {name: reason for name, (_, reason) in faults.items()}
    assert {path for path, _ in prepared.skipped} == {f"a/a0/{name}" for name in reasons}
    for path, reason in prepared.skipped:
        assert reasons[Path(path).name] in reason
        assert "\n" not in reason
    dataset = open_dataset(workspace, "folder")
    assert dataset.table.attrs[SKIPPED] == [list(pair) for pair in prepared.skipped]
    assert dataset.reader[dataset.test(0)].shape[1:] == (16, 16, 3)


def _header_of(side: int) -> bytes:
    """A small PNG file whose header claims a square of that side."""
    import zlib

    file = io.BytesIO()
    Image.new("1", (1, 1)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def test_a_file_that_vanishes_or_cannot_be_read_is_skipped(
    root: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == "1.png" and path.parent.name == "b2":
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert prepare(workspace, root).skipped == (("b/b2/1.png", "cannot be read (Permission denied)"),)


def test_no_usable_image_is_one_line(root: Path, workspace: Workspace) -> None:
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(
        DataError,
        match=r"holds no image that can be used \(24 files are skipped, such as a/a0/0.png: the file is empty",
    ):
        prepare(workspace, root)
    assert left_over(workspace) == []


def test_folds_are_checked_again_after_images_were_skipped(root: Path, workspace: Workspace) -> None:
    for path in (root / "a" / "a3").iterdir():
        path.write_bytes(b"")
    assert len(prepare(workspace, root).table) == 21
    with pytest.raises(
        FoldsError, match=r"a has 3 patients; .*--folds 3, or the skipped images once they are corrected"
    ):
        prepare(workspace, root, num_folds=4)


class Interrupting(ImageWriter):
    """A writer at which the user presses Ctrl-C in the middle."""

    def finish(self, table: ImageTable, **_: Any) -> ImageTable:
        raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["decoding", "writing"])
def test_an_interruption_leaves_the_older_data_set_and_nothing_else(
    root: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    prepare(workspace, root)
    before = {path.name: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}
    (root / "a" / "a0" / "0.png").unlink()
    if where == "decoding":
        calls = iter(range(100))
        original = open_picture

        def open_until_stopped(data: bytes) -> Picture:
            if next(calls) == 10:
                raise KeyboardInterrupt
            return original(data)

        monkeypatch.setattr(module, "open_picture", open_until_stopped)
    else:
        monkeypatch.setattr(ImageWriter, "finish", Interrupting.finish)
    with pytest.raises(KeyboardInterrupt):
        prepare(workspace, root)
    assert {path.name: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("method", ["append", "keep"])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    root: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ImageWriter, method, full)
    with pytest.raises(WorkspaceError, match=r"the disk is full: .*free some space"):
        prepare(workspace, root)
    assert left_over(workspace) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a disk of so many KiB."""
    mounted = []

    def mount(kib: int) -> Path:
        path = tmp_path / f"disk{kib}"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(path)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only an administrator can mount a small disk here")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


def test_a_really_full_disk_is_one_line_at_every_stage(
    small_disk: Callable[[int], Path], root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for kib in range(8, 48, 4):  # the data set and its folds take some 56
        workspace = open_workspace(small_disk(kib))
        with pytest.raises(WorkspaceError, match="the disk is full"):
            prepare(workspace, root)
        assert [name for name in left_over(workspace) if not name.endswith(".h5")] == []  # the folds come last
    prepare(open_workspace(small_disk(80)), root)
    assert capfd.readouterr().err == ""  # HDF5 did not run into the wall


def test_a_disk_that_fills_while_images_are_written_leaves_nothing(
    small_disk: Callable[[int], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk(40 * 1024)

    def fill() -> None:
        with writing_images(disk / "a.h5", 128) as writer:
            for _ in range(60):
                writer.append(np.zeros((16, 128, 128, 3), np.uint8))

    with pytest.raises(WorkspaceError, match="the disk is full"):
        fill()
    assert list(disk.iterdir()) == []
    assert capfd.readouterr().err == ""


def test_names_that_are_no_text_are_noted_and_stored(root: Path, workspace: Workspace) -> None:
    """File systems take any bytes for a name; each kind of note on an image's file has one such name here."""
    exif = Image.Exif()
    exif[0x112] = 6
    folder = Path(os.fsdecode(os.fsencode(root / "a" / "a0") + b"/\xff\xfe"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("a file system that takes text only")
    noise = np.random.default_rng(9).integers(0, 256, (4, 20, 20, 3), dtype=np.uint8)
    pages = [Image.fromarray(pixels) for pixels in noise]
    pages[0].save(folder / "0.tif", save_all=True, append_images=pages[1:2])
    pages[2].save(folder / "0.jpg", exif=exif)
    deep = np.random.default_rng(9).integers(0, 2**16, (20, 20)).astype(np.uint16)
    Image.fromarray(deep).save(folder / "0.png")
    (folder / "broken.png").write_bytes(b"no image")
    prepared = prepare(workspace, root)
    assert len(prepared.table) == 27
    named = [note for note in prepared.notes if "\\udcff" in note]
    assert len(named) >= 2
    assert read_table(prepared.path).attrs[NOTES] == list(prepared.notes)
    assert [r"\udcff" in path for path, _ in prepared.skipped] == [True]


def test_an_index_that_leads_out_of_the_file_is_one_line(root: Path, workspace: Workspace) -> None:
    """The places of the images stand in the file as numbers, so any of them may be any number."""
    path = prepare(workspace, root).path
    with h5py.File(path) as file:
        place = file["images"].id.get_chunk_info(3).byte_offset
    data, found = path.read_bytes(), 0
    address = place.to_bytes(8, "little")
    for wrong in (2**40, 2**62, len(data) - 1):
        path.write_bytes(data.replace(address, wrong.to_bytes(8, "little")))
        found += path.read_bytes() != data
        shutil.rmtree(workspace.root / "cache", ignore_errors=True)
        with pytest.raises((DataError, LeakError), match=re.escape(str(path))):
            _ = open_dataset(workspace, "folder").reader
    assert found == 3
