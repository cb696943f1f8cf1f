"""Archives that lie about their sizes, or are damaged anywhere, end in one line and take no memory."""

import io
import stat
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganaug.data.archives import listing as module
from ganaug.data.archives import tar_files
from ganaug.data.archives.files import Files, open_files
from ganaug.errors import DataError

Write = Callable[[Path, Mapping[str, bytes]], Path]
Forms = Mapping[str, Write]
Contents = Callable[[Files], dict[str, bytes]]
NOISE = np.random.default_rng(0).bytes(300)


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), seed, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_tables_of_a_tar_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forms: Forms) -> None:
    monkeypatch.setattr(module, "MAX_TABLE_BYTES", 2**20)
    tables = {f"{number}.csv": bytes(400_000) for number in range(5)}
    files = open_files(forms["tar.gz"](tmp_path / "source.tar.gz", {**tables, "x.png": b"x"}))
    assert files.names == ("0.csv", "1.csv", "x.png")
    assert [path for path, _ in files.skipped] == ["2.csv", "3.csv", "4.csv"]
    assert "1 MiB" in files.skipped[0][1]


def test_an_archive_that_is_empty_but_huge_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forms: Forms
) -> None:
    monkeypatch.setattr(tar_files, "FREE_BYTES", 2**20)
    for number, content in enumerate(({"x.png": bytes(2**24)}, {f"{n}.bin": bytes(2**20) for n in range(20)})):
        path = forms["tar.gz"](tmp_path / f"{number}.tar.gz", content)
        with pytest.raises(DataError, match="200 times"):
            open_files(path)
    monkeypatch.setattr(tar_files, "MAX_MEMBERS", 10)
    with pytest.raises(DataError, match="10 files"):
        open_files(forms["tar"](tmp_path / "many.tar", dict.fromkeys(map(str, range(11)), b"")))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE])
@pytest.mark.parametrize("size", [-512, -(2**40), 2**40])
def test_a_header_of_absurd_size_ends_at_once_without_memory(kind: bytes, size: int, tmp_path: Path) -> None:
    (tmp_path / "source.tar").write_bytes(header("x.png", 0) + header("y.png", size, kind) + bytes(2048))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"truncated, damaged or no archive|200 times"):
            open_files(tmp_path / "source.tar")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_size_in_an_extended_header_that_leads_backwards_ends(tmp_path: Path) -> None:
    record = b"18 size=-99999999\n"
    extended = header("pax", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0")
    (tmp_path / "source.tar").write_bytes(header("a.png", 0) + extended + header("x.png", 0) + bytes(1024))
    with pytest.raises(DataError, match="truncated, damaged or no archive"):
        open_files(tmp_path / "source.tar")


def test_a_chain_of_long_names_ends(tmp_path: Path) -> None:
    link = header("long", 2, tarfile.GNUTYPE_LONGNAME) + b"x\0".ljust(512, b"\0")
    (tmp_path / "source.tar").write_bytes(link * 3000 + header("x.png", 0) + bytes(1024))
    with pytest.raises(DataError, match="truncated, damaged or no archive"):
        open_files(tmp_path / "source.tar")


@pytest.mark.parametrize("declared", [10, 2**28])
def test_a_member_of_a_zip_whose_size_is_a_lie_is_unreadable_and_takes_no_memory(
    declared: int, tmp_path: Path, forms: Forms
) -> None:
    path = forms["zip"](tmp_path / "source.zip", {"bomb.png": bytes(2**26), "bomb.csv": bytes(2**24), "x.png": b"x"})
    data = bytearray(path.read_bytes())
    for name in (b"bomb.png", b"bomb.csv"):
        entry = data.rindex(name) - 46  # its record in the directory at the end
        data[entry + 24 : entry + 28] = (min(declared, 2**25) if name.endswith(b"csv") else declared).to_bytes(
            4, "little"
        )
    path.write_bytes(data)
    files = open_files(path)
    loads = dict(files.read([("bomb.png",), ("x.png",)]))
    tracemalloc.start()
    try:
        with pytest.raises(OSError, match="damaged in the archive"):
            loads[0]()
        with pytest.raises(DataError, match=r"bomb\.csv in .*source\.zip"):
            files.table("bomb.csv")
        assert tracemalloc.get_traced_memory()[1] < (2**23 if declared == 10 else 2**28)
    finally:
        tracemalloc.stop()
    assert loads[1]() == (b"x",)


def test_links_in_a_zip_are_reported(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    files = open_files(tmp_path / "source.zip")
    assert files.skipped == (("link.png", "a link or a special file in the archive"),)


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path, forms: Forms) -> None:
    inner = forms["zip"](tmp_path / "inner.zip", {"evil.png": b"evil"}).read_bytes()
    files = open_files(forms["tar"](tmp_path / "source.tar", {"good.png": b"good", "inner.zip": inner}))
    assert files.names == ("good.png",)
    assert [path for path, _ in files.skipped] == ["inner.zip"]


def opened_or_refused(path: Path) -> str:
    """ "read" where an archive could be opened, whatever its files; else the line that refused it."""
    try:
        files = open_files(path)
        for _, load in files.read([(name,) for name in files.names]):
            with suppress(OSError):
                load()
    except DataError as error:
        return str(error)
    return "read"


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_every_mutation_of_an_archive_is_read_or_one_line_with_its_name(
    form: str, tmp_path: Path, forms: Forms
) -> None:
    rng, outcomes = np.random.default_rng(2), Counter[bool]()
    path = forms[form](tmp_path / "source", {"a/1.png": png(), "a/2.csv": b"x,y\n", "ä/3.jpg": NOISE})
    whole = path.read_bytes()
    tracemalloc.start()
    try:
        for _ in range(150):
            data = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.2 else whole)
            for place in rng.integers(0, max(1, len(data)), rng.integers(1, 5)):
                data[place : place + 1] = bytes([rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))])])
            path.write_bytes(data)
            found = opened_or_refused(path)
            assert found == "read" or (str(path) in found and "\n" not in found)
            outcomes[found == "read"] += 1
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()
    assert outcomes[False] > 10
