"""The fuzz run over every reader, in short: nothing is found, and what should be found would be."""

import ctypes
import mmap
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from ganaug.errors import UserError

INPUTS_OF_EACH = 3


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    """The script, imported where it is needed, as it is slow to load."""
    import fuzz_readers

    return fuzz_readers


@pytest.fixture(scope="module")
def base(fuzz: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    fuzz.make_templates(folder)
    return folder


def test_every_reader_reads_or_refuses_in_one_line_whatever_a_file_holds(
    fuzz: ModuleType, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "SECONDS_OF_ONE", 60.0)  # other tests run at the same time
    num_inputs = INPUTS_OF_EACH * len(fuzz.READERS)
    rows = fuzz.run(base, tmp_path / "found", seed=20, num_inputs=num_inputs, seconds=600)
    assert [row.reader for row in rows] == list(fuzz.READERS)
    assert [len(row.outcomes) for row in rows] == [INPUTS_OF_EACH] * len(fuzz.READERS)
    found = [(row.reader, outcome.kind, outcome.detail) for row in rows for outcome in row.outcomes]
    assert [row for row in found if row[1] not in fuzz.FINE] == []
    assert {kind for _, kind, _ in found} == set(fuzz.FINE), "mutations that change nothing, or that nothing survives"
    assert not (tmp_path / "found").exists()


def test_every_reader_reads_the_files_that_inputs_are_mutated_from(
    fuzz: ModuleType, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a reader that is called wrongly would refuse every input, and nothing would be found."""
    kinds = {}
    for position, (name, reader) in enumerate(list(fuzz.READERS.items())):
        unchanged = replace(reader, mutations=(lambda random, path, other: None,))
        monkeypatch.setitem(fuzz.READERS, "unchanged", unchanged)
        root, path = fuzz.make_input(base, base / f"unchanged-{position}", "unchanged", 0, 0)
        kinds[name] = fuzz.try_input(unchanged, root, path).kind
    assert len(kinds) > 50
    assert set(kinds.values()) <= {"read", "refused"}
    # the publisher's own file is not ours to keep; and a training state has no sheet to draw
    refused = {name for name, kind in kinds.items() if kind == "refused"}
    assert refused <= {"published weights", "inspect .safetensors"}


def raises(root: Path, path: Path) -> None:
    raise KeyError("nobody foresaw it")


def leaves(root: Path, path: Path) -> None:
    raise SystemExit(0)


def says_much(root: Path, path: Path) -> None:
    error = UserError("refused")
    error.args = ("first\nsecond",)
    raise error


def hangs(root: Path, path: Path) -> None:
    time.sleep(60)


def floods(root: Path, path: Path) -> int:
    """Fills pages that are surely new: what the allocator kept from before would be no rise."""
    with mmap.mmap(-1, 96 << 20) as pages:
        return sum(pages.write(b"x" * 2**20) for _ in range(96))


def crashes(root: Path, path: Path) -> None:
    ctypes.string_at(0)


def ends(root: Path, path: Path) -> None:
    os._exit(3)


FAULTS = {raises: "traceback", leaves: "traceback", says_much: "message", hangs: "hang", floods: "memory",
          crashes: "crash", ends: "crash"}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is read from /proc")
def test_every_kind_of_fault_is_found_kept_and_survived(
    fuzz: ModuleType, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "SECONDS_OF_ONE", 1.0)
    monkeypatch.setattr(fuzz, "MIB_OF_ONE", 64)
    plain = fuzz.READERS["key"]
    for read in FAULTS:
        monkeypatch.setitem(fuzz.READERS, read.__name__, replace(plain, read=read))
    names = [read.__name__ for read in FAULTS]
    rows = fuzz.run(base, tmp_path, seed=0, num_inputs=2 * len(names), seconds=60, readers=names)
    kinds = {row.reader: [outcome.kind for outcome in row.outcomes] for row in rows}
    assert kinds == {read.__name__: [kind] * 2 for read, kind in FAULTS.items()}
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == sorted(f"{name}-{index}" for name in names for index in range(2))
    assert (tmp_path / "raises-1" / "outcome.txt").read_text().count("nobody foresaw it") == 2
    assert "string_at" in (tmp_path / "crashes-0" / "outcome.txt").read_text()
    assert fuzz.format_table(rows).splitlines()[-1].split()[:5] == ["all", "14", "0", "0", "14"]


def test_a_seed_gives_the_same_inputs_and_another_gives_others(fuzz: ModuleType, base: Path, tmp_path: Path) -> None:
    made = []
    for place, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(place)
        roots = [fuzz.make_input(base, folder / str(index), "state", index, seed)[0] for index in range(4)]
        files = [sorted((root / "gans").rglob("state*")) for root in roots]
        made.append([path.read_bytes() for group in files for path in group if path.is_file()])
    assert made[0] == made[1] != made[2]
