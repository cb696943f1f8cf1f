"""What is not exported: synthetic images as patients, changed files, folds that are not there."""

import errno
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.config import PrepareConfig
from ganaug.data.export import export_zip, select
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.schema import ImageTable, content_digest, read_table
from ganaug.errors import ConfigError, LeakError, WorkspaceError
from ganaug.workspace import Workspace

Stored = Callable[..., Path]
Listed = Callable[..., dict[str, Any]]
ReadAsStyleGan = Callable[[Path], tuple[NDArray[np.uint8], NDArray[np.int64] | None]]


def test_synthetic_images_are_exported_with_their_provenance(
    pixels: NDArray[np.uint8], read_as_stylegan: ReadAsStyleGan, listed: Listed, synthetic: Path, tmp_path: Path
) -> None:
    export_zip(select(synthetic), tmp_path / "out.zip")
    assert np.array_equal(read_as_stylegan(tmp_path / "out.zip")[0], pixels)
    assert listed(tmp_path / "out.zip")["synthetic"] is True
    record = listed(tmp_path / "out.zip", "provenance.json")
    assert record == read_table(synthetic).attrs["provenance"]
    assert record["content"] == content_digest(synthetic)


@pytest.mark.parametrize("source", ["zip", "folder"])
@pytest.mark.parametrize("unpacked", [False, True])
def test_exported_synthetic_images_never_become_patients(
    pixels: NDArray[np.uint8], synthetic: Path, tmp_path: Path, workspace: Workspace, source: str, unpacked: bool
) -> None:
    out = tmp_path / "out.zip"
    export_zip(select(synthetic), out)
    if unpacked:
        zipfile.ZipFile(out).extractall(tmp_path / "unpacked")
        out = tmp_path / "unpacked"
    with pytest.raises(LeakError, match="images that a generator made"):
        prepare_dataset(workspace, PrepareConfig(source, str(out), resolution_px=len(pixels[0])))
    assert workspace.datasets() == []


def test_synthetic_images_that_were_changed_are_refused(synthetic: Path, tmp_path: Path) -> None:
    with h5py.File(synthetic, "r+") as file:
        file["images"][3] = 0
    with pytest.raises(LeakError, match="was changed after it was written"):
        export_zip(select(synthetic), tmp_path / "out.zip")


# ---- what can go wrong -----------------------------------------------------------------------------------------------


def test_what_has_no_folds_cannot_be_exported_by_fold(
    store: Stored, synthetic: Path, table: ImageTable, tmp_path: Path
) -> None:
    alone = store(tmp_path / "alone.h5", table)
    for path in (synthetic, alone):
        with pytest.raises(ConfigError, match="expected a data set of a workspace"):
            select(path, 0)


def test_a_fold_or_part_that_is_not_there_is_refused(dataset: Path) -> None:
    for fold, part, says in (
        (-1, None, "expected a number from 0 to 2"),
        (3, None, "expected a number from 0 to 2"),
        (None, "test", "name it with --fold"),
        (0, "all", "expected train or val or test"),
    ):
        with pytest.raises(ConfigError, match=says):
            select(dataset, fold, part)


def test_an_earlier_export_is_replaced_and_nothing_else(
    pixels: NDArray[np.uint8], read_as_stylegan: ReadAsStyleGan, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.zip"
    export_zip(select(dataset, 0, "test"), out)
    assert export_zip(select(dataset), out) == len(pixels)
    assert len(read_as_stylegan(out)[0]) == len(pixels)
    raw, truncated = tmp_path / "BreaKHis.zip", tmp_path / "truncated.zip"
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("a.png", b"precious")
    truncated.write_bytes(raw.read_bytes().replace(b"PK\x01\x02", b"XXXX"))
    for precious in (raw, truncated, dataset, tmp_path):
        before = precious.read_bytes() if precious.is_file() else b""
        with pytest.raises(WorkspaceError, match=r"is there and is no archive with a dataset\.json; remove it or name"):
            export_zip(select(dataset), precious)
        assert (precious.read_bytes() if precious.is_file() else b"") == before


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt("stop")])
def test_whatever_stops_it_leaves_the_earlier_file(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    out = tmp_path / "out" / "out.zip"
    export_zip(select(dataset, 0), out)
    before, writestr = out.read_bytes(), zipfile.ZipFile.writestr

    def stop(archive: zipfile.ZipFile, *entry: Any) -> None:
        writestr(archive, *entry)
        if len(archive.namelist()) == 3:
            raise fault

    monkeypatch.setattr(zipfile.ZipFile, "writestr", stop)
    with pytest.raises((WorkspaceError, KeyboardInterrupt), match=r"the disk is full|stop"):
        export_zip(select(dataset), out)
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == {"out.zip": before}
