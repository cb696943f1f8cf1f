"""What images become in a prepared set: their depth, orientation, pages and masks, and the bounds on memory."""

import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.images.decode import Picture, open_picture
from ganaug.data.prepare import read_images as module
from ganaug.data.prepare.pipeline import Prepared, prepare_dataset
from ganaug.errors import DataError, private
from ganaug.parallel.threads import Job, PixelBudget, run_in_threads
from ganaug.workspace import Workspace

SIDE = 16


def write(root: Path, tops: list[int], dtype: type = np.uint16, suffix: str = "png") -> Path:
    """Grey noise images of two classes and as many patients as images, each with the largest value given."""
    rng = np.random.default_rng(0)
    for number, top in enumerate(tops):
        folder = root / "ab"[number % 2] / f"p{number}"
        folder.mkdir(parents=True)
        values = rng.integers(0, top + 1, (SIDE, SIDE))
        values[0, 0] = top
        Image.fromarray(values.astype(dtype)).save(folder / f"x.{suffix}")
    return root


def prepare(workspace: Workspace, root: Path) -> tuple[Prepared, dict[str, NDArray[np.uint8]]]:
    """The prepared set, and its images by the path of their file."""
    prepared = prepare_dataset(workspace, PrepareConfig("folder", str(root), resolution_px=SIDE, folds=FoldsConfig(3)))
    with h5py.File(prepared.path) as file:
        return prepared, dict(zip(prepared.table.path.tolist(), file["images"][:], strict=True))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_values_of_any_depth_in_files_of_16_bits_span_all_levels_and_a_note_says_so(
    bits: int, tmp_path: Path, workspace: Workspace
) -> None:
    tops = [2**bits - 1, *[2 ** (bits - 1)] * 4, 2 ** (bits - 2)]  # dark images stay dark next to bright ones
    prepared, images = prepare(workspace, write(tmp_path / "images", tops, suffix="tif" if bits == 12 else "png"))
    assert len(images) == len(tops)
    for path, image in images.items():
        top = tops[int(Path(path).parent.name[1:])]
        assert image[0, 0, 0] == round(top * 255 / (2**bits - 1))
    [note] = [note for note in prepared.notes if f"{len(tops)} files" in note]
    assert f"{bits} bits" in note


