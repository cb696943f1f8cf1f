"""A diagnosis always comes, whatever is broken, and it leaves nothing behind."""

import json
import os
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from custom_ops import dispatch as build
from ganaug.cli.main import main
from ganaug.weights import WEIGHTS
from ganaug.workspace import GanRun

PARTS = ("packages", "devices", "operators", "operator_cache", "weights", "workspace")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory and the home, and a process that decided nothing yet."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    for name in ("GANAUG_WORKSPACE", "GANAUG_WEIGHTS", "GANAUG_OPS", "GANAUG_OPS_CACHE", "XDG_CACHE_HOME", "CXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(build, "_decisions", {})
    return folder


def diagnose(*arguments: object) -> tuple[dict[str, Any], str]:
    """What doctor finds, as JSON and as text."""
    results = [CliRunner().invoke(main, ["doctor", *map(str, arguments), *more]) for more in (["--json"], [])]
    assert [result.exit_code for result in results] == [0, 0], results[0].stderr
    found = json.loads(results[0].stdout)
    assert set(found) == {"ganaug", "python", *PARTS, "problems"}
    assert [part for part in PARTS if part.replace("_", " ") in results[1].stdout.splitlines()] == list(PARTS)
    return found, results[1].stdout


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_nothing_is_written_where_nothing_is(here: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    found, _ = diagnose()
    assert found["problems"] == {}
    assert found["workspace"] == {"folder": str(here / "ganaug-workspace"), "state": "none yet"}
    diagnose("--workspace", here / "new" / "one")
    assert tree(tmp_path) == before


def test_the_packages_are_those_that_the_distribution_requires(here: Path) -> None:
    found, _ = diagnose()
    required = [line for line in requires("ganaug") or [] if "extra" not in line]
    assert len(found["packages"]) == len(required) > 10
    assert all(line.startswith(name) for line, name in zip(required, found["packages"], strict=True))
    assert found["packages"]["torch"] == torch.__version__ or torch.__version__.startswith(found["packages"]["torch"])


def test_what_is_in_the_workspace_is_listed(here: Path, trained: GanRun) -> None:
    root = trained.root.parents[1]
    found, text = diagnose("--workspace", root)
    assert found["workspace"]["datasets"] == ["phantom"]
    assert found["workspace"]["generators"] == [trained.root.name]
    assert trained.root.name in text


def break_workspace_version(here: Path, patch: pytest.MonkeyPatch) -> None:
    (here / "ganaug-workspace").mkdir()
    (here / "ganaug-workspace" / "workspace.json").write_text("[")


def break_workspace_folder(here: Path, patch: pytest.MonkeyPatch) -> None:
    (here / "ganaug-workspace").write_text("a file")


def break_home(here: Path, patch: pytest.MonkeyPatch) -> None:
    def nobody(number: int) -> None:
        raise KeyError(number)

    patch.delenv("HOME")
    patch.setattr("pwd.getpwuid", nobody)
    patch.setenv("GANAUG_WORKSPACE", "~/work")


def break_operators(here: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("GANAUG_OPS", "nonsense")


def break_metadata(here: Path, patch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> None:
        raise LookupError(name)

    patch.setattr("importlib.metadata.requires", not_installed)


def break_devices(here: Path, patch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise RuntimeError("the driver\nis too old")

    patch.setattr(torch.cuda, "device_count", fail)


@pytest.mark.parametrize(
    ("fault", "part", "says"),
    [
        (break_workspace_version, "workspace", "workspace.json"),
        (break_workspace_folder, "workspace", "ganaug-workspace"),
        (break_home, "workspace", "home"),
        (break_operators, "operators", "GANAUG_OPS is 'nonsense'"),
        (break_metadata, "packages", "ganaug"),
        (break_devices, "devices", "the driver is too old"),
    ],
)
def test_a_broken_part_says_why_and_the_others_are_told(
    fault: Callable[[Path, pytest.MonkeyPatch], None],
    part: str,
    says: str,
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault(here, monkeypatch)
    before = tree(tmp_path)
    found, text = diagnose()
    assert list(found["problems"]) == [part]
    assert says in found["problems"][part]
    assert says in text
    assert all(found[other] for other in PARTS if other != part)
    assert tree(tmp_path) == before


def test_an_open_quote_in_the_compiler_and_a_cache_that_is_a_file_are_told(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "file").touch()
    monkeypatch.setenv("CXX", "'c++")
    monkeypatch.setenv("GANAUG_OPS_CACHE", str(here / "file" / "cache"))
    found, text = diagnose("--weights-dir", here / "none")
    assert found["operator_cache"]["state"] == f"{here / 'file'} is no folder"
    assert "CXX is " in text
    assert len(found["weights"]) == len(WEIGHTS)
    assert all(str(here / "none") in row["reason"] for row in found["weights"])


def test_a_workspace_and_a_cache_that_cannot_be_written_are_told(
    here: Path, trained: GanRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trained.root.parents[1]
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # as root may write everywhere
    found, _ = diagnose("--workspace", root)
    assert found["problems"] == {}
    assert "cannot be written" in found["workspace"]["state"]
    assert "cannot be written" in found["operator_cache"]["state"]
