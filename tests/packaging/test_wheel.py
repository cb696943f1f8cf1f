"""The installed wheel: exactly the three packages, every native source, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANTED = "custom_ops/csrc/planted.cu"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the sources into which a native source was planted."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("ganaug", "classifiers", "custom_ops", "tests", "scripts"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    (source / PLANTED).parent.mkdir(exist_ok=True)
    (source / PLANTED).write_text("// planted\n")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_exactly_the_three_packages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"ganaug", "classifiers", "custom_ops"}


def test_the_wheel_holds_every_module_and_every_data_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        str(path.relative_to(ROOT))
        for package in ("ganaug", "classifiers", "custom_ops")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix in (".py", ".typed", ".j2", ".cpp", ".cu", ".h", ".safetensors")
    }
    assert sources | {PLANTED} <= names


def test_the_wheel_imports_and_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(installed)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import ganaug, classifiers.registry, custom_ops, ganaug.study.request, ganaug.cli.main;"
        "assert all(m.__file__.startswith(sys.argv[1]) for m in (ganaug, classifiers, custom_ops))"
    )
    subprocess.run([sys.executable, "-P", "-c", code, str(installed)], check=True, cwd=empty)
    assert list(empty.iterdir()) == []
