import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganaug.config import PrepareConfig
from ganaug.data.archives import listing as module
from ganaug.data.archives.files import Files, existing, open_files, printable, source_path
from ganaug.errors import ConfigError, DataError

Write = Callable[[Path, Mapping[str, bytes]], Path]
Forms = Mapping[str, Write]
Contents = Callable[[Files], dict[str, bytes]]
CONTENT = {
    "a/1.png": b"one",
    "a/deep/er/2.JPG": b"two",
    "b/3.tiff": b"three",
    "labels.csv": b"x,y\n",
    "b/dataset.json": b"{}",
}
NOISE = np.random.default_rng(0).bytes(3000)  # does not shrink when it is packed
PACKED = ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"]


def test_each_form_tells_the_same_files(form: Write, tmp_path: Path, contents: Contents) -> None:
    files = open_files(form(tmp_path / "source", {**CONTENT, "readme.txt": b"text", "b/empty": b""}))
    assert files.names == tuple(sorted(CONTENT))
    assert files.skipped == ()
    assert contents(files) == CONTENT
    assert files.table("labels.csv") == b"x,y\n"
    assert files.table("b/dataset.json") == b"{}"


NAMES = st.from_regex(
    r"([a-zé 語_-][a-z0-9é 語_-]{0,5}/){0,3}[a-zé語_-][a-z0-9é 語._-]{0,6}\.(png|tif|csv)", fullmatch=True
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(NAMES, st.binary(max_size=40), min_size=1, max_size=6))
def test_any_tree_is_the_same_in_each_form(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes], forms: Forms, contents: Contents
) -> None:
    parents = {parent for name in content for parent in map(str, Path(name).parents)}
    content = {name: data for name, data in content.items() if name not in parents}
    root = tmp_path_factory.mktemp("trees")
    found = [contents(open_files(write(root / form, content))) for form, write in forms.items()]
    assert len(found) == len(forms) > 1
    assert all(data == content for data in found)


def test_files_of_one_item_come_together_in_their_own_order(form: Write, tmp_path: Path) -> None:
    files = open_files(form(tmp_path / "source", {"m2.png": b"m2", "x.png": b"x", "m1.png": b"m1", "y.png": b"y"}))
    loads = dict(files.read([("y.png",), ("x.png", "m1.png", "m2.png")]))
    assert {position: load() for position, load in loads.items()} == {0: (b"y",), 1: (b"x", b"m1", b"m2")}


def test_hidden_files_and_resource_forks_are_not_listed(form: Write, tmp_path: Path) -> None:
    strays = {"a/._1.png": b"", ".cache/2.png": b"", "__MACOSX/a/1.png": b"", "a/.hidden.csv": b""}
    files = open_files(form(tmp_path / "source", {**CONTENT, **strays}))
    assert files.names == tuple(sorted(CONTENT))
    assert files.skipped == ()


def test_too_large_a_file_is_skipped_unread(form: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2**20)
    files = open_files(form(tmp_path / "source", {"bomb.png": bytes(2**20 + 1), "good.png": bytes(2**20)}))
    assert files.names == ("good.png",)
    assert files.skipped == (("bomb.png", "the file is larger than 1 MiB"),)


