"""Thousands of damaged and forged files, given to every reader of ganaug: it must read each or refuse it in one line.

    python scripts/fuzz_readers.py [--seed 0] [--inputs 2400] [--seconds 1800] [--only READER] [--keep DIR]

A finding is a traceback, a message of several lines or with control characters, a crash of the process, more than
SECONDS_OF_ONE for one input, or more than MIB_OF_ONE above the memory at its start. The input of each is kept in DIR
with what happened. The same seed gives the same inputs; the exit status is 1 where anything was found.
"""

import faulthandler
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import click
import torch
from fuzz.artefacts import make_all
from fuzz.cases import READERS, Reader

from ganaug.errors import UserError

SECONDS_OF_ONE, MIB_OF_ONE = 10.0, 1024
SECONDS_BETWEEN_LOOKS = 0.02
INPUTS_OF_A_PROCESS = 200  # then a new one replaces it, so that nothing adds up
FINE = ("refused", "read")


@dataclass(frozen=True)
class Outcome:
    """The end of one input."""

    kind: str  # refused or read, else a finding: traceback, message, hang, memory or crash
    detail: str = ""
    seconds: float = 0.0
    mib: float = 0.0  # above the memory at its start, at most


@dataclass
class Row:
    """The outcomes of one reader."""

    reader: str
    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, *kinds: str) -> int:
        return sum(outcome.kind in kinds for outcome in self.outcomes)

    @property
    def findings(self) -> int:
        return len(self.outcomes) - self.count(*FINE)

    @property
    def cells(self) -> tuple[str, ...]:
        slowest = max((outcome.seconds for outcome in self.outcomes), default=0.0)
        peak = max((outcome.mib for outcome in self.outcomes), default=0.0)
        numbers = (len(self.outcomes), self.count("refused"), self.count("read"), self.findings)
        return (self.reader, *map(str, numbers), f"{slowest:.1f}", f"{peak:.0f}")


HEADER = ("reader", "inputs", "refused", "read", "found", "slowest s", "peak MiB")


# ---- one input -------------------------------------------------------------------------------------------------------


def make_input(base: Path, folder: Path, name: str, index: int, seed: int) -> tuple[Path, Path]:
    """A copy of the reader's template in `folder` with one file mutated; returns the copy and the file."""
    reader, random = READERS[name], Random(f"{seed} {name} {index}")
    root = folder / reader.template
    shutil.copytree(base / "templates" / reader.template, root)
    files = sorted(root.glob(reader.files))
    path, other = random.choice(files), random.choice(files)
    random.choice(reader.mutations)(random, path, other)
    return root, path


def try_input(reader: Reader, root: Path, path: Path) -> Outcome:
    """Read a mutated file; the outcome holds its end, unless the process dies of it."""
    rest = _memory_mib("VmRSS")
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    started = time.perf_counter()
    kind, detail = "read", ""
    try:
        reader.read(root, path)
    except UserError as error:
        kind, detail = "refused", str(error)
        if not detail.isprintable() or not detail.strip():
            kind = "message"
    except BaseException:
        kind, detail = "traceback", traceback.format_exc()
    seconds, mib = time.perf_counter() - started, _memory_mib("VmHWM") - rest
    if kind in FINE and mib > MIB_OF_ONE:
        kind, detail = "memory", f"{mib:.0f} MiB; {detail}"
    return Outcome(kind, detail, seconds, mib)


def _memory_mib(name: str, process: int | str = "self") -> float:
    """A process's memory by the system's name for it, such as VmRSS; 0 where there is none."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    return 0.0


def _work(pipe: Connection, base: Path, seed: int) -> None:
    """Take inputs from a pipe until it closes; what libraries print goes nowhere, but for a crash's traceback."""
    silence = os.open(os.devnull, os.O_WRONLY)
    trace = (base / f"crash-{os.getpid()}.txt").open("w")
    faulthandler.enable(trace)
    os.dup2(silence, 1), os.dup2(silence, 2)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with suppress(EOFError):
        while True:
            name, index, folder = pipe.recv()
            try:
                root, path = make_input(base, folder, name, index, seed)
            except Exception:
                pipe.send(Outcome("mutation", traceback.format_exc()))
                continue
            pipe.send(try_input(READERS[name], root, path))


