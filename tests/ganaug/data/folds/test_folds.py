import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganaug.config import FoldsConfig
from ganaug.data.folds import schemes
from ganaug.data.folds.folds import balance_table, check_feasible, make_folds, read_folds, write_folds
from ganaug.data.schema import ImageTable
from ganaug.errors import DataError, FoldsError, LeakError, for_terminal
from ganaug.provenance import digest_of

Tabulate = Callable[..., ImageTable]


SCHEMES = tuple(schemes.SCHEMES)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11), st.integers(0, 9)), min_size=1, max_size=120),
    st.builds(
        FoldsConfig,
        st.integers(3, 5),
        st.integers(0, 99),
        st.sampled_from(SCHEMES),
        st.integers(2, 3),
        st.sampled_from(["group", "site"]),
    ),
)
def test_no_group_or_site_is_in_two_parts_of_a_fold_and_the_promised_classes_are_there(
    tmp_path: Path, make_table: Tabulate, images: list[tuple[int, int, int]], config: FoldsConfig
) -> None:
    labels, groups, sites = (list(column) for column in zip(*images))
    table = make_table(labels, [f"p{group}" for group in groups], ("a", "b", "c"))
    table = replace(table, site_id=np.array([f"s{site}" for site in sites]))
    try:
        folds = make_folds(table, config)
    except FoldsError:
        return
    tested: list[int] = []
    for fold in range(folds.num_folds):
        parts = folds.parts(fold)
        assert set().union(*parts.values()) == set(table.group_id)
        assert sum(map(len, parts.values())) == len(set(table.group_id))
        for part, members in parts.items():
            indices = table.indices_of(members)
            if part != "test" or config.scheme != "leave-one-out":
                assert table.class_counts(indices).min() > 0
            if config.by == "site":
                others = np.setdiff1d(np.arange(len(table)), indices)
                assert not set(table.site_id[indices]) & set(table.site_id[others])
            if part == "test":
                tested += indices.tolist()
    if config.scheme != "hold-out":
        assert sorted(tested) == sorted(list(range(len(table))) * folds.num_repeats)
    write_folds(tmp_path / "folds.json", folds)
    assert read_folds(tmp_path / "folds.json", table) == folds
    assert make_folds(table, config) == folds


@pytest.fixture
def table(make_table: Tabulate) -> ImageTable:
    """Twelve patients of three images; the even ones are of class a, the odd ones of b; two patients a site."""
    numbers = [patient for patient in range(12) for _ in range(3)]
    table = make_table([patient % 2 for patient in numbers], [f"p{patient:02d}" for patient in numbers])
    return replace(table, site_id=np.array([f"s{patient // 2}" for patient in numbers]))


CONFIGS = [FoldsConfig(3, scheme=scheme, num_repeats=2) for scheme in SCHEMES]


@pytest.mark.parametrize("config", CONFIGS, ids=SCHEMES)
def test_folds_survive_the_disk_and_say_every_part(tmp_path: Path, table: ImageTable, config: FoldsConfig) -> None:
    folds = make_folds(table, config)
    assert check_feasible(table.label, table.group_id, table.site_id, "ab", config) == folds.num_folds
    write_folds(tmp_path / "folds.json", folds)
    found = read_folds(tmp_path / "folds.json", table)
    assert found == folds
    assert found.digest == folds.digest
    values = json.loads((tmp_path / "folds.json").read_text())
    assert values["scheme"] == config.scheme
    assert values["rule"]
    for fold, parts in enumerate(values["folds"]):
        assert parts["train"] == list(folds.train_groups(fold))
        assert sorted(parts["train"] + parts["val"] + parts["test"]) == sorted(set(table.group_id))


def test_a_file_of_seventy_folds_can_be_read_by_eye(tmp_path: Path, make_table: Tabulate) -> None:
    table = make_table([patient % 2 for patient in range(70)], [f"TCGA-A1-{patient:04d}" for patient in range(70)])
    write_folds(tmp_path / "folds.json", make_folds(table, FoldsConfig(scheme="leave-one-out")))
    text = (tmp_path / "folds.json").read_text()
    assert len(text) < 100_000
    assert len(text.splitlines()) < 6 * 70


