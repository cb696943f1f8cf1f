"""The CUDA sources compile, also where there is no GPU, and no kernel spills its registers."""

import re
import subprocess
from pathlib import Path

import pytest
import torch

from custom_ops.native.toolchain import NVCC_FLAGS, NativeUnavailable, find_tools

SOURCES = Path(__file__).parents[2] / "custom_ops" / "csrc"
ARCHS = [("80", "sm_80"), ("90", "sm_90"), ("90", "compute_90")]  # the last is PTX, for what comes


@pytest.fixture(scope="module")
def nvcc() -> str:
    try:
        nvcc = find_tools("cuda").nvcc
    except NativeUnavailable as error:
        pytest.skip(f"the CUDA sources cannot be compiled here: {error}")
    assert nvcc is not None
    return nvcc


def compile_source(nvcc: str, name: str, folder: Path) -> str:
    """What nvcc says while it compiles csrc/`name` for every architecture."""
    include = Path(torch.__file__).parent / "include"
    command = [nvcc, *NVCC_FLAGS, *(f"-gencode=arch=compute_{arch},code={code}" for arch, code in ARCHS)]
    command += ["-isystem", str(include), "-isystem", str(include / "torch/csrc/api/include"), "-Xptxas=-v"]
    command += ["-c", str(SOURCES / name), "-o", str(folder / "object.o")]
    compiled = subprocess.run(command, check=False, capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr
    return compiled.stderr


@pytest.mark.parametrize(("name", "least_kernels"), [("bias_act.cu", 40), ("upfirdn2d.cu", 20)])
def test_kernels_compile_without_spills(nvcc: str, name: str, least_kernels: int, tmp_path: Path) -> None:
    output = compile_source(nvcc, name, tmp_path)
    assert "warning" not in output
    for _, code in ARCHS[:2]:
        assert len(re.findall(rf"Compiling entry function '\S+' for '{code}'", output)) >= least_kernels
    spilled = re.findall(r"Function properties for (\S+)\n(.*[1-9]\d* bytes spill.*)", output)
    assert not spilled
    assert len(re.findall(r"0 bytes spill stores, 0 bytes spill loads", output)) >= 2 * least_kernels
    assert max(map(int, re.findall(r"Used (\d+) registers", output))) <= 128  # two blocks of 256 threads and more


def test_registration_compiles(nvcc: str, tmp_path: Path) -> None:
    compile_source(nvcc, "register.cu", tmp_path)


def test_every_source_is_compiled_here() -> None:
    assert {path.name for path in SOURCES.rglob("*.cu")} == {"bias_act.cu", "upfirdn2d.cu", "register.cu"}
