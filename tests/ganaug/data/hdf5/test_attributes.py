"""Attributes and arrays of another kind than ganaug writes are refused by name, however well the file is sealed."""

import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganaug.data.describe import describe_images, format_images
from ganaug.data.export import export_zip, select
from ganaug.data.hdf5.attributes import NOTES, SKIPPED
from ganaug.data.schema import creation_time_of_images, read_table
from ganaug.data.synthetic_file import rows_of, write_rows
from ganaug.errors import DataError, UserError
from ganaug.provenance import Provenance

RECORD = Provenance("tiny", "a" * 64, "b" * 64, 0, ("p",), "c" * 64, kimg=1.0, generator="d" * 64)
FILTERS = {"copies": {"value": 0.1, "provenance": {}}}
ATTRS: dict[str, Any] = {"resolution_px": 16, "generator": "run", "snapshot": "ema", "psi": 0.5, "kimg": 1.0,
                         "synthesis": {"reject": [["copies", 0.1]]}, "filters": FILTERS, "licence": "none",
                         NOTES: ["a"], SKIPPED: [["x.png", "a reason"]], "pixels": {"fit": "crop"},
                         "duplicates": [{"kind": "exact", "a": "x", "b": "y", "done": "kept"}]}  # fmt: skip
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2))
Reseal = Callable[..., None]


def change_attribute(path: Path, name: str, value: Any, reseal: Reseal) -> None:
    """Store another value, and seal the file again where what is there can be sealed at all."""
    with h5py.File(path, "r+") as file:
        file.attrs[name] = json.dumps(value)
    with suppress(TypeError, AttributeError, ValueError):
        reseal(path)


def write(path: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    write_rows(path, [rows_of(images, 0, np.arange(4))], RECORD, ("a", "b"), dict(ATTRS))
    return path


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([*sorted(ATTRS), "class_names", "created", "provenance", "content"]), value=values)
def test_any_value_of_any_attribute_is_described_or_refused_in_one_line(
    name: str, value: Any, tmp_path: Path, reseal: Reseal
) -> None:
    path = write(tmp_path / "a.h5")
    change_attribute(path, name, value, reseal)
    message = ""
    try:
        format_images(describe_images(path))
    except UserError as error:
        message = str(error)
    assert "\n" not in message
    assert not message or str(path) in message
    assert isinstance(creation_time_of_images(path), str)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("class_names", ["a", "a"]), ("class_names", "ab"), ("resolution_px", 16.0),
        ("resolution_px", 32), (NOTES, [5]), (SKIPPED, [["x", 5]]), (SKIPPED, {"x": "y"}),
        ("duplicates", [{"kind": "exact"}]), ("synthesis", {"reject": [["copies", "a"]]}), ("synthesis", 5),
        ("filters", {"copies": 5}), ("psi", 2**70), ("psi", float("nan")), ("created", 5), ("licence", ["a"]),
    ],
)  # fmt: skip
def test_an_attribute_of_another_kind_is_refused_by_name(name: str, value: Any, tmp_path: Path, reseal: Reseal) -> None:
    path = write(tmp_path / "a.h5")
    change_attribute(path, name, value, reseal)
    with pytest.raises(DataError, match="images" if (name, value) == ("resolution_px", 32) else name):
        read_table(path)


@pytest.mark.parametrize("label", [-2, 2, 2**62])
def test_labels_beyond_the_classes_are_refused(label: int, tmp_path: Path, reseal: Reseal) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["label"][0] = label
    reseal(path)
    with pytest.raises(DataError, match="labels"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("images", np.zeros((4, 16, 16, 4), np.uint8)), ("images", np.zeros((4, 16, 16, 3), np.float32)),
        ("images", np.zeros((4, 8, 8, 3), np.uint8)), ("images", np.zeros(4, np.uint8)),
        ("position", np.zeros(3, np.int64)), ("position", np.zeros(4)), ("mask", np.zeros((4, 16, 16, 3), np.uint8)),
        ("stained/fold0", np.zeros((3, 16, 16, 3), np.uint8)),
    ],
)  # fmt: skip
def test_an_array_of_another_type_or_shape_is_refused_by_name(
    name: str, array: NDArray[Any], tmp_path: Path, reseal: Reseal
) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file.pop(name, None)
        file[name] = array
    reseal(path)
    with pytest.raises(DataError, match=name):
        read_table(path)


def test_half_a_letter_in_a_class_name_is_exported_as_json_spells_it(tmp_path: Path, reseal: Reseal) -> None:
    path = write(tmp_path / "a.h5")
    change_attribute(path, "class_names", ["a", "b\ud800"], reseal)
    change_attribute(path, "filters", FILTERS, reseal)
    export_zip(select(path), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert json.loads(archive.read("dataset.json"))["class_names"] == ["a", "b\ud800"]