def test_repeats_are_kept_apart_by_their_folds(table: ImageTable) -> None:
    folds = make_folds(table, FoldsConfig(3, scheme="repeated", num_repeats=2))
    assert [folds.repeat_of(fold) for fold in range(folds.num_folds)] == [0, 0, 0, 1, 1, 1]
    assert make_folds(table, FoldsConfig(3)).repeat_of(2) == 0


def test_leave_one_site_out_tests_whole_sites(table: ImageTable) -> None:
    folds = make_folds(table, FoldsConfig(3, scheme="leave-one-out", by="site"))
    assert {folds.test_groups(fold) for fold in range(6)} == {(f"p{n:02d}", f"p{n + 1:02d}") for n in range(0, 12, 2)}
    assert "all patients of one site stay together" in folds.rule


def test_the_digest_covers_every_field(table: ImageTable) -> None:
    first, same, seeded, other = (make_folds(table, FoldsConfig(n, s)) for n, s in ((3, 0), (3, 0), (3, 1), (4, 0)))
    assert first.digest == same.digest
    changed = [replace(first, scheme="fixed"), replace(first, rule="x"), replace(first, num_repeats=3), seeded, other]
    assert len({first.digest, *(folds.digest for folds in changed)}) == 6


def written(tmp_path: Path, table: ImageTable, config: FoldsConfig) -> tuple[Path, dict[str, Any]]:
    path = tmp_path / "folds.json"
    write_folds(path, make_folds(table, config))
    return path, json.loads(path.read_text())


@pytest.mark.parametrize(
    ("part", "other"), [("train", "test"), ("val", "train"), ("test", "val")], ids=["to train", "to val", "to test"]
)
def test_a_patient_moved_by_hand_is_refused(tmp_path: Path, table: ImageTable, part: str, other: str) -> None:
    path, values = written(tmp_path, table, FoldsConfig(3))
    values["folds"][0][part].append(values["folds"][0][other].pop())
    path.write_text(json.dumps(values))
    with pytest.raises(LeakError, match="edited"):
        read_folds(path, table)


@pytest.mark.parametrize("field", ["rule", "scheme", "seed", "num_repeats"])
def test_an_edited_field_is_refused(tmp_path: Path, table: ImageTable, field: str) -> None:
    path, values = written(tmp_path, table, FoldsConfig(3))
    values[field] = {"rule": "trust me", "scheme": "hold-out", "seed": 5, "num_repeats": 3}[field]
    path.write_text(json.dumps(values))
    with pytest.raises(LeakError, match="edited"):
        read_folds(path, table)


def in_two_parts(folds: list[dict[str, list[str]]]) -> None:
    folds[1]["train"].append(folds[1]["test"][0])


def in_no_part(folds: list[dict[str, list[str]]]) -> None:
    folds[1]["train"].pop()


def no_test_part(folds: list[dict[str, list[str]]]) -> None:
    folds[1]["train"] += folds[1]["test"]
    folds[1]["test"] = []


def repeatedly_tested(folds: list[dict[str, list[str]]]) -> None:
    folds[1] = folds[0]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (in_two_parts, "in fold 1 one is in two parts or in none"),
        (in_no_part, "in fold 1 one is in two parts or in none"),
        (no_test_part, "a part of fold 1 is empty"),
        (repeatedly_tested, "one is tested by two folds of a repeat"),
    ],
)
def test_unsound_folds_are_refused_even_with_a_digest_that_fits(
    tmp_path: Path, table: ImageTable, fault: Callable[[Any], None], message: str
) -> None:
    path, values = written(tmp_path, table, FoldsConfig(3))
    fault(values["folds"])
    digest = digest_of({key: value for key, value in values.items() if key != "digest"})
    path.write_text(json.dumps(values | {"digest": digest}))
    with pytest.raises(DataError, match=message):
        read_folds(path, table)


SOUND = {"rule": "", "scheme": "k-fold", "seed": 0, "num_repeats": 1, "dataset_fingerprint": "f", "digest": "d"}


