import io
import os
import stat
import subprocess
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ganaug.config import PrepareConfig
from ganaug.data.sources import listing as module
from ganaug.data.sources import tar_files
from ganaug.data.sources.files import Files, existing, files_at, open_files, printable, source_path
from ganaug.errors import ConfigError, DataError

Content = Mapping[str, bytes]
CONTENT = {
    "a/1.png": b"one",
    "a/deep/er/2.JPG": b"two",
    "b/3.tiff": b"three",
    "labels.csv": b"x,y\n",
    "b/dataset.json": b"{}",
}
NOISE = np.random.default_rng(0).bytes(3000)  # does not shrink when it is packed


def write_folder(path: Path, content: Content) -> Path:
    for name, data in content.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return path


def write_zip(path: Path, content: Content) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, content: Content, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


FORMS: dict[str, Callable[[Path, Content], Path]] = {
    "folder": write_folder,
    "zip": write_zip,
    "tar": write_tar,
    "tar.gz": lambda path, content: write_tar(path, content, "w:gz"),
    "tar.xz": lambda path, content: write_tar(path, content, "w:xz"),
    "tar.bz2": lambda path, content: write_tar(path, content, "w:bz2"),
}
PACKED = [form for form in FORMS if form != "folder"]


def contents(files: Files) -> dict[str, bytes]:
    """What `read` hands out for every name."""
    return {files.names[position]: load()[0] for position, load in files.read([(name,) for name in files.names])}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Callable[[Path, Content], Path]:
    return FORMS[request.param]


def test_each_form_tells_the_same_files(form: Callable[[Path, Content], Path], tmp_path: Path) -> None:
    files = open_files(form(tmp_path / "source", {**CONTENT, "readme.txt": b"text", "b/empty": b""}))
    assert files.names == tuple(sorted(CONTENT))
    assert files.left_out == ()
    assert contents(files) == CONTENT
    assert files.table("labels.csv") == b"x,y\n"
    assert files.table("b/dataset.json") == b"{}"


NAMES = st.from_regex(
    r"([a-zé 語_-][a-z0-9é 語_-]{0,5}/){0,3}[a-zé語_-][a-z0-9é 語._-]{0,6}\.(png|tif|csv)", fullmatch=True
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, st.binary(max_size=40), min_size=1, max_size=6))
def test_any_tree_is_the_same_in_each_form(tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]) -> None:
    parents = {parent for name in content for parent in map(str, Path(name).parents)}
    content = {name: data for name, data in content.items() if name not in parents}
    root = tmp_path_factory.mktemp("trees")
    found = [contents(open_files(write(root / form, content))) for form, write in FORMS.items()]
    assert all(one == content for one in found)


def test_files_of_one_item_come_together_in_their_own_order(
    form: Callable[[Path, Content], Path], tmp_path: Path
) -> None:
    files = open_files(form(tmp_path / "source", {"m2.png": b"m2", "x.png": b"x", "m1.png": b"m1", "y.png": b"y"}))
    loads = dict(files.read([("y.png",), ("x.png", "m1.png", "m2.png")]))
    assert {position: load() for position, load in loads.items()} == {0: (b"y",), 1: (b"x", b"m1", b"m2")}


def test_hidden_files_and_resource_forks_are_not_listed(form: Callable[[Path, Content], Path], tmp_path: Path) -> None:
    strays = {"a/._1.png": b"", ".cache/2.png": b"", "__MACOSX/a/1.png": b"", "a/.hidden.csv": b""}
    files = open_files(form(tmp_path / "source", {**CONTENT, **strays}))
    assert files.names == tuple(sorted(CONTENT))
    assert files.left_out == ()


