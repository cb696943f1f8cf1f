"""A library is loaded only from where nobody else can have put it."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from custom_ops import dispatch
from custom_ops.native import cache, trust
from custom_ops.native.toolchain import BuildTarget
from custom_ops.native.trust import find_risk

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="users have no numbers")
PLACES = ["library.so", "build.json", ".", "..", "../.."]


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An entry of a cache, which `find` accepts, in a folder that others could enter."""
    monkeypatch.setattr(trust, "_is_closed", lambda status: False)  # pytest's own folders are
    folder = tmp_path / "home" / "cache" / "cpu-0"
    folder.mkdir(parents=True)
    (folder / "library.so").write_bytes(b"library")
    record = {"sha256": cache._sha256(folder / "library.so"), "built_at": 0, "took_s": 0, "compiler": "c++"}
    (folder / "build.json").write_text(json.dumps(record))
    assert cache._read(folder) is not None
    return folder


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Have a path belong to another user; where this may not be done, be another user instead."""

    def give(path: Path) -> None:
        if os.getuid() == 0:
            os.chown(path, 4242, -1)
        else:
            monkeypatch.setattr(os, "getuid", lambda: 4242)

    return give


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_taken_from_where_every_user_can_write(entry: Path, place: str) -> None:
    path = (entry / place).resolve()
    path.chmod(path.stat().st_mode | 0o002)
    assert find_risk(path) == f"{path} can be written by every user"
    assert cache._read(entry) is None


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_taken_from_another_user(entry: Path, place: str, give_away: Callable[[Path], None]) -> None:
    give_away((entry / place).resolve())
    assert "belongs to another user" in find_risk((entry / place).resolve())
    assert cache._read(entry) is None


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_taken_from_where_a_group_of_others_can_write(
    entry: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = (entry / place).resolve()
    path.chmod(path.stat().st_mode | 0o020)
    monkeypatch.setattr(trust, "_is_private", lambda group: False)
    assert f"can be written by the group {path.stat().st_gid}" in find_risk(path)
    assert cache._read(entry) is None
    monkeypatch.setattr(trust, "_is_private", lambda group: True)
    assert cache._read(entry) is not None


@pytest.mark.parametrize(
    ("group", "name", "members", "is_private"),
    [
        (1000, "eva", [], True),  # a group for each user, as Debian and Fedora make it
        (1000, "eva", ["eva"], True),
        (1000, "eva", ["eva", "otto"], False),
        (1000, "users", [], False),
        (1001, "eva", [], False),
        (0, "root", ["otto"], True),
    ],
)
def test_a_group_is_private_that_is_named_as_its_only_user(
    monkeypatch: pytest.MonkeyPatch, group: int, name: str, members: list[str], is_private: bool
) -> None:
    row, user = SimpleNamespace(gr_name=name, gr_mem=members), SimpleNamespace(pw_name="eva", pw_gid=1000)
    monkeypatch.setattr(trust, "grp", SimpleNamespace(getgrgid=lambda number: row))
    monkeypatch.setattr(trust, "pwd", SimpleNamespace(getpwuid=lambda number: user))
    assert trust._is_private(group) is is_private


def test_a_user_without_a_name_has_no_private_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "pwd", SimpleNamespace(getpwuid={}.__getitem__))
    assert not trust._is_private(os.getgid() or 1)


def test_a_sticky_folder_above_is_trusted_and_one_to_keep_libraries_in_is_not(entry: Path) -> None:
    entry.parents[1].chmod(0o1777)
    assert find_risk(entry.parent) == ""
    assert cache._read(entry) is not None
    assert "every user" in find_risk(entry.parents[1])


@pytest.mark.parametrize("change", ["the link's folder", "its target"])
def test_a_link_is_trusted_as_where_it_stands_and_where_it_leads(entry: Path, tmp_path: Path, change: str) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "cache").symlink_to(entry.parent)
    assert cache._read(links / "cache" / entry.name) is not None
    (links if change == "the link's folder" else entry.parent).chmod(0o777)
    assert cache._read(links / "cache" / entry.name) is None


def test_what_is_not_there_is_doubted_and_users_without_numbers_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot be examined" in find_risk(tmp_path / "none")
    monkeypatch.setattr(trust, "_is_closed", lambda status: False)
    tmp_path.chmod(0o777)
    assert find_risk(tmp_path)
    monkeypatch.delattr(os, "getuid")
    assert find_risk(tmp_path) == ""


def test_the_folders_of_a_root_whom_a_container_does_not_know_are_trusted_above_only(
    entry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_unknown_owners", lambda: {65534})
    lstat = Path.lstat

    def lstat_in_container(path: Path) -> object:
        status = lstat(path)
        owner = status.st_uid if path.is_relative_to(entry.parents[1]) else 65534
        return SimpleNamespace(st_uid=owner, st_mode=status.st_mode, st_gid=status.st_gid)

    monkeypatch.setattr(Path, "lstat", lstat_in_container)
    assert find_risk(entry) == ""
    monkeypatch.setattr(trust, "_unknown_owners", set)
    assert "belongs to another user (65534)" in find_risk(entry)


def test_a_cache_of_others_is_replaced_with_one_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: Callable[[], int],
    target: Callable[[], BuildTarget],
    new_process: Callable[[], None],
    select_silently: Callable[..., str],
) -> None:
    planted = cache.build(target())
    cache.folder().chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.warns(UserWarning, match="can be written by every user.*ganaug-ops-") as caught:
        assert dispatch.select("bias_act", None) == "native"
    assert len(caught) == 1
    assert count() == 2
    loaded = dispatch._decisions["cpu"].built
    assert loaded is not None
    assert loaded.library.parents[1].name.startswith("ganaug-ops-")
    assert loaded.library != planted.library
    new_process()
    assert select_silently() == "native"
    assert count() == 2


def test_without_a_compiler_the_reason_why_a_library_is_not_taken_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Callable[[], BuildTarget]
) -> None:
    cache.build(target())
    cache.folder().chmod(0o777)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.warns(UserWarning, match=r"no compiler found.*can be written by every user"):
        assert dispatch.select("bias_act", None) == "ref"


@pytest.mark.parametrize(("mode", "is_trusted"), [(0o700, True), (0o755, False), (0o710, False), (0o701, False)])
def test_below_a_closed_folder_only_owners_matter(
    tmp_path: Path, mode: int, is_trusted: bool, monkeypatch: pytest.MonkeyPatch, give_away: Callable[[Path], None]
) -> None:
    home, is_closed = tmp_path / "home", trust._is_closed
    (home / "cache").mkdir(parents=True)
    (home / "cache").chmod(0o777)
    home.chmod(mode)
    number = home.stat().st_ino
    monkeypatch.setattr(trust, "_is_closed", lambda status: status.st_ino == number and is_closed(status))
    assert (find_risk(home / "cache") == "") is is_trusted
    give_away(home / "cache")
    assert find_risk(home / "cache")


def test_what_is_built_for_a_group_by_habit_is_taken_again(
    monkeypatch: pytest.MonkeyPatch,
    count: Callable[[], int],
    target: Callable[[], BuildTarget],
    new_process: Callable[[], None],
    select_silently: Callable[..., str],
) -> None:
    monkeypatch.setattr(trust, "_is_private", lambda group: False)
    before = os.umask(0o002)
    try:
        assert select_silently() == "native"
        new_process()
        assert select_silently() == "native"
    finally:
        os.umask(before)
    assert count() == 1
