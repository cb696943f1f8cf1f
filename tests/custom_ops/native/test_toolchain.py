"""The build: its sources, tools and flags, each of which changes the name of the library."""

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from custom_ops import dispatch
from custom_ops.__main__ import main
from custom_ops.native import cache, toolchain
from custom_ops.native.toolchain import BuildTarget, NativeUnavailable, find_tools


def test_ninja_is_the_program_or_the_package_or_missed(
    compiler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    with pytest.raises(NativeUnavailable, match="no ninja found"):
        toolchain._find_ninja()
    monkeypatch.setattr(toolchain, "find_spec", lambda name: name == "ninja")
    assert toolchain._find_ninja() == (sys.executable, "-m", "ninja")
    (tmp_path / "ninja").write_text("#!/bin/sh\n")
    (tmp_path / "ninja").chmod(0o755)
    assert toolchain._find_ninja() == (str(tmp_path / "ninja"),)


def test_a_symbol_that_nobody_defines_fails_the_build(target: Callable[[], BuildTarget]) -> None:
    (dispatch.SOURCES / "planted.cpp").write_text("int missing(); int planted() { return missing(); }\n")
    with pytest.raises(NativeUnavailable, match=r"undefined reference|symbol"):
        cache.build(target())


def test_whatever_can_change_the_code_changes_the_name(
    compiler: Path, monkeypatch: pytest.MonkeyPatch, target: Callable[[], BuildTarget]
) -> None:
    names = [target().name]
    (dispatch.SOURCES / "planted.cpp").write_text("int planted() { return 2; }\n")
    names.append(target().name)
    (dispatch.SOURCES / "deep").mkdir()
    (dispatch.SOURCES / "deep" / "planted.h").touch()
    names.append(target().name)
    (dispatch.SOURCES / "deep" / "planted.h").rename(dispatch.SOURCES / "deep" / "sown.h")
    names.append(target().name)
    names.append(replace(target(), archs=("9.0",)).name)
    names.append(replace(target(), tools=replace(find_tools("cpu"), versions=("c++ 99",))).name)
    names.append(replace(target(), tools=replace(find_tools("cpu"), compiler=("other-c++",))).name)
    monkeypatch.setattr(toolchain, "FLAGS", ("-O1",))
    names.append(target().name)
    monkeypatch.setattr(torch, "__version__", "9.9")
    names.append(target().name)
    assert len(set(names)) == len(names)


def test_files_that_are_no_source_do_not_change_the_name(target: Callable[[], BuildTarget]) -> None:
    name = target().name
    (dispatch.SOURCES / ".planted.cpp.swp").write_bytes(b"\xa0\xff")
    assert target().name == name


def test_touching_or_moving_the_sources_does_not_change_the_name(target: Callable[[], BuildTarget]) -> None:
    name = target().name
    os.utime(dispatch.SOURCES / "planted.cpp", (0, 0))
    moved = dispatch.SOURCES.rename(dispatch.SOURCES.parent / "elsewhere")
    assert replace(target(), sources=moved).name == name


def test_folders_may_have_any_name(monkeypatch: pytest.MonkeyPatch, select_silently: Callable[..., str]) -> None:
    monkeypatch.setattr(dispatch, "SOURCES", dispatch.SOURCES.rename(dispatch.SOURCES.parent / "it's $HOME: ä&b"))
    monkeypatch.setenv("GANAUG_OPS_CACHE", str(dispatch.SOURCES.parent / "$cache: ö"))
    assert select_silently() == "native"


def test_files_for_newer_cpus_get_their_flags_and_are_skipped_elsewhere(
    monkeypatch: pytest.MonkeyPatch, target: Callable[[], BuildTarget]
) -> None:
    for name in ("kernels_avx2", "kernels_avx512", "kernels_generic"):
        (dispatch.SOURCES / f"{name}.cpp").touch()

    def flags(name: str) -> str:
        lines = list(target()._ninja_lines(find_tools("cpu")))
        found = [after for line, after in itertools.pairwise(lines) if name in line and ": compile" in line]
        return found[0] if found else "skipped"

    monkeypatch.setattr(toolchain, "X86", True)
    assert "-mavx2" in flags("kernels_avx2")
    assert "-mavx512f" not in flags("kernels_avx2")
    assert "-mavx512f" in flags("kernels_avx512")
    assert "-mavx" not in flags("kernels_generic")
    assert "-mavx" not in flags("planted")
    monkeypatch.setattr(toolchain, "X86", False)
    assert flags("kernels_avx2") == flags("kernels_avx512") == "skipped"
    assert "-O3" in flags("kernels_generic")


def test_gpus_present_decide_what_is_compiled_unless_the_user_does(
    monkeypatch: pytest.MonkeyPatch, pretend_gpu: Callable[..., None]
) -> None:
    pretend_gpu((9, 0), (8, 6), (9, 0))
    assert toolchain.usable_archs() == [("8.6", "9.0"), ("8.0", "9.0+PTX")]
    pretend_gpu((7, 0))  # which no portable library serves
    assert toolchain.usable_archs() == [("7.0",)]
    pretend_gpu()
    assert toolchain.usable_archs() == toolchain.usable_archs(portable=True) == [("8.0", "9.0+PTX")]
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.9; 12.0a+PTX")
    assert toolchain.usable_archs() == toolchain.usable_archs(portable=True) == [("8.9", "12.0a+PTX")]
    wanted = ["-gencode=arch=compute_120a,code=sm_120a", "-gencode=arch=compute_120a,code=compute_120a"]
    assert toolchain._arch_flags("12.0a+PTX") == wanted
    with pytest.raises(NativeUnavailable, match="TORCH_CUDA_ARCH_LIST holds 'Hopper'"):
        toolchain._arch_flags("Hopper")


def test_an_nvcc_of_another_major_version_than_pytorchs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.write_text("#!/bin/sh\necho nvcc: NVIDIA\necho Cuda compilation tools, release 11.8, V11.8.89\n")
    nvcc.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    with pytest.raises(NativeUnavailable, match="is of CUDA 11, PyTorch of CUDA 13"):
        toolchain._find_nvcc()
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(NativeUnavailable, match="built without CUDA"):
        toolchain._find_nvcc()


def test_gpu_code_is_compiled_without_a_gpu(compiler: Path, pretend_gpu: Callable[..., None]) -> None:
    try:
        find_tools("cuda")
    except NativeUnavailable as error:
        pytest.skip(str(error))
    pretend_gpu()
    (dispatch.SOURCES / "planted.cu").write_text("__global__ void planted(int* x) { *x = 1; }\n")
    kinds = [built.library.parent.name.partition("-")[0] for built in dispatch.build(cuda=True)]
    assert kinds == ["cpu", "cuda"]
    assert [row["path"] for row in dispatch.info()] == ["native"] * 3 + ["ref"] * 2


def test_a_nonsensical_list_of_gpus_is_one_line(
    compiler: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        find_tools("cuda")
    except NativeUnavailable as error:
        pytest.skip(str(error))
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "Hopper")
    assert main(["build", "--cuda"]) == 2
    assert "TORCH_CUDA_ARCH_LIST holds 'Hopper'" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("value", ["'c++", 'c++ "-O', "c++ \\"])
def test_a_compiler_with_an_open_quote_is_one_warning(
    value: str, compiler: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", value)
    with pytest.warns(UserWarning, match="CXX is ") as caught:
        assert dispatch.select("bias_act", None) == "ref"
    assert len(caught) == 1
    assert main(["info"]) == 0
    assert capsys.readouterr().out.count("CXX is ") >= 3


def test_a_compiler_of_spaces_is_none(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX")
    tools = find_tools("cpu")
    monkeypatch.setenv("CXX", "  ")
    assert find_tools("cpu") == tools


def test_a_compiler_may_say_its_version_in_any_encoding(compiler: Path, select_silently: Callable[..., str]) -> None:
    answer = "case $1 in --version) printf 'c\xe9++ 9\\n'; exit;; esac\nexec c++"
    compiler.write_bytes(compiler.read_text().replace("exec c++", answer).encode("latin-1"))
    assert "++ 9" in find_tools("cpu").versions[0]
    assert select_silently() == "native"


def test_a_compiler_that_hangs_is_given_up(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(toolchain, "VERSION_S", 0.2)
    with pytest.raises(NativeUnavailable, match=r"0\.2 seconds"):
        find_tools("cpu")


@pytest.mark.parametrize("value", ["lots", "0", "-1", "1.5", "²", " "])
def test_a_nonsensical_number_of_jobs_is_one_warning(
    value: str, compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_JOBS", value)
    with pytest.warns(UserWarning, match="MAX_JOBS is ") as caught:
        assert dispatch.select("bias_act", None) == "ref"
    assert len(caught) == 1


@pytest.mark.parametrize("value", ["Hopper", "8.0;x", "; ;", " ", "-1.0", "8"])
def test_a_nonsensical_list_of_gpus_is_refused_before_anything_is_compiled(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", value)
    with pytest.raises(NativeUnavailable, match="TORCH_CUDA_ARCH_LIST holds "):
        toolchain.usable_archs()
