"""Files stand whole or not at all, whatever kills or fills; what is read is checked, whatever the bytes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ganaug import files
from ganaug.errors import CorruptFile, DiskFull, WorkspaceError
from ganaug.files import (
    NUMBER,
    TEXT,
    append_jsonl,
    atomic_folder,
    read_json,
    read_json_object,
    read_jsonl,
    sweep_parts,
    write_json,
    write_jsonl,
    write_text,
)

resource = pytest.importorskip("resource")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".*.part"))


@pytest.fixture(autouse=True)
def as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_swept", set())


WRITE_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from ganaug.files import atomic_folder, atomic_path
with atomic_path(Path(sys.argv[1]) / "pixels.h5") as part, atomic_folder(Path(sys.argv[1]) / "images") as folder:
    part.write_bytes(b"a patient's pixels")
    (folder / "patient").mkdir()
    (folder / "patient" / "a.png").write_bytes(b"more of them")
    print("written", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_goes_with_the_next_write_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_UNTIL_KILLED, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    (tmp_path / ".notes.part").write_text("a file of the user's")
    sweep_parts(tmp_path)
    assert len(parts(tmp_path)) == 3  # its process lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    files._swept.clear()
    write_text(tmp_path / "other.txt", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.part", "other.txt"]


def test_a_part_of_another_machine_is_kept_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = tmp_path / ".a.h5.ffffff-abcdefgh.part"
    others.write_bytes(b"x")
    monkeypatch.setattr(files, "_MACHINE", "000000")
    sweep_parts(tmp_path)
    assert others.exists()
    old = time.time() - files.SECONDS_TO_BE_UNOWNED - 1
    os.utime(others, (old, old))
    files._swept.clear()
    sweep_parts(tmp_path)
    assert not others.exists()


def test_a_folder_is_looked_through_once_per_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    listdir = os.listdir

    def look(path: str) -> list[str]:
        looked.append(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", look)
    for number in range(5):
        write_json(tmp_path / f"{number}.json", number)
    assert looked == [str(tmp_path)]


def test_a_file_swept_away_before_it_was_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, times = files.try_lock, []

    def swept_first(descriptor: int, *, shared: bool) -> bool:
        assert shared, "HDF5 must be able to read what is written"
        times.append(descriptor)
        if len(times) == 1:
            (tmp_path / parts(tmp_path)[0]).unlink()
        return lock(descriptor, shared=shared)

    monkeypatch.setattr(files, "try_lock", swept_first)
    write_text(tmp_path / "a.txt", "x")
    assert len(times) == 2
    assert (tmp_path / "a.txt").read_text() == "x"
    assert parts(tmp_path) == []


def test_a_folder_stands_whole_or_not_at_all(tmp_path: Path) -> None:

    def fail_half_way() -> None:
        with atomic_folder(tmp_path / "a") as part:
            (part / "half").write_text("x")
            raise OSError("fault")

    with pytest.raises(WorkspaceError, match="fault"):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "a") as part:
        (part / "whole").write_text("x")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "whole"]
    with pytest.raises(WorkspaceError, match="a cannot be read or written"), atomic_folder(tmp_path / "a"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "whole"]


@pytest.mark.parametrize("room", [0, 1, 7, 30])
def test_a_line_that_does_not_fit_leaves_the_log_as_it_was(tmp_path: Path, room: int) -> None:
    log = tmp_path / "stats.jsonl"
    append_jsonl(log, {"kimg": 1})
    before = log.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, limits[1]))
    try:
        with pytest.raises(DiskFull, match=r"stats\.jsonl was not written"):
            append_jsonl(log, {"kimg": 2, "text": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.read_bytes() == before


# ---- whatever the bytes ----------------------------------------------------------------------------------------------


@given(content=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@example(content=b'"\xff"')
@example(content=b"5")
@example(content=b"[]")
@example(content=b'{"version": true}')
@example(content=b"1" * 5000)
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_the_object_that_was_asked_for_or_a_corrupt_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_bytes(content)
    try:
        fits = type(json.loads(content)["version"]) in NUMBER
    except (ValueError, TypeError, LookupError):
        fits = False
    if fits:
        assert read_json_object(path, {"version": NUMBER})["version"] == json.loads(content)["version"]
    else:
        with pytest.raises(CorruptFile, match=r"^\S*a\.json [^\n]*$"):
            read_json_object(path, {"version": NUMBER})


@given(lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))))
@example(lines=[b"5", b"[]", b"\xff", b"[" * 100_000, b'{"snapshot": 5, "score": 1}', b'{"score": 1}'])
@settings(max_examples=60, deadline=None)
def test_only_records_with_their_fields_come_out_of_a_log(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "scores.jsonl"
    good = {"snapshot": "ema\u2028\x85\x1c", "score": 2.5}  # ends of lines to Unicode, not to JSON lines
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    append_jsonl(path, good)
    found = read_jsonl(path, {"snapshot": TEXT, "score": NUMBER})
    assert found[-1] == good
    assert all(type(row["snapshot"]) is str and type(row["score"]) in NUMBER for row in found)


@given(value=st.dictionaries(st.text(st.characters()), st.text(st.characters()), max_size=3))
@example(value={"\udc80": "half a letter, as in the name of a file that is no UTF-8 \ud800"})
@settings(max_examples=40, deadline=None)
def test_any_text_survives_the_disk(tmp_path_factory: pytest.TempPathFactory, value: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("text")
    write_json(folder / "a.json", value)
    append_jsonl(folder / "a.jsonl", value)
    write_jsonl(folder / "b.jsonl", [value])
    assert read_json(folder / "a.json") == value
    assert read_jsonl(folder / "a.jsonl") == read_jsonl(folder / "b.jsonl") == [value]


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("depth", [files.MAX_DEPTH + 1, 500, 100_000])
def test_what_nests_too_deep_is_no_json_for_any_reader(opening: str, depth: int, tmp_path: Path) -> None:
    closing = "".join({"[": "]", "{": "}"}[letter] for letter in reversed(opening) if letter in "[{")
    path = tmp_path / "deep.json"
    path.write_text(opening * depth + "1" + closing * depth)
    with pytest.raises(CorruptFile, match=r"deep\.json"):
        read_json_object(path)
    assert read_jsonl(path) == []


def test_no_parser_recurses_into_what_nests_too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of Python's recursion, whatever else runs just then fails too: a finaliser, a handler of a signal."""
    monkeypatch.setattr(json, "loads", lambda *args, **kwargs: pytest.fail("the parser was asked"))
    for text in ("[" * 100_000, '{"a": "\\"[", "b": ' + '{"c":' * 100_000, '["' + "]" * 50 + '",' + "[" * 51):
        with pytest.raises(ValueError, match=f"deeper than {files.MAX_DEPTH}"):
            files.parse_json(text)


def test_brackets_within_text_are_no_levels() -> None:
    texts = ["[" * 100, '"' + "{" * 100, "\\" + "[" * 100, '\\"' + "[" * 100]
    assert files.parse_json(json.dumps(texts)) == texts


def test_json_is_parsed_in_one_place() -> None:
    modules = list(Path(files.__file__).parent.rglob("*.py"))
    assert [path.name for path in modules if re.search(r"\bjson\.loads?\(", path.read_text())] == ["files.py"]


def test_what_nests_as_deep_as_allowed_is_read() -> None:
    assert files.parse_json("[" * files.MAX_DEPTH + "]" * files.MAX_DEPTH) is not None


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**400])
def test_a_whole_number_that_fits_into_no_float_is_of_no_kind(number: int) -> None:
    assert not files.is_record({"kimg": number}, {"kimg": files.NUMBER})
    assert files.is_record({"kimg": 2**63 - 1}, {"kimg": files.NUMBER})
