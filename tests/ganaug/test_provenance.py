import json
from dataclasses import replace

import pytest

from ganaug.errors import LeakError
from ganaug.provenance import (
    Provenance,
    digest_of,
    digest_of_bytes,
    read_provenance,
    require_content,
    require_no_leak,
)

RECORD = Provenance(
    dataset="bach",
    dataset_fingerprint="a" * 64,
    folds_digest="b" * 64,
    fold=1,
    groups_seen=("p1", "p2"),
    config_digest="c" * 64,
    kimg=40.0,
    declared=("network.pkl: others",),
).sealed("d" * 64)
SERVES = {"source": "x.h5", "dataset_fingerprint": "a" * 64, "folds_digest": "b" * 64, "fold": 1}


def test_a_sealed_record_reads_back_as_it_was() -> None:
    assert read_provenance(RECORD.to_json(), "x.h5") == RECORD
    assert read_provenance(RECORD.to_dict(), "x.h5") == RECORD


def test_a_record_in_which_nothing_is_declared_does_not_speak_of_it() -> None:
    """Such records are sealed as they were before anything could be declared."""
    silent = replace(RECORD, declared=()).sealed("d" * 64)
    assert "declared" not in silent.to_dict()
    assert read_provenance(silent.to_json(), "x.h5") == silent
    with pytest.raises(LeakError, match="edited"):
        read_provenance({name: value for name, value in RECORD.to_dict().items() if name != "declared"}, "x.h5")


@pytest.mark.parametrize("field", [name for name in RECORD.to_dict() if name != "seal"])
def test_an_edit_of_any_field_breaks_the_seal(field: str) -> None:
    values = RECORD.to_dict()
    old = values[field]
    values[field] = [*old, "p9"] if isinstance(old, list) else old + 1 if isinstance(old, int | float) else old + "0"
    with pytest.raises(LeakError, match="edited"):
        read_provenance(json.dumps(values), "x.h5")


@pytest.mark.parametrize("stored", [None, "", "{", "[]", '{"dataset": "bach"}', "3", {"groups_seen": 5}])
def test_what_is_no_record_is_refused_in_one_line(stored: object) -> None:
    with pytest.raises(LeakError) as refusal:
        read_provenance(stored, "x.h5")  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


def test_changed_content_is_refused() -> None:
    require_content(RECORD, "d" * 64, "x.h5")
    with pytest.raises(LeakError, match="changed after"):
        require_content(RECORD, "e" * 64, "x.h5")


def test_a_generator_that_saw_only_training_patients_is_admitted() -> None:
    require_no_leak(RECORD, **SERVES, train_groups={"p1", "p2", "p3"})


def test_a_patient_outside_the_training_part_is_refused_by_name() -> None:
    with pytest.raises(LeakError, match="saw p2, of the validation or test part of fold 1"):
        require_no_leak(RECORD, **SERVES, train_groups={"p1", "p3"})


def test_another_data_set_and_other_folds_are_refused() -> None:
    groups = {"p1", "p2"}
    with pytest.raises(LeakError, match="another data set"):
        require_no_leak(RECORD, **{**SERVES, "dataset_fingerprint": "f" * 64}, train_groups=groups)
    with pytest.raises(LeakError, match="other folds"):
        require_no_leak(RECORD, **{**SERVES, "folds_digest": "f" * 64}, train_groups=groups)


def test_a_seal_depends_on_the_content() -> None:
    assert replace(RECORD, content="").sealed("1").seal != replace(RECORD, content="").sealed("2").seal


def test_digests_see_the_borders_between_parts_but_not_the_order_of_keys() -> None:
    assert digest_of_bytes([b"ab", b"c"]) != digest_of_bytes([b"a", b"bc"])
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
