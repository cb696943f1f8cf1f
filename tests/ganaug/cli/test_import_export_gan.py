"""`ganaug import-gan` and `ganaug export-gan` as a user types them."""

import json
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors import safe_open

from ganaug.checkpoint.snapshot import Snapshot, load_generator, load_snapshot, save_snapshot
from ganaug.cli.main import main
from ganaug.config import GanConfig
from ganaug.data.dataset import DataSet
from ganaug.provenance import Provenance
from ganaug.workspace import GanRun, Workspace, write_json

if TYPE_CHECKING:
    from tests.ganaug.conftest import Peer


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def one_line(result: Result) -> str:
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("ganaug: ")
    return line


@pytest.fixture
def trained(workspace: Workspace, peer: "Peer") -> GanRun:
    """A run with two snapshots, the later one of G."""
    made = workspace.gan("phantom", 0, "a" * 64)
    write_json(made.config, {})
    for kimg, generator in ((1.0, peer.ema), (2.0, peer.G)):
        record = Provenance("phantom", "a" * 64, "b" * 64, 0, ("p1",), "c" * 64, kimg=kimg)
        config = GanConfig(generator.config, total_kimg=2.0)
        save_snapshot(made.ema(kimg), Snapshot(generator, config, ("a", "b", "c"), record))
    return made


def test_a_pickle_becomes_a_snapshot_next_to_it(peer: "Peer") -> None:
    result = run("import-gan", peer.path, "--json")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed["file"] == str(peer.path.with_suffix(".safetensors"))
    assert (printed["resolution_px"], printed["num_classes"], printed["skipped"]) == (16, 3, [])
    assert "a study refuses it for every fold" in result.stderr
    assert load_snapshot(Path(printed["file"])).companions.keys() >= {"G.mapping.w_avg", "D.b4.out.bias"}


def test_what_was_skipped_is_reported(peer: "Peer", tmp_path: Path) -> None:
    peer.content["D"].at("b16").options["architecture"] = "orig"
    result = run("import-gan", peer.path, "--out", tmp_path / "here.safetensors")
    assert result.exit_code == 0, result.stderr
    assert "skipped: D has b16.architecture orig" in result.stderr
    assert result.stdout == f"{tmp_path / 'here.safetensors'}: 16 px, 3 classes\n"


def test_a_dry_run_of_an_import_writes_nothing(peer: "Peer", tmp_path: Path) -> None:
    result = run("import-gan", peer.path, "--dry-run")
    assert result.stdout.startswith("would write ")
    assert list(tmp_path.glob("*.safetensors")) == []


def test_a_pickle_that_runs_code_is_one_line_and_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path / 'planted'}",)

    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"G_ema": Evil()}))
    assert f"{path} is refused: it asks for {os.name}.system, which is not run" in one_line(run("import-gan", path))
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_study_will_refuse_is_noted_before_training(peer: "Peer", tiny: DataSet, workspace: Workspace) -> None:
    command = ("train-gan", "--preset", "quick", "--init", peer.path, "--workspace", workspace.root, "--dry-run")
    silent, stated = run(*command), run(*command, "--init-saw", "BreCaHAD")
    assert (silent.exit_code, stated.exit_code) == (0, 0), silent.stderr
    assert "a study refuses what is trained on from" in silent.stderr
    assert "say what they are with --init-saw" in silent.stderr
    assert "refuses" not in stated.stderr


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(1)])
def test_other_files_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pkl").write_bytes(content)
    assert "expected a network pickle" in one_line(run("import-gan", tmp_path / "x.pkl"))


@pytest.mark.parametrize(("options", "network"), [((), "G"), (("--kimg", "1"), "ema")])
def test_a_run_is_exported_by_its_name(
    trained: GanRun, workspace: Workspace, peer: "Peer", tmp_path: Path, options: tuple[str, ...], network: str
) -> None:
    out = tmp_path / "out.safetensors"
    result = run("export-gan", trained.root.name, "--out", out, *options, "--workspace", workspace.root, "--json")
    assert result.exit_code == 0, result.stderr
    expected = getattr(peer, network).state_dict()
    with safe_open(out, framework="pt") as file:
        assert set(file.keys()) == expected.keys() == set(json.loads(result.stdout)["tensors"])
        assert all(torch.equal(file.get_tensor(name), expected[name]) for name in expected)
        about = {name: json.loads(text) for name, text in file.metadata().items()}
    assert about["class_names"] == ["a", "b", "c"]
    assert about["provenance"]["groups_seen"] == ["p1"]
    assert about["config"]["network"]["resolution_px"] == 16


def test_a_snapshot_of_about_so_many_kimg_is_found_where_it_is_the_only_one(
    trained: GanRun, workspace: Workspace, tmp_path: Path
) -> None:
    trained.ema(2.0).rename(trained.ema(2.032))
    for kimg in ("2", "2.032"):
        out = ("--out", tmp_path / "out.safetensors", "--workspace", workspace.root)
        result = run("export-gan", trained.root.name, *out, "--kimg", kimg, "--json")
        assert json.loads(result.stdout)["source"] == str(trained.ema(2.032))


def test_an_exported_import_keeps_the_generator_alone(peer: "Peer", tmp_path: Path) -> None:
    imported, out = tmp_path / "imported.safetensors", tmp_path / "out.safetensors"
    assert run("import-gan", peer.path, "--out", imported).exit_code == 0
    assert run("export-gan", imported, "--out", out).exit_code == 0
    z, c = torch.ones(1, 16), torch.eye(3)[:1]
    assert torch.equal(*(load_generator(path)(z, c, noise_mode="const") for path in (imported, out)))
    assert load_snapshot(out).companions == {}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing",), "nothing"),
        (("phantom-fold0-aaaaaaaa", "--kimg", "9"), "ema-000001kimg.safetensors, ema-000002"),
        (("SNAPSHOT", "--kimg", "1"), "--kimg with the file"),
    ],
)
def test_a_mistake_of_an_export_is_one_line(
    trained: GanRun, workspace: Workspace, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    arguments = tuple(str(trained.ema(1.0)) if word == "SNAPSHOT" else word for word in arguments)
    result = run("export-gan", *arguments, "--out", tmp_path / "out.safetensors", "--workspace", workspace.root)
    assert says in one_line(result)
    assert not (tmp_path / "out.safetensors").exists()