# ---- archives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", PACKED)
def test_a_truncated_archive_never_passes_for_a_whole_one(form: str, tmp_path: Path, forms: Forms) -> None:
    path = forms[form](tmp_path / "source", {f"{i}.png": NOISE[: 700 * i] for i in range(4)})
    whole = path.read_bytes()
    # A tar ends with two or more blocks of zeros, of which only the first says something.
    end = 512 * (4 + sum(-(-700 * i // 512) for i in range(4))) if form == "tar" else len(whole) - 1
    for length in {*range(0, end, 512), *range(1, end, 311), end}:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"truncated, damaged or no archive .*download it again"):
            open_files(path)


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.xz"])
def test_a_damaged_tar_is_one_line(form: str, tmp_path: Path, forms: Forms) -> None:
    path = forms[form](tmp_path / "source", {"1.png": NOISE, "2.png": NOISE[::-1]})
    data = bytearray(path.read_bytes())
    place = 512 + 3072 if form == "tar" else len(data) // 2  # the header of the second member
    data[place : place + 64] = b"\x55" * 64
    path.write_bytes(data)
    with pytest.raises(DataError, match="truncated, damaged or no archive"):
        open_files(path)


def test_a_damaged_file_in_a_zip_is_unreadable_and_the_others_are_not(tmp_path: Path, forms: Forms) -> None:
    path = forms["zip"](tmp_path / "source.zip", {"1.png": NOISE, "2.png": b"whole"})
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
def test_members_that_lead_out_of_the_archive_are_skipped(form: str, tmp_path: Path, forms: Forms) -> None:
    evil = ["../../1.png", "/2.png", "a/../../3.csv", "a/b/../4.png"]
    files = open_files(forms[form](tmp_path / "source", {**dict.fromkeys(evil, b"evil"), "good.png": b"good"}))
    assert files.names == ("good.png",)
    assert sorted(path for path, _ in files.skipped) == sorted(evil)
    assert {reason for _, reason in files.skipped} == {"the path leads out of the archive"}


def test_backslashes_in_a_zip_are_slashes_and_lead_out_no_more_than_those(
    tmp_path: Path, forms: Forms, contents: Contents
) -> None:
    files = open_files(forms["zip"](tmp_path / "source.zip", {"a\\1.png": b"one", "..\\..\\2.png": b"evil"}))
    assert contents(files) == {"a/1.png": b"one"}
    assert files.skipped == (("../../2.png", "the path leads out of the archive"),)


def test_links_and_devices_in_a_tar_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "source.tar"
    kinds = {"sym.png": tarfile.SYMTYPE, "hard.png": tarfile.LNKTYPE, "dev.png": tarfile.CHRTYPE, "f.csv": b"6"}
    with tarfile.open(path, "w") as archive:
        for name, kind in kinds.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    files = open_files(path)
    assert files.names == ()
    assert dict(files.skipped) == dict.fromkeys(kinds, "a link or a special file in the archive")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_of_two_members_of_one_name_the_first_counts_and_the_second_is_reported(
    form: str, tmp_path: Path, contents: Contents
) -> None:
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
    assert files.skipped == tuple((name, "there are two files of this name") for name in ("a/1.png", "t.csv"))


def test_an_encrypted_member_is_skipped(tmp_path: Path, forms: Forms) -> None:
    path = forms["zip"](tmp_path / "source.zip", {"1.png": b"secret"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the member's header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the archive's directory
    path.write_bytes(data)
    assert open_files(path).skipped == (("1.png", "the file is encrypted"),)


# ---- names in other encodings ----------------------------------------------------------------------------------------


def test_a_zip_that_does_not_declare_utf_8_is_read_as_such(tmp_path: Path, forms: Forms) -> None:
    path = forms["zip"](tmp_path / "source.zip", {"gewebe/größe.png": b"x"})
    data = path.read_bytes()
    for start in (data.index(b"PK\x03\x04") + 7, data.index(b"PK\x01\x02") + 9):
        data = data[:start] + bytes([data[start] & ~0x08]) + data[start + 1 :]  # bit 11: the name is UTF-8
    path.write_bytes(data)
    assert open_files(path).names == ("gewebe/größe.png",)


def test_names_in_latin_1_are_read_and_can_be_printed(tmp_path: Path, forms: Forms, contents: Contents) -> None:
    name = os.fsdecode("größe.png".encode("latin-1"))
    with tarfile.open(tmp_path / "source.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("größe.png")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    for source in (forms["folder"](tmp_path / "folder", {name: b"x"}), tmp_path / "source.tar"):
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


def test_a_circle_of_links_ends_and_is_reported(tmp_path: Path, forms: Forms) -> None:
    root = forms["folder"](tmp_path / "root", {"a/b/1.png": b"one"})
    (root / "a" / "b" / "back").symlink_to(root / "a")
    (root / "self").symlink_to(root)
    (root / "loop.png").symlink_to(root / "loop.png")
    files = open_files(root)
    assert files.names == ("a/b/1.png",)
    assert files.skipped == (
        ("a/b/back", "a link to a folder that is listed already"),
        ("loop.png", "a link that leads nowhere"),
        ("self", "a link to a folder that is listed already"),
    )


def test_a_linked_folder_and_a_linked_file_are_read(tmp_path: Path, forms: Forms, contents: Contents) -> None:
    forms["folder"](tmp_path / "elsewhere", {"1.png": b"one"})
    root = forms["folder"](tmp_path / "root", {"a/2.png": b"two"})
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "3.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    assert contents(open_files(root)) == {"a/2.png": b"two", "a/3.png": b"one", "b/1.png": b"one"}


def test_a_pipe_named_like_an_image_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.png")
    assert open_files(tmp_path).names == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_reported(tmp_path: Path, forms: Forms) -> None:
    root = forms["folder"](tmp_path / "root", {"a/1.png": b"one", "b/2.png": b"two"})
    (root / "a").chmod(0)
    files = open_files(root)
    (root / "a").chmod(0o700)
    assert files.names == ("b/2.png",)
    assert files.skipped == (("a", "the folder may not be read (Permission denied)"),)


def test_a_file_that_vanished_is_unreadable(tmp_path: Path, forms: Forms) -> None:
    files = open_files(forms["folder"](tmp_path / "root", {"1.png": b"one"}))
    (tmp_path / "root" / "1.png").unlink()
    [(_, load)] = files.read([("1.png",)])
    with pytest.raises(FileNotFoundError):
        load()


def test_a_source_that_is_not_named_or_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no source for the data set bach; name its folder or file with --source"):
        source_path(PrepareConfig("bach"))
    with pytest.raises(DataError, match=r"no file or folder .*/nowhere; name an existing one with --patients"):
        existing(str(tmp_path / "nowhere"), "--patients")