def test_the_depth_does_not_depend_on_the_order_of_reading_nor_on_threads(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tops = [1500, 1900, 3000, 4000, 60_000, 3500]
    found: list[tuple[dict[int, int], list[str]]] = []
    for order in (tops, tops[::-1]):
        root = write(tmp_path / str(len(found)), order)
        for num_threads in (1, 8):
            monkeypatch.setattr(os, "cpu_count", lambda count=num_threads: count)
            prepared, images = prepare(workspace, root)
            levels = {order[int(Path(path).parent.name[1:])]: image[0, 0, 0] for path, image in images.items()}
            found.append((levels, sorted(note for note in prepared.notes if "16-bit" in note)))
    assert len(found) == 4
    assert all(levels == {top: round(top * 255 / 65535) for top in tops} for levels, _ in found)
    assert all(len(notes) == 2 for _, notes in found)
    assert all(f"5 of {len(tops)}" in notes[0] and private("a/p0/x.png") in notes[0] for _, notes in found)


def test_images_of_8_bits_stay_as_they_are_and_raise_no_note(tmp_path: Path, workspace: Workspace) -> None:
    root = write(tmp_path / "images", [200, 20, 100, 30, 90, 50], np.uint8)
    prepared, images = prepare(workspace, root)
    assert len(images) == 6
    for path, image in images.items():
        assert np.array_equal(image[..., 0], np.asarray(Image.open(root / path)))
    assert not any("bit" in note for note in prepared.notes)


def test_a_mask_lies_on_its_rotated_image_and_one_of_another_size_leaves_the_image_out(
    tmp_path: Path, workspace: Workspace
) -> None:
    root = write(tmp_path / "images", [99] * 8, np.uint8)
    exif = Image.Exif()
    exif[0x112] = 6
    stored = np.zeros((20, 30), np.uint8)
    stored[:5] = 255  # on top as it is stored, on the right as it is shown
    turned, other = root / "a" / "p0", root / "b" / "p1"
    Image.fromarray(stored).save(turned / "x.png", exif=exif)
    Image.fromarray(SHOWN := np.rot90(stored, -1)).save(turned / "x_mask.png")
    Image.fromarray(SHOWN).save(other / "x_mask.png")  # 20×30 px, and its image has 16×16
    Image.fromarray(np.full((SIDE, SIDE), 4095, np.uint16)).save(root / "a" / "p2" / "x_mask.png")
    prepared, images = prepare(workspace, root)
    [(path, reason)] = prepared.skipped
    assert path == "b/p1/x.png"
    assert "20×30" in reason
    assert "16×16" in reason
    assert private("b/p1/x_mask.png") in reason
    with h5py.File(prepared.path) as file:
        masks = dict(zip(images, file["mask"][:], strict=True))
    assert np.array_equal(masks["a/p0/x.png"] == 255, images["a/p0/x.png"][..., 0] >= 128)
    assert masks["a/p0/x.png"][:, -1].min() == 255
    assert masks["a/p2/x.png"].min() == 255  # of 12 bits in 16
    assert any("EXIF" in note and private("a/p0/x.png") in note for note in prepared.notes)


def test_colour_of_few_bits_in_16_is_refused_and_pages_are_reported(
    tmp_path: Path, workspace: Workspace, png_of_16_bits: Callable[[NDArray[np.uint16]], bytes]
) -> None:
    root = write(tmp_path / "images", [99] * 7, np.uint8)
    (root / "a" / "p0" / "x.png").write_bytes(png_of_16_bits(np.full((SIDE, SIDE, 3), 4095, np.uint16)))
    pages = [Image.new("L", (SIDE, SIDE), value) for value in (50, 60, 70)]
    pages[0].save(root / "b" / "p1" / "y.tif", save_all=True, append_images=pages[1:])
    prepared, images = prepare(workspace, root)
    [(path, reason)] = prepared.skipped
    assert path == "a/p0/x.png"
    assert "12 bits" in reason
    assert images["b/p1/y.tif"].max() == 50
    [note] = [note for note in prepared.notes if "pages" in note]
    assert "1 files" in note
    assert "3" in note
    assert private("b/p1/y.tif") in note


def test_a_set_of_faulty_files_only_is_one_line(tmp_path: Path, workspace: Workspace) -> None:
    root = write(tmp_path / "images", [99] * 6, np.uint8)
    for path in root.rglob("*.png"):
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    with pytest.raises(DataError, match="6 files are skipped"):
        prepare(workspace, root)


def test_a_set_in_an_archive_that_is_read_twice_is_the_same(tmp_path: Path, workspace: Workspace) -> None:
    root = write(tmp_path / "images", [4095, 3000, 2500, 3500, 2200, 4000])
    prepared, images = prepare(workspace, root)
    with tarfile.open(tmp_path / "images.tar.gz", "w:gz") as archive:
        archive.add(root, "images")
    packed, unpacked_images = prepare(workspace, tmp_path / "images.tar.gz")
    assert packed.notes == tuple(note.replace("a/p0", "images/a/p0") for note in prepared.notes)
    assert {f"images/{path}" for path in images} == set(unpacked_images)
    assert all(np.array_equal(image, unpacked_images[f"images/{path}"]) for path, image in images.items())


# ---- bounds on memory ------------------------------------------------------------------------------------------------


def test_images_decoded_at_a_time_are_bounded_over_all_threads(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "images", [200] * 12, np.uint8)
    lock, underway, most, original = threading.Lock(), [0], [0], open_picture

    def open_counted(data: bytes) -> Picture:
        with lock:
            underway[0] += 1
            most[0] = max(most[0], underway[0])
        time.sleep(0.005)
        with lock:
            underway[0] -= 1
        return original(data)

    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(module, "open_picture", open_counted)
    for limit, expected in ((1, 1), (2 * SIDE * SIDE, 2), (10**6, 8)):
        most[0] = 0
        monkeypatch.setattr(module, "MAX_PIXELS", limit)
        prepare(workspace, root)
        assert most[0] <= expected
        assert most[0] == expected or limit == 10**6


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=1, max_size=30))
def test_threads_never_hold_more_pixels_than_the_budget_and_all_get_theirs(sizes: list[int]) -> None:
    budget, lock = PixelBudget(10), threading.Lock()
    held, most = [], []

    def work(size: int) -> int:
        with budget.hold(size):
            with lock:
                held.append(size)
                most.append(sum(min(size, 10) for size in held))  # a larger one counts as all there is
            time.sleep(0.0002)
            with lock:
                held.remove(size)
        return size

    jobs = (Job(position, partial(work, size), 0) for position, size in enumerate(sizes))
    assert list(run_in_threads(jobs, 6, 100)) == list(enumerate(sizes))
    assert len(most) == len(sizes)
    assert max(most) <= 10


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=40), st.integers(1, 4))
def test_files_underway_are_bounded_and_results_come_in_order(sizes: list[int], num_threads: int) -> None:
    underway: list[int] = []

    def jobs() -> Iterator[Job[int]]:
        for position, size in enumerate(sizes):
            yield Job(position, size.__int__, size)
            underway.append(size)
            assert sum(underway) <= 10 or len(underway) == 1
            assert len(underway) <= 3 * num_threads + 1

    for position, result in run_in_threads(jobs(), num_threads, 10):
        assert result == sizes[position] == underway.pop(0)
    assert underway == []


def test_an_error_in_a_thread_is_raised_and_ends_the_work() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        return 1 // (number - 3)

    jobs = (Job(number, partial(work, number), 0) for number in range(1000))
    with pytest.raises(ZeroDivisionError):
        list(run_in_threads(jobs, 1, 10))
    assert len(done) < 20