class Worker:
    """A process that tries inputs, one at a time, and is replaced where one of them brings it down."""

    def __init__(self, base: Path, seed: int) -> None:
        self.base, self.seed, self.num_tried = base, seed, 0
        self._start()

    def _start(self) -> None:
        self.pipe, theirs = multiprocessing.get_context("fork").Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=_work, args=(theirs, self.base, self.seed))
        self.process.start()
        theirs.close()

    def close(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()

    def try_one(self, name: str, index: int, folder: Path) -> Outcome:
        """The outcome of one input, made in `folder`; hangs, crashes and floods of memory are outcomes too."""
        self.num_tried += 1
        if self.num_tried % INPUTS_OF_A_PROCESS == 0:
            self.close()
            self._start()
        rest, started = _memory_mib("VmRSS", self.process.pid or "self"), time.monotonic()
        self.pipe.send((name, index, folder))
        outcome, peak = None, 0.0
        while outcome is None:
            try:
                if self.pipe.poll(SECONDS_BETWEEN_LOOKS):
                    return self.pipe.recv()  # type: ignore[no-any-return]
            except (EOFError, OSError):
                self.process.join()
                outcome = Outcome("crash", f"the process ended with {self.process.exitcode}\n{self._trace()}")
            seconds = time.monotonic() - started
            peak = max(peak, _memory_mib("VmRSS", self.process.pid or "self") - rest)
            if outcome is None and peak > 2 * MIB_OF_ONE:
                outcome = Outcome("memory", f"{peak:.0f} MiB and rising", seconds, peak)
            elif outcome is None and seconds > SECONDS_OF_ONE:
                faulthandler.enable()
                outcome = Outcome("hang", f"no answer in {seconds:.0f} s\n{self._stack()}", seconds, peak)
        self.close()
        self._start()
        return outcome

    def _stack(self) -> str:
        """The stack of a process that hangs, which it writes when it is aborted."""
        with suppress(OSError):
            os.kill(self.process.pid or 0, 6)
        self.process.join(5)
        return self._trace()

    def _trace(self) -> str:
        path = self.base / f"crash-{self.process.pid}.txt"
        return path.read_text() if path.exists() else ""


# ---- a run -----------------------------------------------------------------------------------------------------------


def make_templates(base: Path) -> None:
    """The valid files that every input is a mutated copy of."""
    make_all(base / "templates")


def run(
    base: Path, keep: Path, *, seed: int, num_inputs: int, seconds: float, readers: Sequence[str] = tuple(READERS)
) -> list[Row]:
    """Try inputs, the readers in turn, until there were so many or the time is over; `base` holds the templates."""
    deadline, rows = time.monotonic() + seconds, {name: Row(name) for name in readers}
    worker = Worker(base, seed)
    try:
        for name, index in _turns(readers, num_inputs):
            if time.monotonic() > deadline:
                break
            folder = base / "input"
            folder.mkdir()
            outcome = worker.try_one(name, index, folder)
            rows[name].outcomes.append(outcome)
            if outcome.kind not in FINE:
                _keep(folder, keep / f"{name.replace(' ', '-')}-{index}", outcome)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        worker.close()
    return list(rows.values())


def _turns(readers: Sequence[str], num_inputs: int) -> Iterator[tuple[str, int]]:
    for number in range(num_inputs):
        yield readers[number % len(readers)], number // len(readers)


def _keep(folder: Path, target: Path, outcome: Outcome) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "outcome.txt").write_text(f"{outcome.kind}\n{outcome.detail}\n", errors="backslashreplace")
    shutil.copytree(folder, target / "input", symlinks=True, ignore_dangling_symlinks=True)


def format_table(rows: Sequence[Row]) -> str:
    """One line for each reader, and one for all."""
    whole = Row("all", [outcome for row in rows for outcome in row.outcomes])
    lines = [HEADER, *(row.cells for row in rows), whole.cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


@click.command()
@click.option("--seed", default=0, show_default=True, help="Decides every input")
@click.option("--inputs", "num_inputs", default=2400, show_default=True, help="Inputs over all readers")
@click.option("--seconds", default=1800.0, show_default=True, help="Time after which no further input is tried")
@click.option("--only", multiple=True, type=click.Choice(list(READERS)), help="Readers to try; repeatable")
@click.option("--keep", type=click.Path(path_type=Path), default=Path(tempfile.gettempdir()) / "ganaug-fuzz",
              show_default=True, help="Folder for the inputs of findings")  # fmt: skip
def main(seed: int, num_inputs: int, seconds: float, only: tuple[str, ...], keep: Path) -> None:
    """Try mutated inputs on every reader, and print the outcomes."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="ganaug-fuzz-") as folder:
        base = Path(folder)
        make_templates(base)
        rows = run(base, keep, seed=seed, num_inputs=num_inputs, seconds=seconds, readers=only or tuple(READERS))
    click.echo(format_table(rows))
    for row in rows:
        for index, outcome in enumerate(row.outcomes):
            if outcome.kind not in FINE:
                last = outcome.detail.strip().splitlines()[-1:] or [""]
                click.echo(f"{row.reader} {index}: {outcome.kind}: {last[0][:200]}")
    if any(row.findings for row in rows):
        click.echo(f"the inputs of all findings are in {keep}")
        sys.exit(1)


if __name__ == "__main__":
    main()
