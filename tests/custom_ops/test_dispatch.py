"""The choice of an implementation: planted faults in the tools, the sources, and the user's settings."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import custom_ops
from custom_ops import dispatch
from custom_ops.__main__ import main
from custom_ops.native import cache, toolchain
from custom_ops.native.toolchain import BuildTarget, NativeUnavailable, find_tools

ROOT = Path(__file__).parents[2]


def test_importing_and_asking_compile_nothing(tmp_path: Path, count: Callable[[], int]) -> None:
    code = "import custom_ops, custom_ops.__main__ as m; m.main(['info']); import ganaug.model.generator"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    assert count() == 0
    assert not (tmp_path / "the cache").exists()


def test_first_use_compiles_and_the_next_process_finds(
    count: Callable[[], int], new_process: Callable[[], None], select_silently: Callable[..., str]
) -> None:
    assert select_silently("ref") == "ref"
    assert count() == 0
    assert select_silently() == select_silently("native") == "native"
    new_process()
    assert select_silently() == "native"
    assert count() == 1


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_one_warning_and_the_references(select_silently: Callable[..., str]) -> None:
    with pytest.warns(UserWarning, match=r"looked for c\+\+, g\+\+, clang\+\+") as caught:
        assert dispatch.select("bias_act", None) == dispatch.select("upfirdn2d", None) == "ref"
    assert len(caught) == 1
    assert select_silently() == "ref"
    with pytest.raises(NativeUnavailable, match=r"bias_act.*no compiler found"):
        dispatch.select("bias_act", "native")
    assert {row["path"] for row in dispatch.info()} == {"ref"}


@pytest.mark.usefixtures("no_compiler")
def test_insisting_raises_at_every_call_where_there_is_no_compiler(
    monkeypatch: pytest.MonkeyPatch, select_silently: Callable[..., str]
) -> None:
    monkeypatch.setenv("GANAUG_OPS", "native")
    for _ in range(2):
        with pytest.raises(NativeUnavailable, match=r"upfirdn2d.*no compiler found"):
            dispatch.select("upfirdn2d", None)
    assert select_silently("ref") == "ref"


def test_an_earlier_build_serves_where_no_compiler_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: Callable[[], BuildTarget],
    select_silently: Callable[..., str],
) -> None:
    cache.build(target())
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert select_silently() == "native"


def test_a_source_that_does_not_compile_gives_one_warning_and_a_log(
    monkeypatch: pytest.MonkeyPatch,
    count: Callable[[], int],
    new_process: Callable[[], None],
    select_silently: Callable[..., str],
) -> None:
    (dispatch.SOURCES / "planted.cpp").write_text("int planted() { return nonsense; }\n")
    with pytest.warns(UserWarning, match=r"planted\.cpp:1:.*nonsense.*\.log") as caught:
        assert dispatch.select("bias_act", None) == "ref"
    assert len(caught) == 1
    log = Path(str(caught[0].message).rpartition("the whole output is in ")[2])
    assert "nonsense" in log.read_text()
    assert "-O3" in log.read_text()
    assert select_silently() == "ref"
    assert count() == 1  # it is not tried again in this process
    new_process()
    monkeypatch.setenv("GANAUG_OPS", "native")
    with pytest.raises(NativeUnavailable, match="nonsense"):
        dispatch.select("bias_act", None)


def test_switched_off_compiles_nothing_and_says_so(
    monkeypatch: pytest.MonkeyPatch, count: Callable[[], int], select_silently: Callable[..., str]
) -> None:
    monkeypatch.setenv("GANAUG_OPS", "ref")
    assert select_silently() == "ref"
    with pytest.raises(NativeUnavailable, match="GANAUG_OPS=ref"):
        dispatch.select("bias_act", "native")
    assert ["GANAUG_OPS=ref" in row["reason"] for row in dispatch.info()] == [True] * 5
    assert count() == 0


@pytest.mark.parametrize("value", ["", "auto", "native"])
def test_the_other_wishes_run_native_operators(
    value: str, monkeypatch: pytest.MonkeyPatch, select_silently: Callable[..., str]
) -> None:
    monkeypatch.setenv("GANAUG_OPS", value)
    assert select_silently() == "native"


@pytest.mark.parametrize("value", ["natvie", "1", "REF"])
def test_a_nonsensical_wish_is_refused(
    value: str, compiler: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GANAUG_OPS", value)
    with pytest.raises(ValueError, match=f"GANAUG_OPS is '{value}'; expected 'auto', 'native' or 'ref'"):
        dispatch.select("bias_act", None)
    assert main(["info"]) == 2
    assert value in capsys.readouterr().err


def test_an_unknown_impl_is_refused() -> None:
    with pytest.raises(ValueError, match="impl is 'cuda'"):
        dispatch.select("bias_act", "cuda")


def test_a_device_without_native_operators_runs_the_references_silently(
    count: Callable[[], int], select_silently: Callable[..., str]
) -> None:
    assert select_silently(device="mps") == "ref"
    with pytest.raises(NativeUnavailable, match="there are none for mps"):
        dispatch.select("bias_act", "native", torch.device("mps"))
    assert count() == 0


def test_compiled_functions_keep_the_choice_in_one_graph(count: Callable[[], int]) -> None:
    def double_if_native(x: torch.Tensor) -> torch.Tensor:
        return 2 * x if dispatch.select("bias_act", None, x.device) == "native" else x

    traced = torch.compile(double_if_native, fullgraph=True, backend="eager")
    assert traced(torch.ones(1)).item() == 2
    assert count() == 1


def test_a_failed_build_for_gpus_leaves_the_cpu_native(
    monkeypatch: pytest.MonkeyPatch, select_silently: Callable[..., str], pretend_gpu: Callable[..., None]
) -> None:
    def no_nvcc() -> str:
        raise NativeUnavailable("no nvcc found")

    pretend_gpu((9, 0))
    monkeypatch.setattr(toolchain, "_find_nvcc", no_nvcc)
    with pytest.warns(UserWarning, match="run on cuda: no nvcc found") as caught:
        assert dispatch.select("bias_act", None, "cuda") == "ref"
    assert len(caught) == 1
    assert select_silently(device="cuda") == "ref"
    assert select_silently() == "native"
    assert [row["path"] for row in dispatch.info()] == ["native"] * 3 + ["ref"] * 2


def test_info_names_path_and_reason_of_every_operator_and_device(
    capsys: pytest.CaptureFixture[str], count: Callable[[], int], select_silently: Callable[..., str]
) -> None:
    assert main(["info"]) == 0
    assert capsys.readouterr().out.count("will be compiled at first use by") == 3
    select_silently()
    capsys.readouterr()
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    rows = custom_ops.info()
    assert len(rows) == 5
    on_both = {(op, device) for op in ("bias_act", "upfirdn2d") for device in ("cpu", "cuda")}
    assert {(row["op"], row["device"]) for row in rows} == on_both | {("conv3x3", "cpu")}
    assert all(row["reason"] in printed or "ago" in row["reason"] for row in rows)
    assert str(cache.folder()) in printed


def test_build_names_the_library_and_fails_loudly(compiler: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build"]) == 0
    assert str(cache.folder()) in capsys.readouterr().out
    (dispatch.SOURCES / "planted.cpp").write_text("nonsense\n")
    assert main(["build"]) == 2
    assert "planted.cpp:1" in capsys.readouterr().err


def test_unknown_command_gives_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["build", "--gpu"]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_real_sources_compile_and_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one test that builds them, in the user's own cache, so that it takes time once."""
    try:
        find_tools("cpu")
    except NativeUnavailable as error:
        pytest.skip(str(error))
    (library,) = dispatch.build()[:1]
    load: Callable[[str], None] = torch.ops.load_library
    load(str(library.library))
    assert dispatch._missing_operators("cpu") == []
    monkeypatch.setitem(dispatch.SCHEMAS, "upfirdn2d", ("upfirdn2d", "upfirdn3d"))
    assert dispatch._missing_operators("cpu") == ["upfirdn3d"]
