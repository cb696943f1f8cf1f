"""The cache of compiled libraries: planted faults in files, folders and processes."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from custom_ops import dispatch
from custom_ops.native import cache
from custom_ops.native.toolchain import BuildTarget, NativeUnavailable

ROOT = Path(__file__).parents[3]
CHILD = """
import sys
from pathlib import Path
from custom_ops import dispatch
dispatch.SOURCES, dispatch._register, dispatch._missing_operators = Path(sys.argv[1]), lambda: None, lambda kind: []
print(dispatch.select("bias_act", None))
"""


def start_child(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(dispatch.SOURCES), *arguments], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def test_one_line_on_stderr_says_that_it_compiles(
    capsys: pytest.CaptureFixture[str],
    count: Callable[[], int],
    new_process: Callable[[], None],
    select_silently: Callable[..., str],
) -> None:
    select_silently()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ganaug: compiling native operators (cpu) … done in ")
    assert captured.err.count("\n") == 1
    select_silently()
    new_process()
    select_silently()
    assert capsys.readouterr().err == ""


def test_the_line_moves_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, count: Callable[[], int], select_silently: Callable[..., str]
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    select_silently()
    assert "\rganaug: compiling native operators (cpu), 1/2 …" in terminal.getvalue()
    assert terminal.getvalue().count("\n") == 1


def test_several_processes_compile_once(compiler: Path, count: Callable[[], int]) -> None:
    Path(f"{compiler}.slow").touch()
    children = [start_child() for _ in range(3)]
    outputs = [child.communicate(timeout=120) for child in children]
    assert [out for out, _ in outputs] == ["native\n"] * 3, outputs
    assert count() == 1
    assert sum("compiling" in err for _, err in outputs) == 1


def test_a_killed_builder_releases_its_lock(
    compiler: Path, select_silently: Callable[..., str], wait_until: Callable[..., None]
) -> None:
    Path(f"{compiler}.hang").touch()
    child = start_child()
    try:
        wait_until(lambda: Path(f"{compiler}.hanging").exists() or child.poll() is not None, 60)
        assert child.poll() is None
        os.kill(child.pid, signal.SIGKILL)  # its compiler goes on hanging
        child.wait(timeout=60)
        Path(f"{compiler}.hang").unlink()
        assert select_silently() == "native"
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    assert {path.suffix for path in cache.folder().iterdir()} == {"", ".lock"}


def truncate(built: cache.Built) -> None:
    built.library.write_bytes(built.library.read_bytes()[:1000])


def garble(built: cache.Built) -> None:
    built.library.write_bytes(bytes(built.library.stat().st_size))


def remove_record(built: cache.Built) -> None:
    (built.library.parent / "build.json").unlink()


def garble_record(built: cache.Built) -> None:
    (built.library.parent / "build.json").write_text('{"sha256": 3')


def plant_another_kind_of_record(built: cache.Built) -> None:
    (built.library.parent / "build.json").write_text("[]")


def garble_with_matching_record(built: cache.Built) -> None:
    built.library.write_bytes(b"not a library")
    record = built.library.parent / "build.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"sha256": cache._sha256(built.library)}))


@pytest.mark.parametrize(
    "damage",
    [truncate, garble, remove_record, garble_record, plant_another_kind_of_record, garble_with_matching_record],
)
def test_a_damaged_library_is_built_anew_once(
    damage: Callable[[cache.Built], None],
    count: Callable[[], int],
    target: Callable[[], BuildTarget],
    new_process: Callable[[], None],
    select_silently: Callable[..., str],
) -> None:
    damage(cache.build(target()))
    for _ in range(2):
        assert select_silently() == "native"
        new_process()
    assert count() == 2


def test_a_library_that_never_loads_is_tried_twice(
    monkeypatch: pytest.MonkeyPatch, count: Callable[[], int], select_silently: Callable[..., str]
) -> None:
    def refuse(path: str) -> None:
        raise OSError("wrong ELF class")

    monkeypatch.setattr(torch.ops, "load_library", refuse)
    with pytest.warns(UserWarning, match=r"does not load \(wrong ELF class\), though just built"):
        assert dispatch.select("bias_act", None) == "ref"
    assert select_silently() == "ref"
    assert count() == 2


def test_sources_edited_during_the_build_leave_nothing_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, target: Callable[[], BuildTarget]
) -> None:
    compile_first = BuildTarget.compile

    def compile_then_edit(self: BuildTarget, *arguments: Any) -> Path:
        library = compile_first(self, *arguments)
        (dispatch.SOURCES / "planted.cpp").write_text("int planted() { return 2; }\n")
        return library

    monkeypatch.setattr(BuildTarget, "compile", compile_then_edit)
    before = target()
    with pytest.raises(NativeUnavailable, match="changed while they were compiled"):
        cache.build(before)
    assert cache.find(before) is None


def test_an_unwritable_cache_is_replaced_by_a_private_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: Callable[[], int],
    new_process: Callable[[], None],
    select_silently: Callable[..., str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANAUG_OPS_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.warns(UserWarning, match=r"cannot be written.*ganaug-ops-"):
        assert dispatch.select("bias_act", None) == "native"
    new_process()
    assert select_silently() == "native"
    assert count() == 1
    (spare,) = tmp_path.glob("ganaug-ops-*")
    assert spare.stat().st_mode & 0o777 == 0o700
    spare.chmod(0o777)  # now others may have put their library there
    new_process()
    with pytest.warns(UserWarning, match=r"nor .*ganaug-ops-.* can be written by every user\) can be used"):
        assert dispatch.select("bias_act", None) == "ref"


def test_a_library_in_the_cache_is_used_without_writing(
    monkeypatch: pytest.MonkeyPatch, target: Callable[[], BuildTarget], select_silently: Callable[..., str]
) -> None:
    cache.build(target())
    monkeypatch.setattr(cache, "_writable_folder", lambda: pytest.fail("looked for a place to write"))
    assert select_silently() == "native"


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANAUG_OPS_CACHE", "~/here")
    assert cache.folder() == Path.home() / "here"
    monkeypatch.delenv("GANAUG_OPS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert cache.folder() == Path("/there/ganaug/ops")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == Path.home() / ".cache/ganaug/ops"


def test_the_lock_works_where_the_system_has_none(
    monkeypatch: pytest.MonkeyPatch, count: Callable[[], int], target: Callable[[], BuildTarget]
) -> None:
    monkeypatch.setattr(cache, "fcntl", None)
    held = cache.folder() / f"{target().name}.held"
    held.parent.mkdir()
    held.touch()
    thread = threading.Thread(target=cache.build, args=(target(),), daemon=True)
    thread.start()
    time.sleep(0.5)
    assert count() == 0  # waits for the file to go
    os.utime(held, (0, 0))  # as old as if its owner had been killed
    thread.join(60)
    assert count() == 1
    assert not held.exists()


def test_a_full_disk_gives_the_references_and_leaves_nothing(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BuildTarget, "compile", fail)
    with pytest.warns(UserWarning, match="No space left on device"):
        assert dispatch.select("bias_act", None) == "ref"
    assert {path.suffix for path in cache.folder().iterdir()} == {".lock"}


def test_a_library_without_our_operators_is_built_again_and_loaded_from_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
    count: Callable[[], int],
    target: Callable[[], BuildTarget],
    select_silently: Callable[..., str],
) -> None:
    cache.build(target())
    loaded: list[str] = []
    monkeypatch.setattr(torch.ops, "load_library", lambda path: loaded.append(os.path.realpath(path)))
    monkeypatch.setattr(dispatch, "_missing_operators", lambda kind: ["bias_act"] if len(loaded) < 2 else [])
    assert select_silently() == "native"
    assert count() == 2
    assert len(set(loaded)) == 2  # the system would not load another file of the same name


def test_a_library_that_never_has_our_operators_gives_the_references(
    monkeypatch: pytest.MonkeyPatch, count: Callable[[], int]
) -> None:
    monkeypatch.setattr(dispatch, "_missing_operators", lambda kind: ["bias_act", "conv3x3"])
    with pytest.warns(UserWarning, match="lacks the operators bias_act, conv3x3, though just built"):
        assert dispatch.select("bias_act", None) == "ref"
    assert count() == 2


@pytest.mark.parametrize("has_system_locks", [True, False])
def test_waiting_for_a_builder_that_hangs_ends(
    has_system_locks: bool, monkeypatch: pytest.MonkeyPatch, target: Callable[[], BuildTarget]
) -> None:
    monkeypatch.setattr(cache, "WAIT_S", 0.3)
    if not has_system_locks:
        monkeypatch.setattr(cache, "fcntl", None)
    lock = cache.folder() / f"{target().name}.lock"
    lock.parent.mkdir()
    with cache._lock(lock), pytest.raises(NativeUnavailable, match=r"for 0\.3 s"):
        cache.build(target())
