"""The folder of the cache of compiled libraries, and the records in it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from custom_ops import dispatch
from custom_ops.native import cache

NO_TEXTS: tuple[Any, ...] = (5, None, [])
NO_NUMBERS: tuple[Any, ...] = ("5", None, True, math.nan, [], 10**400)


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> cache.Built:
    """An entry of the cache as a build leaves it, of a library that nobody loads."""
    entry = tmp_path_factory.mktemp("cache") / "cpu-0"
    entry.mkdir()
    (entry / "library.so").write_bytes(b"library")
    values: dict[str, Any] = {
        "sha256": cache._sha256(entry / "library.so"),
        "built_at": 5.0,
        "took_s": 1,
        "compiler": "c++ 1",
    }
    (entry / "build.json").write_text(json.dumps(values))
    return cache.Built(entry / "library.so", **values)


@pytest.mark.parametrize(
    "change",
    [5, [], {}, None, "text", *({name: value} for name in ("sha256", "compiler") for value in NO_TEXTS),
     *({name: value} for name in ("built_at", "took_s") for value in NO_NUMBERS), {"more": 1}],
)  # fmt: skip
def test_a_record_of_another_kind_is_none(built_once: cache.Built, change: Any) -> None:
    record = built_once.library.parent / "build.json"
    whole = record.read_text()
    try:
        assert cache._read(record.parent) == built_once
        record.write_text(json.dumps(json.loads(whole) | change if isinstance(change, dict) and change else change))
        assert cache._read(record.parent) is None
    finally:
        record.write_text(whole)


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("HOME", "XDG_CACHE_HOME", "GANAUG_OPS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    assert cache.folder().parent == tmp_path
    monkeypatch.setenv("GANAUG_OPS_CACHE", "~/here")
    assert cache.folder().parent == tmp_path


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME", "GANAUG_OPS_CACHE"])
def test_a_file_in_place_of_a_folder_is_one_warning(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "GANAUG_OPS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot be written.*ganaug-ops-") as caught:
        assert dispatch.select("bias_act", None) == "native"
    assert len(caught) == 1
