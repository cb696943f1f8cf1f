"""Both implementations of every operator, random inputs that differ from run to run, and a build to plant faults in."""

import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from custom_ops import dispatch
from custom_ops.dispatch import select
from custom_ops.native import trust
from custom_ops.native.toolchain import BuildTarget, NativeUnavailable, find_tools

COMPILER = """#!/bin/sh
# c++ that counts its compilations in $0.count, and hangs in them while $0.hang is there
case " $* " in *" -c "*)
  echo compiled >> "$0.count"
  for i in $(seq 600); do [ -e "$0.hang" ] || break; touch "$0.hanging"; sleep 0.1; done
  if [ -e "$0.slow" ]; then sleep 2; fi;;
esac
exec c++ "$@"
"""


def require(impl: str) -> None:
    """Skip where the native operators cannot be had, saying why."""
    if impl == "native":
        try:
            select("bias_act", "native", "cpu")
        except NativeUnavailable as error:
            pytest.skip(str(error))


@pytest.fixture(params=["ref", "native"])
def impl(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    require(name)
    return name


@pytest.fixture
def native() -> str:
    require("native")
    return "native"


@pytest.fixture
def rng() -> torch.Generator:
    """Draws the test's inputs; a failing test prints the seed, and GANAUG_TEST_SEED repeats it."""
    seed = int(os.environ.get("GANAUG_TEST_SEED") or random.SystemRandom().randrange(2**31))
    print(f"GANAUG_TEST_SEED={seed}")
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A counting compiler, a source of one line, an empty cache, and a process that has decided nothing yet."""
    try:
        find_tools("cpu")
    except NativeUnavailable as error:
        pytest.skip(str(error))
    program, sources = tmp_path / "the tools" / "counting-c++", tmp_path / "the sources"
    program.parent.mkdir()
    program.write_text(COMPILER)
    program.chmod(0o755)
    sources.mkdir()
    (sources / "planted.cpp").write_text('extern "C" int planted() { return 1; }\n')
    monkeypatch.setenv("CXX", f"'{program}'")
    monkeypatch.setenv("GANAUG_OPS_CACHE", str(tmp_path / "the cache"))
    monkeypatch.delenv("GANAUG_OPS", raising=False)
    monkeypatch.setattr(dispatch, "SOURCES", sources)
    monkeypatch.setattr(dispatch, "_decisions", {})
    monkeypatch.setattr(trust, "_is_closed", lambda status: False)  # pytest's own folders are
    monkeypatch.setattr(dispatch, "_register", lambda: None)
    monkeypatch.setattr(dispatch, "_missing_operators", lambda kind: [])
    return program


@pytest.fixture
def no_compiler(compiler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def count(compiler: Path) -> Callable[[], int]:
    """How often anything was compiled so far."""
    counted = Path(f"{compiler}.count")
    return lambda: len(counted.read_text().splitlines()) if counted.exists() else 0


@pytest.fixture
def target(compiler: Path) -> Callable[[], BuildTarget]:
    """The planted source's target, as the source and the tools are at the call."""
    return lambda: BuildTarget("cpu", dispatch.SOURCES, (), find_tools("cpu"))


@pytest.fixture
def new_process(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget what was decided, as another process would know nothing of it."""
    return lambda: monkeypatch.setattr(dispatch, "_decisions", {})


@pytest.fixture
def select_silently(compiler: Path) -> Callable[..., str]:
    """The path for an `impl` and a device; a warning fails the test."""

    def select_or_fail(impl: str | None = None, device: str = "cpu") -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return select("bias_act", impl, device)

    return select_or_fail


@pytest.fixture
def pretend_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have GPUs of these compute capabilities here."""

    def pretend(*capabilities: tuple[int, int]) -> None:
        monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capabilities[index])

    return pretend
