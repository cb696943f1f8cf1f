"""Folds that were exported are the same folds when they are read, and a list that is not exact is refused."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.folds.folds import Folds
from ganaug.data.folds.listed import check_listed, make_listed_folds, read_listed_folds
from ganaug.data.folds.publish import export_folds
from ganaug.data.prepare.pipeline import Prepared, prepare_dataset
from ganaug.data.schema import ImageTable
from ganaug.errors import ConfigError, DataError, FoldsError, LeakError, UserError, WorkspaceError, for_terminal
from ganaug.workspace import Workspace, open_workspace

Tabulate = Callable[..., ImageTable]
TREE = {name: {f"{name}{patient}": 2 for patient in range(9)} for name in ("a", "b")}
ROLES = ["train"] * 6 + ["val"] * 2 + ["test"] * 2  # of ten patients, the even ones of class a
SCHEMES: dict[str, dict[str, Any]] = {
    "k-fold": {"num_folds": 3},
    "repeated": {"num_folds": 3, "scheme": "repeated", "num_repeats": 2},
    "leave-one-out": {"scheme": "leave-one-out"},
    "hold-out": {"scheme": "hold-out"},
    "fixed": {"scheme": "fixed"},
}


@pytest.fixture
def source(make_tree: Callable[..., Path]) -> Path:
    return make_tree(TREE)


def prepare(root: Path, source: Path, folds: FoldsConfig, **change: Any) -> tuple[DataSet, Prepared]:
    workspace = open_workspace(root)
    prepared = prepare_dataset(workspace, PrepareConfig("folder", str(source), resolution_px=16, folds=folds, **change))
    return open_dataset(workspace, "folder"), prepared


def fixed_list(folder: Path) -> Path:
    path = folder / "split.csv"
    part_of = {f"{name}{patient}": ROLES[patient + 1] for name in TREE for patient in range(9)}
    path.write_text("group,part\n" + "".join(f"{group},{part}\n" for group, part in part_of.items()))
    return path


# ---- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_ids", [True, False], ids=["names", "digests"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_exported_folds_are_the_same_folds_elsewhere(scheme: str, with_ids: bool, source: Path, tmp_path: Path) -> None:
    options = SCHEMES[scheme] | ({"fixed": str(fixed_list(tmp_path))} if scheme == "fixed" else {})
    dataset, _ = prepare(tmp_path / "here", source, FoldsConfig(seed=7, **options))
    out = tmp_path / "folds.csv"
    assert export_folds(dataset, out, with_ids=with_ids) == len(dataset.table)
    again, prepared = prepare(tmp_path / "elsewhere", source, FoldsConfig(folds_csv=str(out)))
    assert again.folds.splits == dataset.folds.splits
    assert again.folds.num_repeats == dataset.folds.num_repeats
    if scheme == "fixed" and not with_ids:  # the rule names a file of the user's
        assert "split.csv" not in out.read_text()
        assert [note for note in prepared.notes if "without the words of their rule" in note]
        assert not [note for note in prepared.notes if "not quite the one" in note]
    else:
        assert again.folds.digest == dataset.folds.digest
        assert not [note for note in prepared.notes if "exported from" in note]


def test_folds_can_be_read_at_another_resolution_and_a_note_says_so(source: Path, tmp_path: Path) -> None:
    dataset, _ = prepare(tmp_path / "here", source, FoldsConfig(num_folds=3))
    export_folds(dataset, tmp_path / "folds.csv")
    workspace = open_workspace(tmp_path / "elsewhere")
    config = PrepareConfig(
        "folder", str(source), resolution_px=32, folds=FoldsConfig(folds_csv=str(tmp_path / "folds.csv"))
    )
    prepared = prepare_dataset(workspace, config)
    assert prepared.folds is not None
    assert prepared.folds.splits == dataset.folds.splits
    assert [note for note in prepared.notes if "not quite the one that they were exported from" in note]


def test_images_that_were_dropped_as_copies_are_not_missing_from_the_list(source: Path, tmp_path: Path) -> None:
    (source / "a" / "a0" / "copy.png").write_bytes((source / "a" / "a0" / "0.png").read_bytes())
    dataset, _ = prepare(tmp_path / "here", source, FoldsConfig(num_folds=3))
    assert len(dataset.table) == 36
    export_folds(dataset, tmp_path / "folds.csv", with_ids=True)
    again, _ = prepare(tmp_path / "elsewhere", source, FoldsConfig(folds_csv=str(tmp_path / "folds.csv")))
    assert again.folds.digest == dataset.folds.digest


def test_tiles_of_an_image_are_one_row_by_name(source: Path, tmp_path: Path) -> None:
    tiles = {"fit": "tile", "field_px": 10}
    dataset, _ = prepare(tmp_path / "here", source, FoldsConfig(num_folds=3), **tiles)
    assert len(dataset.table) == 4 * 36
    assert export_folds(dataset, tmp_path / "folds.csv", with_ids=True) == 36
    assert export_folds(dataset, tmp_path / "digests.csv") == 4 * 36
    for name in ("folds.csv", "digests.csv"):
        again, _ = prepare(tmp_path / name[:3], source, FoldsConfig(folds_csv=str(tmp_path / name)), **tiles)
        assert again.folds.digest == dataset.folds.digest


def test_without_names_the_table_names_nobody_and_stands_in_the_order_of_digests(source: Path, tmp_path: Path) -> None:
    dataset, _ = prepare(tmp_path / "here", source, FoldsConfig(num_folds=3))
    export_folds(dataset, tmp_path / "folds.csv")
    text = (tmp_path / "folds.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()[1:]))
    for column, length in (("image_digest", 36), ("group_digest", 18)):
        digests = [row[column] for row in rows]
        assert len(set(digests)) == length
        assert all(len(digest) == 24 and set(digest) <= set("0123456789abcdef") for digest in digests)
    assert {*rows[0]} == {"image_digest", "group_digest", "class", "fold0", "fold1", "fold2"}
    assert [row["image_digest"] for row in rows] == sorted(row["image_digest"] for row in rows)
    assert ".png" not in text
    assert str(source) not in text
    export_folds(dataset, tmp_path / "named.csv", with_ids=True)
    assert "a/a0/0.png,a0,a," in (tmp_path / "named.csv").read_text()


def test_nothing_but_such_a_table_is_replaced(source: Path, tmp_path: Path) -> None:
    dataset, _ = prepare(tmp_path / "here", source, FoldsConfig(num_folds=3))
    out = tmp_path / "patients.csv"
    out.write_text("group,part\n")
    with pytest.raises(WorkspaceError, match="is there"):
        export_folds(dataset, out)
    export_folds(dataset, tmp_path / "folds.csv")
    first = (tmp_path / "folds.csv").read_bytes()
    export_folds(dataset, tmp_path / "folds.csv")
    assert (tmp_path / "folds.csv").read_bytes() == first


def test_an_image_that_a_list_of_digests_lacks_is_named_as_its_owner_names_it(source: Path, tmp_path: Path) -> None:
    dataset, _ = prepare(tmp_path / "here", source, FoldsConfig(num_folds=3))
    lines = dataset.table.image_digests(np.array([5]))
    export_folds(dataset, tmp_path / "folds.csv")
    text = (tmp_path / "folds.csv").read_text()
    kept = [line for line in text.splitlines() if not line.startswith(lines[0])]
    (tmp_path / "folds.csv").write_text("\n".join(kept) + "\n")
    with pytest.raises(FoldsError, match="lacks 1 of the data set's images") as error:
        prepare(tmp_path / "elsewhere", source, FoldsConfig(folds_csv=str(tmp_path / "folds.csv")))
    assert dataset.table.path[5] in for_terminal(str(error.value))
    assert dataset.table.path[5] not in error.value.shared


# ---- lists of others -------------------------------------------------------------------------------------------------


@pytest.fixture
def table(make_table: Tabulate) -> ImageTable:
    """Ten patients of two images; the even ones are of class a, the odd ones of b."""
    groups = [f"p{patient}" for patient in range(10) for _ in range(2)]
    paths = np.array([f"slides/{group}/{group}-{index % 2}.png" for index, group in enumerate(groups)])
    return replace(make_table([int(group[1]) % 2 for group in groups], groups), path=paths)


@pytest.fixture
def folds_of(tmp_path: Path, table: ImageTable) -> Callable[..., Folds]:
    """Folds of the table by a CSV of this text, checked as `prepare` does before it reads pixels."""

    def make(text: str | bytes, **change: Any) -> Folds:
        path = tmp_path / "list.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        listed = read_listed_folds(str(path))
        check_listed(listed, table.path, table.group_id)
        return make_listed_folds(change.pop("table", table), FoldsConfig(folds_csv=str(path), **change), listed)

    return make


def by_image(parts: list[str], names: list[str] | None = None, column: str = "fold0") -> str:
    """A list of one fold, with the parts of the ten patients."""
    names = names or [f"slides/p{patient}/p{patient}-{number}.png" for patient in range(10) for number in range(2)]
    return f"image,{column}\n" + "".join(f"{name},{parts[index // 2]}\n" for index, name in enumerate(names))


def test_images_are_known_by_as_much_of_their_path_as_is_theirs_alone(folds_of: Callable[..., Folds]) -> None:
    whole = folds_of(by_image(ROLES))
    assert set(whole.test_groups(0)) == {"p8", "p9"}
    assert set(whole.val_groups(0)) == {"p6", "p7"}
    assert whole.scheme == "fixed"
    short = [f"p{patient}-{number}.png" for patient in range(10) for number in range(2)]
    longer = [f"C:\\data\\slides\\p{name[1]}\\{name}" for name in short]
    for names in (short, longer):
        assert folds_of(by_image(ROLES, names)).splits == whole.splits
    patients = "group,fold0\n" + "".join(f"p{patient},{part}\n" for patient, part in enumerate(ROLES))
    assert folds_of(patients).splits == whole.splits
    assert folds_of("\ufeff" + patients.replace(",", ";").replace("\n", "\r\n")).splits == whole.splits


def test_overlapping_test_parts_are_repeats(folds_of: Callable[..., Folds]) -> None:
    turned = ["test", "test", *ROLES[:8]]
    rows = "".join(f"p{patient},{first},{first}\n" for patient, first in enumerate(turned))
    with pytest.raises(LeakError, match=r"tests patient p\d in 2 folds of a repeat.*repeat0_fold0, repeat1_fold0"):
        folds_of(f"group,fold0,fold1\n{rows}")
    folds = folds_of(f"group,repeat0_fold0,repeat1_fold0\n{rows}")
    assert (folds.num_folds, folds.num_repeats) == (2, 2)


def test_parts_may_be_written_out_and_in_any_case(folds_of: Callable[..., Folds]) -> None:
    words = {"train": "Train", "val": "Validation", "test": "TEST"}
    assert folds_of(by_image([words[role] for role in ROLES])).splits == folds_of(by_image(ROLES)).splits


LIST = by_image(ROLES)


def with_line(text: str, number: int, line: str) -> str:
    lines = text.splitlines()
    lines[number : number + 1] = [line] if line else []
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (with_line(LIST, 1, "slides/p0/p0-0.png,test"), LeakError, "puts patient p0 in test and train of fold 0"),
        (with_line(LIST, 1, ""), FoldsError, "lacks 1 of the data set's images, such as slides/p0/p0-0.png"),
        (LIST + "slides/q/q.png,train\n", FoldsError, "names slides/q/q.png; expected images of the data set only"),
        (LIST + "p0-0.png,train\n", FoldsError, "are the same image here"),
        (LIST + "slides/p0/p0-0.png,val\n", FoldsError, "line 22 of list.csv puts slides/p0/p0-0.png elsewhere"),
        (by_image(["train"] * 8 + ["test"] * 2), FoldsError, "fold0 of list.csv has no val part"),
        (by_image(["train"] * 8 + ["val"] * 2), FoldsError, "fold0 of list.csv has no test part"),
        (by_image([*ROLES[:7], "test", *ROLES[8:]]), FoldsError, "val part of fold 0 of list.csv has no image of b"),
        (by_image([*ROLES[:8], "rest", "test"]), FoldsError, "line 18 of list.csv puts 'slides/p8/p8-0.png' in 'rest'"),
        (by_image(ROLES, column="split"), FoldsError, "has the fold columns none (0)"),
        (by_image(ROLES, column="fold1"), FoldsError, "has the fold columns fold1 (1)"),
        (by_image(ROLES).replace("image", "file"), FoldsError, "expected one of image, image_digest, group"),
        ("# note\n" + by_image(ROLES), FoldsError, "the first line of list.csv is a comment"),
        ('# {"scheme": "fixed", "seed": 0, "num_repeats": 2, "rule": ""}\n' + by_image(ROLES), FoldsError, "says 2"),
        ("", FoldsError, "list.csv is empty"),
        (b"image,fold0\n\xff\xfe,train\n", FoldsError, "line 2 of list.csv is no CSV in UTF-8"),
    ],
)  # fmt: skip
def test_a_list_that_is_not_exact_is_refused_in_one_line(
    folds_of: Callable[..., Folds], text: str | bytes, kind: type[UserError], message: str
) -> None:
    with pytest.raises(kind) as error:
        folds_of(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "slides/p" not in error.value.shared


def test_a_list_that_parts_a_site_is_refused_where_sites_stay_together(
    folds_of: Callable[..., Folds], table: ImageTable
) -> None:
    sited = replace(table, site_id=np.array([f"s{int(group[1]) // 4}" for group in table.group_id]))
    with pytest.raises(LeakError, match=r"puts site s1 in .* of fold 0.*--fold-by group"):
        folds_of(by_image(ROLES), by="site", table=sited)
    whole = ["train"] * 4 + ["val"] * 4 + ["test"] * 2
    assert set(folds_of(by_image(whole), by="site", table=sited).val_groups(0)) == {"p4", "p5", "p6", "p7"}


def test_a_missing_list_and_a_folder_are_named(tmp_path: Path) -> None:
    for name, reason in ((tmp_path / "none.csv", "there is no such file"), (tmp_path, "it is a folder")):
        with pytest.raises(FoldsError, match=reason):
            read_listed_folds(str(name))


def test_a_list_and_a_split_are_not_given_together() -> None:
    with pytest.raises(ConfigError, match="one of them"):
        FoldsConfig(scheme="fixed", fixed="a.csv", folds_csv="b.csv")


def test_names_that_fit_in_no_table_are_refused(tiny: DataSet, tmp_path: Path) -> None:
    paths = tiny.table.path.astype("U60")
    paths[0] = "two\nlines.png"
    broken = replace(tiny, table=replace(tiny.table, path=paths))
    with pytest.raises(DataError, match="export without --with-ids"):
        export_folds(broken, tmp_path / "folds.csv", with_ids=True)


def test_folds_of_a_drawn_data_set_are_exported_too(workspace: Workspace, tiny: DataSet, tmp_path: Path) -> None:
    export_folds(tiny, tmp_path / "folds.csv", with_ids=True)
    listed = read_listed_folds(str(tmp_path / "folds.csv"))
    assert make_listed_folds(tiny.table, FoldsConfig(), listed).splits == tiny.folds.splits
