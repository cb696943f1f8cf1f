import hashlib
import json
import multiprocessing
import operator
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.data.hdf5 import seals
from ganaug.data.hdf5.attributes import NOTES, SKIPPED
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.schema import (
    SCHEMA_VERSION,
    ImageReader,
    ImageTable,
    content_digest,
    fingerprint_of,
    open_images,
    read_table,
    require_array,
)
from ganaug.errors import DataError, LeakError, WorkspaceError
from ganaug.provenance import sealed
from ganaug.workspace import open_workspace

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
Tabulate = Callable[..., ImageTable]


@pytest.fixture
def table(make_table: Tabulate) -> ImageTable:
    plain = make_table([0, 1, 0, 1, 0, 1, 1], ["p", "p", "q", "q", "r", "r", "s"])
    attrs = {**plain.attrs, NOTES: ["é", "ä"], "um_per_px": 0.5, "options": {"a": [1, 2]}}
    return replace(plain, attrs=attrs, phash=np.full(7, 2**64 - 1, np.uint64))


def write(path: Path, table: ImageTable, pixels: NDArray[np.uint8] = PIXELS, **options: Any) -> Path:
    with writing_images(path, 16) as writer:
        writer.append(pixels[:3])
        writer.append(pixels[3:])
        writer.finish(table, **options)
    return path


def test_a_table_survives_the_disk(tmp_path: Path, table: ImageTable) -> None:
    back = read_table(write(tmp_path / "a.h5", table))
    assert back.class_names == table.class_names
    for name in ("label", "image_id", "group_id", "path", "sha256", "magnification", "phash"):
        assert np.array_equal(getattr(back, name), getattr(table, name)), name
    written = {name: value for name, value in table.attrs.items() if name != "fingerprint"}
    assert {name: back.attrs[name] for name in written} == written


def test_same_content_same_bytes(tmp_path: Path, table: ImageTable) -> None:
    first, second = (write(tmp_path / name, table).read_bytes() for name in ("a.h5", "b.h5"))
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()


def test_the_reader_gives_any_images_in_the_order_asked(tmp_path: Path, table: ImageTable) -> None:
    reader = ImageReader(write(tmp_path / "a.h5", table))
    for order in ([0, 1, 2, 3, 4, 5, 6], [6, 2, 2, 0], [5], []):
        assert np.array_equal(reader[np.array(order, int)], PIXELS[np.array(order, int)])
    assert len(reader) == 7
    assert np.array_equal(pickle.loads(pickle.dumps(reader))[np.array([3])], PIXELS[[3]])


def test_masks_are_kept_next_to_their_images(tmp_path: Path, table: ImageTable) -> None:
    masks = np.where(PIXELS[..., 0] > 99, 255, 0).astype(np.uint8)
    with writing_images(tmp_path / "a.h5", 16, masks=True) as writer:
        writer.append(PIXELS, masks)
        writer.finish(table)
    assert np.array_equal(ImageReader(tmp_path / "a.h5", "mask")[np.arange(7)], masks)


def test_many_long_note_fit(tmp_path: Path, table: ImageTable) -> None:
    skipped = [[f"a/rather/long/path/{number}.png", "damaged or truncated"] for number in range(20_000)]
    path = write(tmp_path / "a.h5", replace(table, attrs={**table.attrs, SKIPPED: skipped}))
    assert read_table(path).attrs[SKIPPED] == skipped


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(28, "No space left on device"), ValueError])
def test_a_broken_off_write_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, table: ImageTable, fault: BaseException | type[BaseException]
) -> None:
    path = write(tmp_path / "a.h5", table)
    before = path.read_bytes()

    def broken_off() -> None:
        with writing_images(path, 16) as writer:
            writer.append(PIXELS)
            raise fault

    with pytest.raises((KeyboardInterrupt, WorkspaceError, ValueError)):
        broken_off()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_fingerprint_covers_content_label_group_and_order(table: ImageTable) -> None:
    shuffled = np.arange(7)[::-1]
    variants = [
        table,
        replace(table, label=1 - table.label),
        replace(table, group_id=np.char.add(table.group_id, "x")),
        replace(table, sha256=np.char.add(table.sha256, "x")),
        replace(table, class_names=("a", "c")),
        replace(table, attrs={"resolution_px": 32}),
        replace(
            table, **{name: getattr(table, name)[shuffled] for name in ("sha256", "label", "group_id", "image_id")}
        ),
    ]
    assert len({fingerprint_of(variant) for variant in variants}) == len(variants)
    assert fingerprint_of(replace(table, attrs={**table.attrs, "licence": "x"})) == fingerprint_of(table)


def test_the_content_digest_sees_one_changed_pixel_or_label(tmp_path: Path, table: ImageTable) -> None:
    path = write(tmp_path / "a.h5", table)
    original = content_digest(path)
    with h5py.File(path, "r+") as file:
        file["images"][6, 15, 15, 2] ^= 1
    with pytest.raises(LeakError, match="content"):
        content_digest(path)
    with h5py.File(path, "r+") as file:
        file["images"][6, 15, 15, 2] ^= 1
    assert content_digest(path) == original
    with h5py.File(path, "r+") as file:
        file["label"][0] = 1
    with pytest.raises(LeakError, match="edited"):
        content_digest(path)


