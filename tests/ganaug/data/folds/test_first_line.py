"""What a list of folds says of itself is believed where the columns bear it out, and passed on where it is plain."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.folds.folds import Folds
from ganaug.data.folds.listed import make_listed_folds, read_listed_folds
from ganaug.data.folds.publish import export_folds
from ganaug.data.folds.schemes import is_rule, rule_of
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.schema import ImageTable
from ganaug.errors import FoldsError
from ganaug.workspace import open_workspace

SCHEMES: dict[str, dict[str, Any]] = {
    "k-fold": {"num_folds": 3},
    "repeated": {"num_folds": 3, "scheme": "repeated", "num_repeats": 2},
    "leave-one-out": {"scheme": "leave-one-out"},
    "hold-out": {"scheme": "hold-out"},
}
ROLES = ["train"] * 6 + ["val"] * 2 + ["test"] * 2  # of ten patients, the even ones of class a


@pytest.fixture
def folds_said(tmp_path: Path, make_table: Callable[..., ImageTable]) -> Callable[..., Folds]:
    """The folds of a list of one fold, whose first line has these values."""
    table = make_table([patient % 2 for patient in range(10)], [f"p{patient}" for patient in range(10)])

    def make(**change: Any) -> Folds:
        values = {"scheme": "fixed", "seed": 0, "num_repeats": 1, "rule": ""} | change
        rows = "".join(f"p{patient},{part}\n" for patient, part in enumerate(ROLES))
        path = tmp_path / "list.csv"
        path.write_text(f"# {json.dumps(values)}\ngroup,fold0\n{rows}")
        return make_listed_folds(table, FoldsConfig(folds_csv=str(path)), read_listed_folds(str(path)))

    return make


@pytest.mark.parametrize("scheme", ["k-fold", "repeated", "leave-one-out"])
def test_a_scheme_that_the_columns_do_not_bear_out_is_refused(folds_said: Callable[..., Folds], scheme: str) -> None:
    with pytest.raises(FoldsError, match=f"says {scheme}, and the columns say otherwise"):
        folds_said(scheme=scheme)
    assert folds_said(scheme="hold-out").scheme == "hold-out"


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -5},
        {"rule": "red \x1b[31m"},
        {"rule": "two\nlines"},
        {"rule": "turned \u202e round"},
        {"rule": "long" * 100},
        {"folds_digest": 5},
        {"folds_digest": "a" * 301},
    ],
)
def test_a_first_line_of_odd_values_is_refused(folds_said: Callable[..., Folds], change: dict[str, Any]) -> None:
    with pytest.raises(FoldsError, match=r"the first line of list\.csv"):
        folds_said(**change)


def prepare(root: Path, source: Path, folds: FoldsConfig) -> DataSet:
    workspace = open_workspace(root)
    prepare_dataset(workspace, PrepareConfig("folder", str(source), resolution_px=16, folds=folds))
    return open_dataset(workspace, "folder")


def test_words_that_came_with_a_list_leave_again_only_with_the_names(
    make_tree: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_tree({name: {f"{name}{patient}": 1 for patient in range(4)} for name in ("a", "b")})
    dataset, out = prepare(tmp_path / "here", source, FoldsConfig(num_folds=3)), tmp_path / "folds.csv"
    export_folds(dataset, out)
    assert dataset.folds.rule in out.read_text()
    out.write_text(out.read_text().replace(dataset.folds.rule, "Mr Smith tests, Ms Jones validates"))
    again = prepare(tmp_path / "elsewhere", source, FoldsConfig(folds_csv=str(out)))
    export_folds(again, tmp_path / "again.csv")
    assert "Smith" not in (tmp_path / "again.csv").read_text()
    export_folds(again, tmp_path / "named.csv", with_ids=True)
    assert "Smith" in (tmp_path / "named.csv").read_text()


@pytest.mark.parametrize("by", ["group", "site"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_rule_of_ganaug_is_known_as_its_own(scheme: str, by: str) -> None:
    rule = rule_of(FoldsConfig(by=by, **SCHEMES[scheme]))
    assert is_rule(rule, scheme)
    assert not is_rule(f"{rule} by Smith", scheme)
    assert not is_rule(f"Smith: {rule}", scheme)
    assert not is_rule(rule, "fixed")
