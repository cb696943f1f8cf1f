import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganaug.config import FoldsConfig
from ganaug.data.folds import balance_table, check_feasible, make_folds, read_folds, write_folds
from ganaug.data.schema import ImageTable
from ganaug.errors import DataError, FoldsError, LeakError

Tabulate = Callable[..., ImageTable]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11)), min_size=1, max_size=120),
    st.integers(3, 5),
    st.integers(0, 99),
)
def test_no_group_is_in_two_parts_of_a_fold_and_each_part_holds_each_class(
    make_table: Tabulate, images: list[tuple[int, int]], num_folds: int, seed: int
) -> None:
    table = make_table([label for label, _ in images], [f"p{group}" for _, group in images], ("a", "b", "c"))
    try:
        folds = make_folds(table, FoldsConfig(num_folds, seed))
    except FoldsError:
        return
    tested: list[int] = []
    for fold in range(num_folds):
        sets = [set(part(fold)) for part in (folds.train_groups, folds.val_groups, folds.test_groups)]
        assert sets[0] | sets[1] | sets[2] == set(table.group_id)
        assert sum(map(len, sets)) == len(set(table.group_id))
        for groups in sets:
            assert table.class_counts(table.indices_of(groups)).min() > 0
        tested += table.indices_of(sets[2]).tolist()
    assert sorted(tested) == list(range(len(table)))


def check(patients: dict[str, int], num_folds: int = 5, way_out: str = "") -> str:
    """The message about classes that have so many patients of one image each."""
    labels = np.repeat(np.arange(len(patients)), list(patients.values()))
    groups = np.array([f"p{index}" for index in range(len(labels))])
    with pytest.raises(FoldsError) as error:
        check_feasible(labels, groups, list(patients), FoldsConfig(num_folds), way_out)
    return str(error.value)


def test_the_error_shows_the_arithmetic_and_offers_only_what_works() -> None:
    message = check({"adenosis": 2, "fibroma": 7, "phyllodes": 3, "ductal": 38}, way_out="--task binary")
    assert message == (
        "adenosis has 2 patients, phyllodes has 3 patients; expected at least 5 patients of every class for 5 folds; "
        "use --folds 5 --exclude-class adenosis --exclude-class phyllodes, or --folds 3 --exclude-class adenosis, "
        "or --task binary"
    )


def test_fewer_folds_are_offered_where_they_work_for_all() -> None:
    assert "use --folds 4" in check({"a": 4, "b": 9})


def test_a_class_with_one_patient_and_nothing_to_fall_back_on() -> None:
    message = check({"a": 1, "b": 9})
    assert message.startswith("a has 1 patient; expected at least 5 patients of every class")
    assert message.endswith("bring images of more patients")


def test_groups_that_cannot_be_cut_are_refused_even_if_each_class_has_enough() -> None:
    # Four groups that each lack one of four classes: three groups for each class, but never three disjoint covers.
    labels, groups = zip(*[(label, f"p{group}") for group in range(4) for label in range(4) if label != group])
    with pytest.raises(FoldsError, match="no cut into 3 parts"):
        check_feasible(np.array(labels), np.array(groups), "abcd", FoldsConfig(3))


@pytest.fixture
def table(make_table: Tabulate) -> ImageTable:
    labels, groups = zip(*[(patient % 2, f"p{patient}") for patient in range(12) for _ in range(3)])
    return make_table(list(labels), list(groups))


def test_folds_survive_the_disk(tmp_path: Path, table: ImageTable) -> None:
    folds = make_folds(table, FoldsConfig(3))
    write_folds(tmp_path / "folds.json", folds)
    assert read_folds(tmp_path / "folds.json", table) == folds


def test_the_digest_covers_every_field(table: ImageTable) -> None:
    one, same, seeded, other = (make_folds(table, FoldsConfig(n, s)) for n, s in ((3, 0), (3, 0), (3, 1), (4, 0)))
    assert one.digest == same.digest
    assert len({one.digest, seeded.digest, other.digest}) == 3


def test_edited_folds_are_refused(tmp_path: Path, table: ImageTable) -> None:
    path = tmp_path / "folds.json"
    write_folds(path, make_folds(table, FoldsConfig(3)))
    values = json.loads(path.read_text())
    values["parts"][0].append(values["parts"][1].pop())  # a test patient moved to another part
    path.write_text(json.dumps(values))
    with pytest.raises(LeakError, match="edited"):
        read_folds(path, table)


@pytest.mark.parametrize("damage", ["{}", "[]", '{"parts": 3}', "3"])
def test_malformed_folds_are_refused(tmp_path: Path, table: ImageTable, damage: str) -> None:
    (tmp_path / "folds.json").write_text(damage)
    with pytest.raises(DataError, match="malformed"):
        read_folds(tmp_path / "folds.json", table)


def test_folds_of_another_data_set_are_refused(tmp_path: Path, table: ImageTable, make_table: Tabulate) -> None:
    write_folds(tmp_path / "folds.json", make_folds(table, FoldsConfig(3)))
    other = make_table(table.label.tolist(), table.group_id.tolist())
    other.attrs["fingerprint"] = "0" * 64
    with pytest.raises(DataError, match="another version"):
        read_folds(tmp_path / "folds.json", other)


def test_folds_that_lack_a_patient_are_refused(tmp_path: Path, table: ImageTable, make_table: Tabulate) -> None:
    write_folds(tmp_path / "folds.json", make_folds(table, FoldsConfig(3)))
    larger = make_table([*table.label.tolist(), 0], [*table.group_id.tolist(), "p99"])
    with pytest.raises(DataError, match="every patient once"):
        read_folds(tmp_path / "folds.json", larger)


def test_the_balance_table_adds_up(table: ImageTable) -> None:
    lines = balance_table(table, make_folds(table, FoldsConfig(3))).splitlines()
    assert lines[0].split() == ["part", "patients", "a", "b"]
    rows = np.array([line.split()[1:] for line in lines[1:]], dtype=int)
    assert rows[:-1].sum(axis=0).tolist() == rows[-1].tolist() == [12, 18, 18]
