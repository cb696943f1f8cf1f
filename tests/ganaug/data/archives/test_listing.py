"""What looks like an image is read or reported, under one name, once; and nothing makes the listing hang."""

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganaug.data.archives import tar_files
from ganaug.data.archives.files import Files, existing, files_at, open_files
from ganaug.errors import DataError, UserError

Write = Callable[[Path, Mapping[str, bytes]], Path]
Forms = Mapping[str, Write]
Contents = Callable[[Files], dict[str, bytes]]


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), seed, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_whatever_looks_like_an_image_is_read_or_reported(form: Write, tmp_path: Path) -> None:
    read = dict.fromkeys(["a/1.jpe", "a/2.JFIF", "a/3.ome.tif"], b"read")
    reported = {
        **dict.fromkeys(["x.bmp", "x.webp", "x.GIF", "x.jp2", "b/x.heic"], b"?"),
        **dict.fromkeys(["x.svs", "x.ndpi", "x.mrxs", "x.scn", "x.vms", "x.bif", "x.czi", "x.dcm"], b"?"),
        **dict.fromkeys(["x.zip", "x.tar", "b/x.tar.gz", "x.tgz", "x.7z"], b"?"),
        "IM0001": png(),
        "scan.dat": b"\xff\xd8\xff\xe0 a JPEG",
        "b/scan.bin": b"II*\0 a TIFF",
    }
    silent = dict.fromkeys(["Thumbs.db", "a/.DS_Store", "a/desktop.ini", "__MACOSX/x.bmp", ".x.svs"], b"?")
    silent |= {"readme": b"text", "a/notes.txt": b"", "b/features.npy": b"\x93NUMPY", ".hidden/IM0001": png()}
    files = open_files(form(tmp_path / "source", {**read, **reported, **silent}))
    assert files.names == tuple(sorted(read))
    reasons = dict(files.skipped)
    assert sorted(reasons) == sorted(reported)
    kinds = {"IM0001": "PNG", "scan.dat": "JPEG", "b/scan.bin": "TIFF"}  # known by their first bytes
    for name, reason in reasons.items():
        is_archive = name.endswith((".zip", ".tar", ".tar.gz", ".tgz", ".7z"))
        assert kinds.get(name, "archive" if is_archive else Path(name).suffix.lower()) in reason


@settings(max_examples=25, deadline=None)
@given(suffixes=st.lists(st.sampled_from(["png", "bmp", "svs", "csv", "JPG", "zip"]), max_size=12))
def test_no_image_vanishes_before_it_is_counted(
    tmp_path_factory: pytest.TempPathFactory, suffixes: list[str], forms: Forms
) -> None:
    content = {f"a/{number}.{suffix}": b"x" for number, suffix in enumerate(suffixes)}
    root = tmp_path_factory.mktemp("counts")
    for form in ("folder", "zip", "tar"):
        (root / "none.txt").write_bytes(b"")
        files = open_files(forms[form](root / form, {**content, "none.txt": b""}))
        assert sorted([*files.names, *(path for path, _ in files.skipped)]) == sorted(content)


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_a_file_has_one_name_however_the_archive_writes_it(
    form: str, tmp_path: Path, forms: Forms, contents: Contents
) -> None:
    same = ["A//x.png", "./A/x.png", "A/./x.png", "A\\x.png", ".\\A\\x.png"]
    out = ["a/../b.png", "C:\\x.png", "C:/y.png", "c:z.png", "\\\\server\\x.png"]
    files = open_files(forms[form](tmp_path / "source", {**dict.fromkeys(same, b"x"), **dict.fromkeys(out, b"y")}))
    assert contents(files) == {"A/x.png": b"x"}
    twice = [path for path, reason in files.skipped if "two files" in reason]
    assert twice == ["A/x.png"] * (len(same) - 1)
    assert sum("leads out" in reason for _, reason in files.skipped) == len(out)


def test_two_names_that_print_alike_are_reported(form: Write, tmp_path: Path) -> None:
    composed, decomposed = "é/1.png", "e\N{COMBINING ACUTE ACCENT}/1.png"
    files = open_files(form(tmp_path / "source", {composed: b"1", decomposed: b"2"}))
    assert len(files.names) == 1
    assert files.skipped == ((composed, "there are two files of this name"),)


