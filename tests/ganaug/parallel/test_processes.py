"""Calls in parallel processes: their answers, errors and deaths, requests to stop, and the allocator."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import process as pools
from pathlib import Path
from typing import Any

import pytest

from ganaug.errors import ConfigError, Ended, UserError
from ganaug.parallel.processes import defer_stops, run_parallel
from ganaug.presets import require_preset

COUNT_FAULTS = """
import resource
from ganaug.parallel.processes import tune_allocator
if {tuned}:
    assert tune_allocator()
for round in range(21):
    block = bytearray(32 * 2**20)
    block[:] = b"x" * len(block)
    del block
    if round == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(tuned: bool) -> int:
    script = COUNT_FAULTS.format(tuned=tuned)
    return int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator is tuned on Linux only")
def test_large_blocks_are_reused() -> None:
    assert faults(tuned=True) * 3 < faults(tuned=False)


def test_every_call_is_answered_under_its_position() -> None:
    assert dict(run_parallel(divmod, [(7, 2), (8, 3), (9, 4)], num_workers=2)) == {0: (3, 1), 1: (2, 2), 2: (2, 1)}


def test_one_worker_is_this_process_and_several_elsewhere() -> None:
    here = os.getpid()
    assert {process for _, process in run_parallel(os.getpid, [(), ()], num_workers=1)} == {here}
    assert here not in {process for _, process in run_parallel(os.getpid, [(), ()], num_workers=2)}


def test_every_process_has_the_environment_of_this_one_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("first", "second"):
        monkeypatch.setenv("GANAUG_KEY", value)
        found = dict(run_parallel(os.getenv, [("GANAUG_KEY",)] * 2, num_workers=2))
        assert set(found.values()) == {value}
    monkeypatch.delenv("GANAUG_KEY")
    assert set(dict(run_parallel(os.getenv, [("GANAUG_KEY",)] * 2, num_workers=2)).values()) == {None}


def test_the_error_of_a_call_reaches_the_caller() -> None:
    with pytest.raises(ConfigError, match="there is no preset huge"):
        list(run_parallel(require_preset, [("quick",), ("huge",)], num_workers=2))


def test_a_process_that_dies_is_reported_in_one_line_with_what_to_do() -> None:
    with pytest.raises(UserError, match="--workers 1"):
        list(run_parallel(os._exit, [(9,), (9,)], num_workers=2))


@pytest.mark.parametrize("calls", [[("1",), ("1/0",)], [("exit()",), ("2",)], [("__import__('os')._exit(9)",), ("2",)]])
def test_no_thread_is_left_to_close_a_pipe_while_python_ends(
    calls: list[tuple[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = pools._ExecutorManagerThread  # the pool's own thread, made slow to end as on a busy machine
    run = manager.run

    def run_and_wait(self: Any) -> None:
        run(self)
        time.sleep(1)

    monkeypatch.setattr(manager, "run", run_and_wait)
    before = set(threading.enumerate())
    with pytest.raises((ZeroDivisionError, SystemExit, UserError)):
        list(run_parallel(eval, calls, num_workers=2))
    assert set(threading.enumerate()) <= before


def test_a_killed_process_loses_its_own_call_and_no_other() -> None:
    calls = [("1",), ("2",), ("__import__('os').kill(__import__('os').getpid(), 9)",), ("4",), ("5",)]
    answers = []

    def work() -> None:
        for answer in run_parallel(eval, calls, 2, ["a", "b", "the third", "d", "e"]):
            answers.append(answer)

    with pytest.raises(UserError, match=r"1 of 5 .*: the third; .*--workers 1;"):
        work()
    assert sorted(answers) == [(0, 1), (1, 2), (3, 4), (4, 5)]


def test_a_stop_within_a_block_that_defers_it_comes_after_the_block() -> None:
    def stop(number: int, frame: object) -> None:
        raise Ended

    before = signal.signal(signal.SIGUSR1, stop)
    done = []

    def work() -> None:
        with defer_stops():
            signal.raise_signal(signal.SIGUSR1)
            done.append("the rest of the block")

    try:
        with pytest.raises(Ended):
            work()
        assert signal.getsignal(signal.SIGUSR1) is stop
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert done == ["the rest of the block"]


WAIT = """
import sys, time, signal
from pathlib import Path
from typing import Any
from ganaug.parallel.processes import run_parallel

def wait(folder, name):
    def save(*_):
        (Path(folder) / f"{name}.saved").touch()
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, save)
    (Path(folder) / f"{name}.started").touch()
    time.sleep(60)

if __name__ == "__main__":
    list(run_parallel(wait, [(sys.argv[1], "a"), (sys.argv[1], "b")], num_workers=2))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_the_parent_every_process_saves(
    number: signal.Signals, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    script = tmp_path / "wait_script.py"
    script.write_text(WAIT)
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(tmp_path.glob("*.started"))) == 2 or process.poll() is not None)
    assert process.poll() is None
    process.send_signal(number)
    process.wait(timeout=120)
    saved = {tmp_path / "a.saved", tmp_path / "b.saved"}
    if number == signal.SIGKILL:  # its workers outlive it by the moment that they need
        wait_until(lambda: all(path.exists() for path in saved), 30)
    assert set(tmp_path.glob("*.saved")) == saved
