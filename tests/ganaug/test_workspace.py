import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ganaug.errors import CorruptFile, WorkspaceError
from ganaug.files import _MACHINE
from ganaug.workspace import (
    WORKSPACE_VERSION,
    Workspace,
    append_jsonl,
    atomic_path,
    kimg_of,
    open_workspace,
    read_json,
    read_jsonl,
    user_path,
    write_json,
    write_text,
)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.part")]


def test_a_workspace_of_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "workspace.json", {"version": 999})
    with pytest.raises(WorkspaceError, match="version 999"):
        open_workspace(tmp_path)
    assert read_json(tmp_path / "workspace.json") == {"version": 999}


def test_the_folder_is_taken_from_the_argument_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANAUG_WORKSPACE", str(tmp_path / "b"))
    assert open_workspace(tmp_path / "a").root == tmp_path / "a"
    assert open_workspace().root == tmp_path / "b"
    monkeypatch.delenv("GANAUG_WORKSPACE")
    monkeypatch.chdir(tmp_path)
    assert open_workspace().root == Path("ganaug-workspace")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(TypeError), atomic_path(target) as part:
        part.write_text("half" + 1)  # type: ignore[operator]
    assert target.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_a_full_disk_is_one_line_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="the disk is full") as refusal, atomic_path(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_files_get_the_permissions_of_the_umask_not_of_a_private_temporary(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_a_truncated_last_line_of_a_log_is_skipped(tmp_path: Path) -> None:
    log = tmp_path / "stats.jsonl"
    append_jsonl(log, {"kimg": 1})
    with log.open("a") as file:
        file.write('{"kimg": 2, "lo')
    assert read_jsonl(log) == [{"kimg": 1}]


def test_a_line_after_a_torn_one_is_not_lost(tmp_path: Path) -> None:
    log = tmp_path / "stats.jsonl"
    log.write_text('{"kimg": 1}\n{"kimg": 2, "lo')
    append_jsonl(log, {"kimg": 3})
    assert read_jsonl(log) == [{"kimg": 1}, {"kimg": 3}]


def test_torn_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(WorkspaceError, match="not valid JSON"):
        read_json(tmp_path / "a.json")


def test_generators_are_found_by_data_set_and_fold_the_newest_last(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for age, (dataset, fold, digest) in enumerate(
        [("a", 0, "11111111"), ("a", 1, "22222222"), ("a-fold1", 0, "33333333"), ("a", 0, "44444444")]
    ):
        run = workspace.gan(dataset, fold, digest)
        write_json(run.config, {})
        os.utime(run.config, ns=(age, age))
    assert [run.root.name for run in workspace.gans("a", 0)] == ["a-fold0-11111111", "a-fold0-44444444"]
    assert [run.root.name for run in workspace.gans("a-fold1")] == ["a-fold1-fold0-33333333"]
    assert len(workspace.gans()) == 4


@pytest.mark.parametrize("content", [b"5", b"[]", b"{}", b'{"version": "1"}', b"\xff", b"[" * 100_000, b""])
def test_a_workspace_file_of_another_kind_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "workspace.json").write_bytes(content)
    with pytest.raises(CorruptFile, match=r"^\S*workspace\.json [^\n]*$"):
        open_workspace(tmp_path)


def test_opening_a_workspace_that_is_not_there_makes_none(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "a")
    assert workspace.datasets() == []
    assert list(tmp_path.iterdir()) == []
    workspace.begin()
    before = (tmp_path / "a" / "workspace.json").stat()
    open_workspace(tmp_path / "a").begin()
    assert (tmp_path / "a" / "workspace.json").stat() == before


def test_a_folder_of_copied_generators_becomes_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "gans" / "a-fold0-11111111").mkdir(parents=True)
    open_workspace(tmp_path, tidy=False)
    assert not (tmp_path / "workspace.json").exists()
    open_workspace(tmp_path)
    assert (tmp_path / "workspace.json").exists()


def test_opening_a_workspace_removes_what_killed_commands_left_of_images(tmp_path: Path) -> None:
    left = [
        tmp_path / folder / f".a.{_MACHINE}-abcdefgh.part" for folder in ("datasets", "synthetic", "gans/b/samples")
    ]
    write_json(tmp_path / "workspace.json", {"version": WORKSPACE_VERSION})
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"pixels")
    open_workspace(tmp_path, tidy=False)
    assert [path.exists() for path in left] == [True, True, True]
    open_workspace(tmp_path)
    assert [path.exists() for path in left] == [False, False, False]


@given(numbers=st.lists(st.integers(0, 3_000_000_000), min_size=2, max_size=6, unique=True))
@example(numbers=[0, 16, 32, 1000, 12_000, 12_032])
@settings(max_examples=60, deadline=None)
def test_snapshots_of_distinct_numbers_of_images_have_distinct_names_in_their_order(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int]
) -> None:
    run = Workspace(tmp_path_factory.mktemp("runs")).gan("a", 0, "0" * 8)
    (run.root / "ema").mkdir(parents=True)
    for number in numbers:
        run.ema(number / 1000).touch()
    assert [round(1000 * kimg_of(path)) for path in run.snapshots()] == sorted(numbers)
    assert run.newest_ema() == run.ema(max(numbers) / 1000)
    workspace = Workspace(run.root)
    for named in (
        run.samples,
        lambda kimg: run.strips("morph", kimg, 1, 0),
        lambda k: workspace.synthetic("a", k, 1, 0),
    ):
        assert len({named(number / 1000) for number in numbers}) == len(numbers)


def test_names_of_whole_kimg_are_as_they_were(tmp_path: Path) -> None:
    run = Workspace(tmp_path).gan("a", 0, "0" * 8)
    assert run.ema(12.0).name == "ema-000012kimg.safetensors"
    assert run.ema(0.016).name == "ema-000000.016kimg.safetensors"


@pytest.mark.parametrize("package", ["ganaug", "classifiers", "custom_ops"])
def test_importing_a_package_compiles_nothing_and_loads_no_heavy_library(package: str) -> None:
    heavy = ("torchvision", "timm", "torch_fidelity", "lpips", "matplotlib", "sklearn", "torch.utils.cpp_extension")
    code = f"import sys, {package}; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("text", ["~nobody-of-this-name/data", "a\0b", "~\0", "", "  ", "a" * 5000])
def test_a_path_that_is_none_is_one_line_wherever_a_user_gives_one(text: str, tmp_path: Path) -> None:
    from ganaug.data.archives.files import existing
    from ganaug.data.folds.fixed import read_fixed_list
    from ganaug.weights import weights_folder

    readers: list[Callable[[str], object]] = [user_path, lambda text: read_fixed_list(text, {})]
    readers += [lambda text: existing(text, "--source")]
    readers += [open_workspace, weights_folder] if text else []  # those have a default
    assert len(readers) >= 3
    for read in readers:
        with pytest.raises(WorkspaceError, match=r"the path .* cannot be read") as refusal:
            read(text)
        assert str(refusal.value).isprintable()
        assert len(str(refusal.value)) < 400


def test_a_home_that_nothing_names_is_one_line(tmp_path: Path) -> None:
    code = (
        "import os, pwd\n"
        "def nobody(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = nobody\n"
        "from ganaug.workspace import user_path\n"
        "from ganaug.errors import UserError\n"
        "try: user_path('~/data')\n"
        "except UserError as error: print(error)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    assert done.stderr == ""
    assert done.stdout.startswith("the path '~/data' cannot be read (")


def test_a_home_is_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/data") == tmp_path / "data"
    assert user_path(Path("data")) == Path("data")