def test_names_with_nul_or_of_absurd_length_are_reported(tmp_path: Path) -> None:
    headers = {"nul.png": {"path": "nul\0.png"}, "long.png": {"path": "a/" * 3000 + "x.png"}}
    with tarfile.open(tmp_path / "source.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name, header in headers.items():
            member = tarfile.TarInfo(name)
            member.pax_headers = header
            archive.addfile(member)
    files = open_files(tmp_path / "source.tar")
    assert files.names == ()
    assert len(files.skipped) == 2
    assert all(len(path) < 300 for path, _ in files.skipped)
    assert {"NUL" in reason or "4096" in reason for _, reason in files.skipped} == {True}


def test_a_file_that_two_items_share_is_handed_to_both(form: Write, tmp_path: Path) -> None:
    files = open_files(form(tmp_path / "source", {"m.png": b"m", "x.png": b"x", "y.png": b"y"}))
    loads = dict(files.read([("x.png", "m.png"), ("y.png", "m.png"), ("m.png", "m.png")]))
    assert {position: load() for position, load in loads.items()} == {0: (b"x", b"m"), 1: (b"y", b"m"), 2: (b"m", b"m")}
    assert [loads[position].num_bytes for position in range(3)] == [2, 2, 2]


def test_what_waits_for_its_mask_is_set_aside_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forms: Forms
) -> None:
    monkeypatch.setattr(tar_files, "SHELF_BYTES", 5000)
    content = {f"{kind}/{number}.png": bytes([number]) * 2000 for kind in ("image", "mask") for number in range(9)}
    files = open_files(forms["tar.gz"](tmp_path / "source.tar.gz", content))
    wanted = [(f"image/{number}.png", f"mask/{number}.png") for number in range(9)]
    found = {position: load() for position, load in files.read(wanted)}
    assert found == {number: (bytes([number]) * 2000,) * 2 for number in range(9)}


# ---- folders that multiply or hang -----------------------------------------------------------------------------------


def test_links_that_fan_out_list_each_folder_once(tmp_path: Path, forms: Forms) -> None:
    root = forms["folder"](tmp_path / "root", {f"{level}/x.png": b"x" for level in range(24)})
    for level in range(23):
        for side in ("left", "right"):
            (root / str(level) / side).symlink_to(root / str(level + 1))  # 2^23 ways to the last folder
    files = open_files(root)
    assert files.names == tuple(sorted(f"{level}/x.png" for level in range(24)))
    assert len(files.skipped) == 46


def test_a_folder_1200_deep_is_listed_or_reported(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x.png", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        assert open_files(tmp_path).names == ("d/" * 1200 + "x.png",)
    finally:
        os.unlink(tmp_path / ("d/" * 1200 + "x.png"))
        for depth in range(1200, 0, -1):  # shutil recurses
            os.rmdir(f"{tmp_path}/{'d/' * depth}")


def test_pipes_sockets_and_devices_are_told_and_never_opened(tmp_path: Path, forms: Forms) -> None:
    root = forms["folder"](tmp_path / "root", {"a/1.png": b"one"})
    os.mkfifo(root / "pipe.png")
    os.mkfifo(root / "pipe.dat")
    (root / "link.png").symlink_to(root / "pipe.png")
    (root / "zero.csv").symlink_to("/dev/zero")
    files = open_files(root)
    assert files.names == ("a/1.png",)
    assert [path for path, _ in files.skipped] == ["link.png", "pipe.png", "zero.csv"]
    [(_, load)] = files_at(root).read([("zero.csv",)])
    with pytest.raises(OSError, match="device"):
        load()
    for source in ("pipe.png", "link.png", "zero.csv"):
        with pytest.raises(DataError, match="device"):
            open_files(root / source)
        with pytest.raises(DataError, match="device"):
            existing(str(root / source), "--source")


def test_a_name_that_can_be_no_path_is_one_line() -> None:
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(UserError, match="cannot be read"):
            existing(name, "--source")
