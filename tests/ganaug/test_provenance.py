"""Digests, seals and records of what was seen: any change shows."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganaug.errors import ConfigError, LeakError
from ganaug.provenance import (
    Provenance,
    Seen,
    digest_of,
    digest_of_bytes,
    read_provenance,
    require_content,
    require_seal,
    sealed,
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
    images_seen=("1", "2"),
    hashes_seen=("f" * 16,),
).sealed("d" * 64)


def test_a_sealed_record_reads_back_as_it_was() -> None:
    assert read_provenance(RECORD.to_json(), "x.h5") == RECORD
    assert read_provenance(RECORD.to_dict(), "x.h5") == RECORD


@pytest.mark.parametrize("field", [name for name in RECORD.to_dict() if name not in ("seal", "signature")])
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


@pytest.mark.parametrize(
    "change", [{"fold": "1"}, {"kimg": None}, {"groups_seen": ["p", 5]}, {"new": 1}, {"dataset": []}]
)
def test_a_record_with_a_field_of_another_kind_is_malformed(change: dict[str, object]) -> None:
    with pytest.raises(LeakError, match="malformed"):
        read_provenance({**RECORD.to_dict(), **change}, "x.h5")


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5)))
def test_sealed_values_come_back_and_any_other_values_are_refused(values: dict[str, object]) -> None:
    bare = {name: value for name, value in values.items() if name not in ("seal", "signature")}
    assert require_seal(json.loads(json.dumps(sealed(values))), "x.json") == bare
    with pytest.raises(LeakError):
        require_seal({**sealed(values), "one more": 1}, "x.json")
    with pytest.raises(LeakError):
        require_seal(bare, "x.json")


@pytest.mark.parametrize("values", [None, 5, [], "text", {}, {"seal": 5}])
def test_what_is_no_sealed_object_is_refused(values: object) -> None:
    with pytest.raises(LeakError, match="no seal"):
        require_seal(values, "x.json")


def test_a_record_is_signed_where_a_key_is_set_and_then_none_without_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "ganaug.key"
    key.write_bytes(b"0123456789abcdef" * 2)
    monkeypatch.setenv("GANAUG_KEY", str(key))
    signed = replace(RECORD).sealed("d" * 64)
    assert read_provenance(signed.to_json(), "x.h5") == signed
    with pytest.raises(LeakError, match="not signed"):
        read_provenance(RECORD.to_json(), "x.h5")
    resealed = replace(RECORD, groups_seen=("p1",)).sealed("d" * 64)  # what an editor without the key can do
    forged = replace(resealed, signature=signed.signature)
    with pytest.raises(LeakError, match="another key"):
        read_provenance(forged.to_json(), "x.h5")
    with pytest.raises(LeakError, match="not signed"):
        require_seal({"a": 1, "seal": digest_of({"a": 1})}, "x.json")
    monkeypatch.delenv("GANAUG_KEY")
    assert read_provenance(signed.to_json(), "x.h5") == signed


@pytest.mark.parametrize(("content", "says"), [(None, "cannot be read"), (b"short", "holds 5 bytes")])
def test_a_key_that_cannot_sign_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "k").write_bytes(content)
    monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "k"))
    with pytest.raises(ConfigError, match=says):
        RECORD.sealed("d" * 64)


def test_what_was_seen_adds_up_and_stays_sorted() -> None:
    both = Seen(("b",), ("2",), ("f",)) | Seen(("a", "b"), ("1",), ())
    assert both == Seen(("a", "b"), ("1", "2"), ("f",))


def test_a_seal_depends_on_the_content() -> None:
    assert replace(RECORD, content="").sealed("1").seal != replace(RECORD, content="").sealed("2").seal


def test_digests_see_the_borders_between_parts_but_not_the_order_of_keys() -> None:
    assert digest_of_bytes([b"ab", b"c"]) != digest_of_bytes([b"a", b"bc"])
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})


@given(st.text(st.characters(codec=None)) | st.sampled_from(["\ud800", "a\udc80b"]))
def test_any_text_that_json_can_spell_is_sealed_and_comes_back(text: str) -> None:
    values = {"name": text, f"of {text}": [text]}  # no record has names such as "seal", which are the seal's own
    assert require_seal(json.loads(json.dumps(sealed(values))), "x.json") == values


@pytest.mark.parametrize(
    "change",
    [
        {"kimg": float("nan")}, {"kimg": float("inf")}, {"kimg": -1.0}, {"kimg": 10**400}, {"fold": -2},
        {"fold": 2**70}, {"config_digest": "../../x"}, {"hashes_seen": ("xyz",)}, {"hashes_seen": ("0" * 17,)},
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_true_is_malformed_however_it_is_sealed(change: dict[str, object]) -> None:
    record = replace(RECORD, **change).sealed(RECORD.content)  # type: ignore[arg-type]
    with pytest.raises(LeakError, match="malformed"):
        read_provenance(record.to_dict(), "x.h5")


@pytest.mark.parametrize("signature", ["ü", "\ud800", 5, None, ["a"]])
def test_a_signature_of_any_kind_is_compared(
    signature: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "key"))
    with pytest.raises(LeakError, match="signed"):
        require_seal(sealed({"a": 1}) | {"signature": signature}, "x.json")
