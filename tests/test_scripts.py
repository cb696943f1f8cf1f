"""The README's two commands hand on what they are given; a stand-in for Python writes down what it is asked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAND_IN = """#!/bin/bash
echo "${0##*/} $*" >>"$ASKED"
if [ "$1 $2" = "-m venv" ]; then mkdir -p .venv/bin; cp "$0" .venv/bin/python; touch .venv/bin/activate; fi
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-ins of all programs that the scripts call write down their arguments."""
    if shutil.which("bash") is None or shutil.which("nproc") is None:
        pytest.skip("the scripts need bash and nproc")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("results", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("python", "python3", "ganaug", "ruff", "mypy", "lint-imports"):
        (programs / name).write_text(STAND_IN)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path / "asked"


def lines(asked: Path, script: str, *options: str) -> list[str]:
    asked.unlink(missing_ok=True)
    subprocess.run([asked.parent / "scripts" / script, *options], check=True, cwd=asked.parent)
    return asked.read_text().splitlines()


@pytest.mark.parametrize("options", [(), ("--workspace", "here")])
def test_the_demo_installs_the_package_and_hands_its_options_on(asked: Path, options: tuple[str, ...]) -> None:
    output = lines(asked, "demo.sh", *options)
    (install,) = [line for line in output if "pip install" in line]
    assert install.endswith("--editable .")
    study = "ganaug evaluate-augmentation --dataset phantom --preset quick --train-missing"
    assert output[-1] == " ".join([study, "--classifier probe:efficientnet_lite1 --seeds 10", *options])
    again = lines(asked, "demo.sh", *options)
    assert not any("pip" in line for line in again), "what is installed already is not installed again"


def test_the_tests_run_on_every_core_and_one_more_waits(asked: Path) -> None:
    output = lines(asked, "test.sh", "-k", "name")
    (install,) = [line for line in output if "pip install" in line]
    assert install.endswith("--editable .[test]")
    cores = int(subprocess.run(["nproc"], capture_output=True, text=True, check=True).stdout)
    assert output[-1] == f"python -m pytest -n {cores + 1} --dist worksteal -k name"
