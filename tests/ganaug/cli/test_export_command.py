"""`ganaug export` as a user types it."""

import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganaug.cli.main import main
from ganaug.data.dataset import DataSet
from ganaug.workspace import Workspace


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_a_fold_is_exported_by_the_name_of_its_data_set(workspace: Workspace, tiny: DataSet, tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    result = run("phantom", "--zip", out, "--fold", 1, "--workspace", workspace.root, "--json")
    assert result.exit_code == 0, result.stderr
    reported = json.loads(result.stdout)
    assert reported["file"] == str(out)
    assert reported["images"] == len(tiny.train(1)) == sum(reported["classes"].values())
    assert "note:" not in result.stderr
    with zipfile.ZipFile(out) as archive:
        assert len(archive.namelist()) == len(tiny.train(1)) + 1


def test_all_images_are_exported_by_the_path_of_a_file_with_a_warning(tiny: DataSet, tmp_path: Path) -> None:
    result = run(tiny.path, "--zip", tmp_path / "out.zip")
    assert result.exit_code == 0, result.stderr
    assert f"{tmp_path / 'out.zip'}: {len(tiny.table)} images\n" == result.stdout
    assert "a generator trained on them has seen every one and can serve no fold" in result.stderr


def test_folds_are_exported_as_a_table_with_a_note_on_names(
    workspace: Workspace, tiny: DataSet, tmp_path: Path
) -> None:
    out = tmp_path / "folds.csv"
    would = run("phantom", "--folds-csv", out, "--workspace", workspace.root, "--dry-run")
    assert would.stdout == f"would write {out}: 12 patients, 3 folds\n"
    assert not out.exists()
    for options, note in (((), "keyed digests; --with-ids names them"), (("--with-ids",), "names 12 patients")):
        result = run("phantom", "--folds-csv", out, "--workspace", workspace.root, "--json", *options)
        assert result.exit_code == 0, result.stderr
        assert note in result.stderr
        assert json.loads(result.stdout) == {"file": str(out), "images": len(tiny.table), "patients": 12, "folds": 3}


def test_a_dry_run_writes_nothing(workspace: Workspace, tiny: DataSet, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = run(tiny.path, "--zip", tmp_path / "out.zip", "--fold", 0, "--part", "test", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"would write {tmp_path / 'out.zip'}: {len(tiny.test(0))} images\n"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("phantom",), "expected --zip OUT.zip, or --folds-csv OUT.csv alone"),
        (("mars", "--zip", "out.zip"), "mars.h5; make it with `ganaug prepare`"),
        (("nothing.h5", "--zip", "out.zip"), "there is no file nothing.h5"),
        (("phantom", "--zip", "out.zip", "--fold", "9"), "expected a number from 0 to 2"),
        (("phantom", "--zip", "out.zip", "--fold", "one"), "not a valid integer"),
        (("phantom", "--zip", "out.zip", "--part", "test"), "--fold"),
        (("phantom", "--zip", "out.zip", "--fold", "0", "--part", "rest"), "rest"),
        (("phantom", "--zip", "out.zip", "--folds-csv", "out.csv"), "alone"),
        (("phantom", "--folds-csv", "out.csv", "--fold", "0"), "alone"),
        (("phantom", "--folds-csv", "out.txt"), "expected a .csv file to write"),
        (("phantom", "--folds-csv", "nowhere/out.csv"), "there is no folder nowhere"),
        (("phantom", "--folds-csv", ""), "--folds-csv names no file"),
        (("phantom", "--zip", "/dev/null/out.zip"), "cannot be read or written"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    workspace: Workspace, tiny: DataSet, arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root)
    result = run(*arguments, "--workspace", workspace.root)
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert lines[0].startswith("ganaug: ")
    assert says in lines[0]
    assert not Path("nowhere").exists()
    assert result.stdout == ""
    assert not Path("out.zip").exists()
