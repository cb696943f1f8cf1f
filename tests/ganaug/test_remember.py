"""What is known of a file is kept while the file is the same, and never longer."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from ganaug import remember
from ganaug.data import schema
from ganaug.data.dataset import DataSet
from ganaug.data.schema import read_table
from ganaug.errors import LeakError
from ganaug.provenance import digest_of_file
from ganaug.remember import once_per_file


def counting(read: list[Path]) -> Callable[[Path], bytes]:
    @once_per_file(8)
    def content_of(path: Path) -> bytes:
        read.append(path)
        return path.read_bytes()

    return content_of


def test_a_file_is_read_once_while_it_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    content_of, path = counting(read), tmp_path / "weights.pth"
    path.write_bytes(b"a" * 100)
    assert content_of(path) == content_of(path) == b"a" * 100
    assert len(read) == 2, "just written: its times may not show the next change"
    monkeypatch.setattr(remember, "SECONDS_TO_SETTLE", -1.0)
    assert content_of(path) == content_of(path)
    assert len(read) == 3
    status = path.stat()
    time.sleep(0.02)
    path.write_bytes(b"b" * 100)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as somebody would who hides the change
    assert content_of(path) == b"b" * 100


def test_a_file_that_goes_and_comes_back_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remember, "SECONDS_TO_SETTLE", -1.0)
    read: list[Path] = []
    content_of, path = counting(read), tmp_path / "a"
    path.write_bytes(b"1")
    assert content_of(path) == b"1"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        content_of(path)
    path.write_bytes(b"2")
    assert content_of(path) == b"2"


def test_a_clock_that_was_set_back_makes_no_old_result_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    content_of, path = counting(read), tmp_path / "a"
    path.write_bytes(b"1")
    monkeypatch.setattr(time, "time", lambda: path.stat().st_mtime - 3600)
    assert content_of(path) == content_of(path) == b"1"
    assert len(read) == 2, "a file of the future has not settled"


def test_an_error_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remember, "SECONDS_TO_SETTLE", -1.0)
    calls: list[Path] = []

    @once_per_file(8)
    def ask(path: Path) -> int:
        calls.append(path)
        if len(calls) == 1:
            raise ValueError("busy")
        return 7

    path = tmp_path / "a"
    path.write_bytes(b"1")
    with pytest.raises(ValueError, match="busy"):
        ask(path)
    assert ask(path) == 7


def test_tables_and_digests_are_read_once(tiny: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remember, "SECONDS_TO_SETTLE", -1.0)
    assert read_table(tiny.path) is read_table(tiny.path)
    first = digest_of_file(tiny.path)
    with tiny.path.open("ab") as file:
        file.write(b"more")
    assert digest_of_file(tiny.path) != first


def test_a_table_that_several_share_cannot_be_changed(tiny: DataSet) -> None:
    table = read_table(tiny.path)
    with pytest.raises(ValueError, match="read-only"):
        table.label[0] = 1
    assert np.array_equal(table.label, read_table(tiny.path).label)


def test_a_known_table_is_still_refused_once_signatures_are_wanted(
    tiny: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remember, "SECONDS_TO_SETTLE", -1.0)
    read_table(tiny.path)
    (tmp_path / "key").write_bytes(b"k" * 32)
    monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "key"))
    with pytest.raises(LeakError, match="not signed"):
        read_table(tiny.path)


def test_an_edited_table_is_refused_though_it_was_known(tiny: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remember, "SECONDS_TO_SETTLE", -1.0)
    read_table(tiny.path)
    with h5py.File(tiny.path, "r+") as file:
        file["label"][0] = 1 - file["label"][0]
    with pytest.raises(LeakError, match="edited"):
        schema.read_table(tiny.path)