def test_too_large_a_file_is_left_out_unread(
    form: Callable[[Path, Content], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2**20)
    files = open_files(form(tmp_path / "source", {"bomb.png": bytes(2**20 + 1), "good.png": bytes(2**20)}))
    assert files.names == ("good.png",)
    assert files.left_out == (("bomb.png", "the file is larger than 1 MiB"),)


# ---- archives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", PACKED)
def test_a_truncated_archive_never_passes_for_a_whole_one(form: str, tmp_path: Path) -> None:
    path = FORMS[form](tmp_path / "source", {f"{i}.png": NOISE[: 700 * i] for i in range(4)})
    whole = path.read_bytes()
    # A tar ends with two or more blocks of zeros, of which only the first says something.
    end = 512 * (4 + sum(-(-700 * i // 512) for i in range(4))) if form == "tar" else len(whole) - 1
    for length in {*range(0, end, 512), *range(1, end, 311), end}:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"truncated, damaged or no archive .*download it again"):
            open_files(path)


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.xz"])
def test_a_damaged_tar_is_one_line(form: str, tmp_path: Path) -> None:
    path = FORMS[form](tmp_path / "source", {"1.png": NOISE, "2.png": NOISE[::-1]})
    data = bytearray(path.read_bytes())
    place = 512 + 3072 if form == "tar" else len(data) // 2  # the header of the second member
    data[place : place + 64] = b"\x55" * 64
    path.write_bytes(data)
    with pytest.raises(DataError, match="truncated, damaged or no archive"):
        open_files(path)


def test_a_damaged_file_in_a_zip_is_unreadable_and_the_others_are_not(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "source.zip", {"1.png": NOISE, "2.png": b"whole"})
    data = bytearray(path.read_bytes())
    data[500:564] = bytes(64)
    path.write_bytes(data)
    files = open_files(path)
    loads = dict(files.read([("1.png",), ("2.png",)]))
    with pytest.raises(OSError, match="damaged in the archive"):
        loads[0]()
    assert loads[1]() == (b"whole",)


@pytest.mark.parametrize("text", ["", "<html>please log in</html>", "x" * 2000])
def test_a_file_that_is_no_archive_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "data.tar.gz").write_text(text)
    with pytest.raises(DataError, match=r"no archive.*expected a folder, a \.zip or a \.tar\.gz") as caught:
        open_files(tmp_path / "data.tar.gz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", PACKED)
def test_members_that_lead_out_of_the_archive_are_left_out(form: str, tmp_path: Path) -> None:
    evil = ["../../1.png", "/2.png", "a/../../3.csv", "a/b/../4.png"]
    files = open_files(FORMS[form](tmp_path / "source", {**dict.fromkeys(evil, b"evil"), "good.png": b"good"}))
    assert files.names == ("good.png",)
    assert sorted(path for path, _ in files.left_out) == sorted(evil)
    assert {reason for _, reason in files.left_out} == {"the path leads out of the archive"}


def test_backslashes_in_a_zip_are_slashes_and_lead_out_no_more_than_those(tmp_path: Path) -> None:
    files = open_files(write_zip(tmp_path / "source.zip", {"a\\1.png": b"one", "..\\..\\2.png": b"evil"}))
    assert contents(files) == {"a/1.png": b"one"}
    assert files.left_out == (("../../2.png", "the path leads out of the archive"),)


def test_links_and_devices_in_a_tar_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "source.tar"
    kinds = {"sym.png": tarfile.SYMTYPE, "hard.png": tarfile.LNKTYPE, "dev.png": tarfile.CHRTYPE, "f.csv": b"6"}
    with tarfile.open(path, "w") as archive:
        for name, kind in kinds.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    files = open_files(path)
    assert files.names == ()
    assert dict(files.left_out) == dict.fromkeys(kinds, "a link or a special file in the archive")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_of_two_members_of_one_name_the_first_counts_and_the_second_is_told(form: str, tmp_path: Path) -> None:
    path = tmp_path / "source"
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for data in (b"first", b"second"):
                archive.writestr("a/1.png", data)
                archive.writestr("t.csv", data)
    else:
        with tarfile.open(path, "w:gz" if form == "tar.gz" else "w") as tar:
            for data in (b"first", b"second"):
                for name in ("a/1.png" if data == b"first" else "./a/1.png", "t.csv"):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    files = open_files(path)
    assert contents(files) == {"a/1.png": b"first", "t.csv": b"first"}
    assert files.table("t.csv") == b"first"
    assert files.left_out == tuple((name, "there are two files of this name") for name in ("a/1.png", "t.csv"))


def test_an_encrypted_member_is_left_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "source.zip", {"1.png": b"secret"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the member's header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the archive's directory
    path.write_bytes(data)
    assert open_files(path).left_out == (("1.png", "the file is encrypted"),)


# ---- names in other encodings ----------------------------------------------------------------------------------------


def test_a_zip_that_does_not_declare_utf_8_is_read_as_such(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "source.zip", {"gewebe/größe.png": b"x"})
    data = path.read_bytes()
    for start in (data.index(b"PK\x03\x04") + 7, data.index(b"PK\x01\x02") + 9):
        data = data[:start] + bytes([data[start] & ~0x08]) + data[start + 1 :]  # bit 11: the name is UTF-8
    path.write_bytes(data)
    assert open_files(path).names == ("gewebe/größe.png",)


def test_names_in_latin_1_are_read_and_can_be_printed(tmp_path: Path) -> None:
    name = os.fsdecode("größe.png".encode("latin-1"))
    with tarfile.open(tmp_path / "source.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("größe.png")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    for source in (write_folder(tmp_path / "folder", {name: b"x"}), tmp_path / "source.tar"):
        files = open_files(source)
        assert contents(files) == {name: b"x"}
        assert printable(files.names[0]) == "gr\\udcf6\\udcdfe.png"
        assert printable(files.names[0]).encode("utf-8")


@given(st.text(alphabet=st.characters(), max_size=20))
def test_every_name_can_be_stored_and_printing_it_twice_changes_nothing(name: str) -> None:
    printed = printable(name)
    assert printable(printed) == printed
    assert printed.encode("utf-8").decode("utf-8") == printed


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_a_circle_of_links_ends_and_is_told(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", {"a/b/1.png": b"one"})
    (root / "a" / "b" / "back").symlink_to(root / "a")
    (root / "self").symlink_to(root)
    (root / "loop.png").symlink_to(root / "loop.png")
    files = open_files(root)
    assert files.names == ("a/b/1.png",)
    assert files.left_out == (
        ("a/b/back", "a link to a folder that is listed already"),
        ("loop.png", "a link that leads nowhere"),
        ("self", "a link to a folder that is listed already"),
    )


def test_a_linked_folder_and_a_linked_file_are_read(tmp_path: Path) -> None:
    write_folder(tmp_path / "elsewhere", {"1.png": b"one"})
    root = write_folder(tmp_path / "root", {"a/2.png": b"two"})
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "3.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    assert contents(open_files(root)) == {"a/2.png": b"two", "a/3.png": b"one", "b/1.png": b"one"}


def test_a_pipe_named_like_an_image_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.png")
    assert open_files(tmp_path).names == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", {"a/1.png": b"one", "b/2.png": b"two"})
    (root / "a").chmod(0)
    files = open_files(root)
    (root / "a").chmod(0o700)
    assert files.names == ("b/2.png",)
    assert files.left_out == (("a", "the folder may not be read (Permission denied)"),)


def test_a_file_that_vanished_is_unreadable(tmp_path: Path) -> None:
    files = open_files(write_folder(tmp_path / "root", {"1.png": b"one"}))
    (tmp_path / "root" / "1.png").unlink()
    [(_, load)] = files.read([("1.png",)])
    with pytest.raises(FileNotFoundError):
        load()


def test_a_source_that_is_not_named_or_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no source for the data set bach; name its folder or file with --source"):
        source_path(PrepareConfig("bach"))
    with pytest.raises(DataError, match=r"no file or folder .*/nowhere; name an existing one with --patients"):
        existing(str(tmp_path / "nowhere"), "--patients")


# ---- what is not read is told ----------------------------------------------------------------------------------------


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), seed, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_whatever_looks_like_an_image_is_read_or_told(form: Callable[[Path, Content], Path], tmp_path: Path) -> None:
    read = dict.fromkeys(["a/1.jpe", "a/2.JFIF", "a/3.ome.tif"], b"read")
    told = {
        **dict.fromkeys(["x.bmp", "x.webp", "x.GIF", "x.jp2", "b/x.heic"], b"?"),
        **dict.fromkeys(["x.svs", "x.ndpi", "x.mrxs", "x.scn", "x.vms", "x.bif", "x.czi", "x.dcm"], b"?"),
        **dict.fromkeys(["x.zip", "x.tar", "b/x.tar.gz", "x.tgz", "x.7z"], b"?"),
        "IM0001": png(),
        "scan.dat": b"\xff\xd8\xff\xe0 a JPEG",
        "b/scan.bin": b"II*\0 a TIFF",
    }
    silent = dict.fromkeys(["Thumbs.db", "a/.DS_Store", "a/desktop.ini", "__MACOSX/x.bmp", ".x.svs"], b"?")
    silent |= {"readme": b"text", "a/notes.txt": b"", "b/features.npy": b"\x93NUMPY", ".hidden/IM0001": png()}
    files = open_files(form(tmp_path / "source", {**read, **told, **silent}))
    assert files.names == tuple(sorted(read))
    reasons = dict(files.left_out)
    assert sorted(reasons) == sorted(told)
    for name, reason in reasons.items():
        kind = {"IM0001": "PNG", "scan.dat": "JPEG", "b/scan.bin": "TIFF"}.get(name)
        assert (kind or ("archive" if "." + name.split(".", 1)[1] in (".zip", ".tar", ".tar.gz", ".tgz", ".7z") else
                         Path(name).suffix.lower())) in reason  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["png", "bmp", "svs", "csv", "JPG", "zip"]), max_size=12))
def test_no_image_vanishes_before_it_is_counted(tmp_path_factory: pytest.TempPathFactory, suffixes: list[str]) -> None:
    content = {f"a/{number}.{suffix}": b"x" for number, suffix in enumerate(suffixes)}
    root = tmp_path_factory.mktemp("counts")
    for form in ("folder", "zip", "tar"):
        (root / "none.txt").write_bytes(b"")
        files = open_files(FORMS[form](root / form, {**content, "none.txt": b""}))
        assert sorted([*files.names, *(path for path, _ in files.left_out)]) == sorted(content)


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_a_file_has_one_name_however_the_archive_writes_it(form: str, tmp_path: Path) -> None:
    same = ["A//x.png", "./A/x.png", "A/./x.png", "A\\x.png", ".\\A\\x.png"]
    out = ["a/../b.png", "C:\\x.png", "C:/y.png", "c:z.png", "\\\\server\\x.png"]
    files = open_files(FORMS[form](tmp_path / "source", {**dict.fromkeys(same, b"x"), **dict.fromkeys(out, b"y")}))
    assert contents(files) == {"A/x.png": b"x"}
    twice = [path for path, reason in files.left_out if "two files" in reason]
    assert twice == ["A/x.png"] * (len(same) - 1)
    assert sum("leads out" in reason for _, reason in files.left_out) == len(out)


def test_two_names_that_print_alike_are_told(form: Callable[[Path, Content], Path], tmp_path: Path) -> None:
    composed, decomposed = "é/1.png", "e\N{COMBINING ACUTE ACCENT}/1.png"
    files = open_files(form(tmp_path / "source", {composed: b"1", decomposed: b"2"}))
    assert len(files.names) == 1
    assert files.left_out == ((composed, "there are two files of this name"),)


def test_names_with_nul_or_of_absurd_length_are_told(tmp_path: Path) -> None:
    headers = {"nul.png": {"path": "nul\0.png"}, "long.png": {"path": "a/" * 3000 + "x.png"}}
    with tarfile.open(tmp_path / "source.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name, header in headers.items():
            member = tarfile.TarInfo(name)
            member.pax_headers = header
            archive.addfile(member)
    files = open_files(tmp_path / "source.tar")
    assert files.names == ()
    assert len(files.left_out) == 2
    assert all(len(path) < 300 for path, _ in files.left_out)
    assert {"NUL" in reason or "4096" in reason for _, reason in files.left_out} == {True}


def test_a_file_that_two_items_share_is_handed_to_both(form: Callable[[Path, Content], Path], tmp_path: Path) -> None:
    files = open_files(form(tmp_path / "source", {"m.png": b"m", "x.png": b"x", "y.png": b"y"}))
    loads = dict(files.read([("x.png", "m.png"), ("y.png", "m.png"), ("m.png", "m.png")]))
    assert {position: load() for position, load in loads.items()} == {0: (b"x", b"m"), 1: (b"y", b"m"), 2: (b"m", b"m")}
    assert [loads[position].num_bytes for position in range(3)] == [2, 2, 2]


def test_what_waits_for_its_mask_is_set_aside_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_files, "SHELF_BYTES", 5000)
    content = {f"{kind}/{number}.png": bytes([number]) * 2000 for kind in ("image", "mask") for number in range(9)}
    files = open_files(write_tar(tmp_path / "source.tar.gz", content, "w:gz"))
    wanted = [(f"image/{number}.png", f"mask/{number}.png") for number in range(9)]
    found = {position: load() for position, load in files.read(wanted)}
    assert found == {number: (bytes([number]) * 2000,) * 2 for number in range(9)}


# ---- folders that multiply or hang -----------------------------------------------------------------------------------


def test_links_that_fan_out_list_each_folder_once(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", {f"{level}/x.png": b"x" for level in range(24)})
    for level in range(23):
        for side in ("left", "right"):
            (root / str(level) / side).symlink_to(root / str(level + 1))  # 2^23 ways to the last folder
    files = open_files(root)
    assert files.names == tuple(sorted(f"{level}/x.png" for level in range(24)))
    assert len(files.left_out) == 46


def test_a_folder_1200_deep_is_listed_or_told(tmp_path: Path) -> None:
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
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # shutil recurses


def test_pipes_sockets_and_devices_are_told_and_never_opened(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", {"a/1.png": b"one"})
    os.mkfifo(root / "pipe.png")
    os.mkfifo(root / "pipe.dat")
    (root / "link.png").symlink_to(root / "pipe.png")
    (root / "zero.csv").symlink_to("/dev/zero")
    files = open_files(root)
    assert files.names == ("a/1.png",)
    assert [path for path, _ in files.left_out] == ["link.png", "pipe.png", "zero.csv"]
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
        with pytest.raises(DataError, match="--source"):
            existing(name, "--source")


# ---- archives that lie about their size ------------------------------------------------------------------------------


def test_tables_of_a_tar_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TABLE_BYTES", 2**20)
    tables = {f"{number}.csv": bytes(400_000) for number in range(5)}
    files = open_files(write_tar(tmp_path / "source.tar.gz", {**tables, "x.png": b"x"}, "w:gz"))
    assert files.names == ("0.csv", "1.csv", "x.png")
    assert [path for path, _ in files.left_out] == ["2.csv", "3.csv", "4.csv"]
    assert "1 MiB" in files.left_out[0][1]


def test_an_archive_that_is_empty_but_huge_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_files, "FREE_BYTES", 2**20)
    for number, content in enumerate(({"x.png": bytes(2**24)}, {f"{n}.bin": bytes(2**20) for n in range(20)})):
        path = write_tar(tmp_path / f"{number}.tar.gz", content, "w:gz")
        with pytest.raises(DataError, match="200 times"):
            open_files(path)
    monkeypatch.setattr(tar_files, "MAX_MEMBERS", 10)
    with pytest.raises(DataError, match="10 files"):
        open_files(write_tar(tmp_path / "many.tar", dict.fromkeys(map(str, range(11)), b"")))


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
def test_a_member_of_a_zip_whose_size_is_a_lie_is_unreadable_and_takes_no_memory(declared: int, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "source.zip", {"bomb.png": bytes(2**26), "bomb.csv": bytes(2**24), "x.png": b"x"})
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


def test_links_in_a_zip_are_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    files = open_files(tmp_path / "source.zip")
    assert files.left_out == (("link.png", "a link or a special file in the archive"),)


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", {"evil.png": b"evil"}).read_bytes()
    files = open_files(write_tar(tmp_path / "source.tar", {"good.png": b"good", "inner.zip": inner}))
    assert files.names == ("good.png",)
    assert [path for path, _ in files.left_out] == ["inner.zip"]


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
def test_every_mutation_of_an_archive_is_read_or_one_line_with_its_name(form: str, tmp_path: Path) -> None:
    rng, outcomes = np.random.default_rng(2), Counter[bool]()
    path = FORMS[form](tmp_path / "source", {"a/1.png": png(), "a/2.csv": b"x,y\n", "ä/3.jpg": NOISE[:300]})
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