@pytest.mark.parametrize(
    "column", ["label", "magnification", "um_per_px", "phash", "image_id", "group_id", "site_id", "path", "sha256"]
)
def test_an_edit_of_any_column_is_refused_at_every_opening(tmp_path: Path, table: ImageTable, column: str) -> None:
    path = write(tmp_path / "a.h5", table)
    with h5py.File(path, "r+") as file:
        old = file[column][2]
        file[column][2] = b"other" if isinstance(old, bytes) else 1 if column == "um_per_px" else old ^ 1
    with pytest.raises(LeakError, match="edited after it was written"):
        read_table(path)


def test_an_edit_of_any_attribute_is_refused(tmp_path: Path, table: ImageTable) -> None:
    path = write(tmp_path / "a.h5", replace(table, attrs={**table.attrs, SKIPPED: [["x" * 999, "y"]] * 99}))
    names = [*h5py.File(path).attrs]
    assert len(names) > 8
    for name in set(names) - {"schema_version"}:
        with h5py.File(path, "r+") as file:
            kept = file.attrs[name]
            file.attrs[name] = kept.replace("a", "b") if "a" in kept else kept[:-1] + ("0]" if "]" in kept else "0")
            assert file.attrs[name] != kept, name
        with pytest.raises((LeakError, DataError)):
            read_table(path)
        with h5py.File(path, "r+") as file:
            file.attrs[name] = kept
    with h5py.File(path, "r+") as file:  # what is too large for an attribute stands apart
        file[f"attrs/{SKIPPED}"][0] = "[]"
    with pytest.raises(LeakError, match="edited"):
        read_table(path)


def test_whoever_seals_again_must_also_have_the_key(
    tmp_path: Path, table: ImageTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = write(tmp_path / "plain.h5", table)
    for name in ("a", "b"):
        (tmp_path / f"{name}.key").write_bytes(name.encode() * 32)
    monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "a.key"))
    with pytest.raises(LeakError, match="not signed"):
        read_table(plain)
    signed = write(tmp_path / "signed.h5", table)
    assert read_table(signed).attrs["seal"] == write_seal(plain)
    monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "b.key"))
    with pytest.raises(LeakError, match="another key"):
        read_table(signed)
    monkeypatch.delenv("GANAUG_KEY")
    assert len(read_table(signed)) == 7  # without a key the seal alone is checked


def write_seal(path: Path) -> str:
    with h5py.File(path) as file:
        return str(json.loads(file.attrs["seal"]))


@pytest.mark.parametrize("signed", [False, True])
def test_a_forged_note_of_a_check_hides_no_change_of_pixels(
    tmp_path: Path, table: ImageTable, monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    if signed:
        (tmp_path / "key").write_bytes(b"k" * 32)
        monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "key"))
    workspace = open_workspace(tmp_path / "ws").begin()
    path = write(workspace.dataset("a"), table)
    expected = require_array(path, read_table(path))
    (note,) = workspace.root.glob("cache/checked/*")
    with h5py.File(path, "r+") as file:
        file["images"][0, 0, 0, 0] ^= 1
    forged = {"status": seals._status(path), "digest": expected}
    if signed:  # whoever lacks the key can seal, and not sign
        monkeypatch.delenv("GANAUG_KEY")
        forged = sealed(forged)
        monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "key"))
    note.write_text(json.dumps(forged))
    seals._checked.clear()
    with pytest.raises(LeakError, match="content"):
        require_array(path, read_table(path))


def test_a_check_of_pixels_is_remembered_until_the_file_changes(
    tmp_path: Path, table: ImageTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = open_workspace(tmp_path / "ws").begin()
    path = write(workspace.dataset("a"), table)
    reads: list[str] = []
    original = seals.digest_of_array

    def digest_of_array(array: h5py.Dataset) -> str:
        reads.append(array.name)
        return original(array)

    monkeypatch.setattr(seals, "digest_of_array", digest_of_array)
    require_array(path, read_table(path))
    require_array(path, read_table(path))
    assert reads == ["/images"]
    seals._checked.clear()  # another process
    require_array(path, read_table(path))
    assert reads == ["/images"]
    monkeypatch.setitem(seals._how, "insist", True)
    seals._checked.clear()
    require_array(path, read_table(path))
    assert reads == ["/images"] * 2
    monkeypatch.setitem(seals._how, "insist", False)
    status = path.stat()
    with h5py.File(path, "r+") as file:
        file["images"][0, 0, 0, 0] ^= 1
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(LeakError, match="content"):
        require_array(path, read_table(path))


def test_files_that_are_missing_truncated_or_of_another_version_are_refused(tmp_path: Path, table: ImageTable) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_table(tmp_path / "none.h5")
    path = write(tmp_path / "a.h5", table)
    (tmp_path / "truncated.h5").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="not a readable HDF5"):
        read_table(tmp_path / "truncated.h5")
    with h5py.File(path, "r+") as file:
        del file["group_id"]
    with pytest.raises(DataError, match="lacks a part"):
        read_table(path)
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(DataError, match=f"version 99; expected version {SCHEMA_VERSION}"), open_images(path):
        pass


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_reader_that_is_open_serves_other_processes(tmp_path: Path, table: ImageTable, method: str) -> None:
    """A handle that a fork inherits would share its place in the file with the parent's."""
    reader = ImageReader(write(tmp_path / "a.h5", table))
    assert np.array_equal(reader[np.array([0])], PIXELS[:1])  # now it is open
    with multiprocessing.get_context(method).Pool(2) as pool:
        rows = pool.starmap_async(operator.getitem, [(reader, np.array([row])) for row in range(7)]).get(timeout=100)
    assert np.array_equal(np.concatenate(rows), PIXELS)