@pytest.mark.parametrize(
    "damage",
    [
        {},
        [],
        3,
        {"parts": [["p00"], ["p01"]], "scheme": "group-k-fold"},
        SOUND | {"folds": []},
        SOUND | {"folds": "abc"},
        SOUND | {"folds": [{"train": "p00", "val": ["p01"], "test": ["p02"]}]},
        SOUND | {"folds": [{"train": [["p00"]], "val": ["p01"], "test": [2]}]},
        SOUND | {"folds": [{"train": ["p00"], "val": ["p01"], "test": ["p02"]}], "num_repeats": 2},
        SOUND | {"folds": [{"train": ["p00"], "val": ["p01"], "test": ["p02"]}], "num_repeats": 0},
        SOUND | {"folds": [{"train": ["p00"], "val": ["p01"], "test": ["p02"]}], "scheme": "magic"},
        SOUND | {"folds": [{"train": ["p00"], "val": ["p01"], "test": ["p02"]}], "seed": "0"},
    ],
    ids=lambda damage: json.dumps(damage)[-40:],
)
def test_malformed_folds_are_refused(tmp_path: Path, table: ImageTable, damage: Any) -> None:
    (tmp_path / "folds.json").write_text(json.dumps(damage))
    with pytest.raises(DataError, match="malformed"):
        read_folds(tmp_path / "folds.json", table)


def test_folds_of_another_data_set_are_refused(tmp_path: Path, table: ImageTable) -> None:
    path, _ = written(tmp_path, table, FoldsConfig(3))
    with pytest.raises(DataError, match="another version"):
        read_folds(path, replace(table, attrs=table.attrs | {"fingerprint": "0" * 64}))


def test_folds_that_lack_a_patient_are_refused(tmp_path: Path, table: ImageTable, make_table: Tabulate) -> None:
    path, _ = written(tmp_path, table, FoldsConfig(3))
    larger = make_table([*table.label.tolist(), 0], [*table.group_id.tolist(), "p99"])
    with pytest.raises(DataError, match="every patient once"):
        read_folds(path, larger)


def test_the_balance_table_of_parts_adds_up(table: ImageTable) -> None:
    lines = balance_table(table, make_folds(table, FoldsConfig(3))).splitlines()
    assert lines[0].split() == ["part", "patients", "a", "b"]
    rows = np.array([line.split()[1:] for line in lines[1:]], dtype=int)
    assert rows[:-1].sum(axis=0).tolist() == rows[-1].tolist() == [12, 18, 18]


@pytest.mark.parametrize("config", CONFIGS[1:], ids=SCHEMES[1:])
def test_the_three_parts_of_every_listed_fold_add_up(table: ImageTable, config: FoldsConfig) -> None:
    lines = balance_table(table, make_folds(table, config)).splitlines()
    assert lines[0].split() == ["fold", "part", "patients", "a", "b"]
    listed = [line.split() for line in lines if line.split()[0].isdigit()]
    rows = np.array([row[2:] for row in listed], dtype=int).reshape(-1, 3, 3)
    assert (rows.sum(axis=1) == [12, 18, 18]).all()


def test_a_long_balance_table_ends_in_ranges_and_says_what_is_lacking(table: ImageTable) -> None:
    lines = balance_table(table, make_folds(table, FoldsConfig(scheme="leave-one-out"))).splitlines()
    assert len(lines) == 1 + 3 * 10 + 3 + 1 + 1
    assert lines[33].split() == ["all", "12", "test", "1–1", "0–3", "0–3"]
    assert lines[-1] == "note: the test part of 12 of 12 folds lacks a class: judge all folds together"


def test_a_class_that_is_never_tested_is_named(table: ImageTable) -> None:
    parts = {f"p{number:02d}": "test" if number in (0, 2) else "train" for number in range(12)}
    folds = make_folds(table, FoldsConfig(scheme="fixed", fixed="theirs"), splits={"theirs": parts})
    assert for_terminal(balance_table(table, folds)).endswith(
        "note: no image of b is tested, so scores that need every class will not exist"
    )
