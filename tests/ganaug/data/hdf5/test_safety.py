"""A file that shows parts of others, or declares what nothing backs, is refused; an honest one passes in no time."""

import io
import struct
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.data.hdf5.declared_lengths import read_declared_lengths
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.hdf5.safety import require_self_contained
from ganaug.data.schema import ImageTable, creation_time_of_images
from ganaug.errors import DataError


def check(path: Path) -> None:
    with h5py.File(path, "r") as file:
        require_self_contained(file, path)


@pytest.fixture
def honest(tmp_path: Path, make_table: Callable[..., ImageTable]) -> Path:
    """A file with all that the schema knows: masks, stained images, further tables."""
    path = tmp_path / "honest.h5"
    with writing_images(path, 16, masks=True) as writer:
        writer.append(np.ones((3, 16, 16, 3), np.uint8), np.zeros((3, 16, 16), np.uint8))
        writer.append_stained(0, np.ones((3, 16, 16, 3), np.uint8))
        genes = np.array(["ESR1", "größe"], dtype=object)
        tables = {"expression/values": np.ones((2, 2), np.float32), "expression/genes": genes}
        writer.finish(make_table([0, 1, 1], ["p", "q", ""]), tables=tables)
    return path


def test_honest_files_pass(honest: Path) -> None:
    check(honest)


def test_a_file_of_8000_images_passes_within_milliseconds(
    tmp_path: Path, make_table: Callable[..., ImageTable]
) -> None:
    path = tmp_path / "large.h5"
    with writing_images(path, 8, masks=True) as writer:
        writer.append(np.ones((8000, 8, 8, 3), np.uint8), np.zeros((8000, 8, 8), np.uint8))
        writer.finish(make_table([0] * 8000, [f"patient {n % 80}" for n in range(8000)]))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        check(path)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.2  # of which most is opening the file


SECRET = b"root:x:0:0:a secret\n" * 100


def external_storage(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("images", (1, 16, 16, 3), "u1", external=[(str(elsewhere), 0, 768)])


def virtual(file: h5py.File, elsewhere: Path) -> None:
    layout = h5py.VirtualLayout((1, 16, 16, 3), "u1")
    layout[:] = h5py.VirtualSource(str(elsewhere), "images", (1, 16, 16, 3))
    file.create_virtual_dataset("images", layout)


def external_link(file: h5py.File, elsewhere: Path) -> None:
    file["images"] = h5py.ExternalLink(str(elsewhere), "/images")


def soft_link(file: h5py.File, elsewhere: Path) -> None:
    file["label"] = h5py.SoftLink("/images")


def soft_link_within_a_group(file: h5py.File, elsewhere: Path) -> None:
    file.create_group("stained")["fold0"] = h5py.SoftLink("/images")


def circle(file: h5py.File, elsewhere: Path) -> None:
    stained = file.create_group("stained")
    stained["again"] = stained


def circle_to_the_root(file: h5py.File, elsewhere: Path) -> None:
    file["stained"] = file["/"]


def two_names(file: h5py.File, elsewhere: Path) -> None:
    file["a"] = np.arange(3)
    file["b"] = file["a"]


def deep(file: h5py.File, elsewhere: Path) -> None:
    file.create_group("/".join("abcdefghijkl"))


def wide(file: h5py.File, elsewhere: Path) -> None:
    for number in range(10_001):
        file.create_group(str(number))


def huge_contiguous(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("label", (10**12,), "i8")


def huge_chunked(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("images", (10**12, 16, 16, 3), "u1", chunks=(1, 16, 16, 3))


def huge_packed(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("label", (10**12,), "i8", chunks=(1000,), compression="gzip")


def huge_text(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("path", (10**12,), h5py.string_dtype())


def one_huge_chunk(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("filler", data=np.zeros(2**21, np.uint8))
    file.create_dataset("mask", (1, 2**16, 2**15), "u1", chunks=(1, 2**16, 2**15), compression="gzip")


def text_in_chunks(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("path", data=["a"] * 10, dtype=h5py.string_dtype(), chunks=(5,), compression="gzip")


def long_text(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("path", data=["x" * 40_000, *["y"] * 8000], dtype=h5py.string_dtype())


def wide_text(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("path", data=np.array([b"x"], "S5000"))


def compound(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("label", data=np.zeros(3, [("a", "i8"), ("b", "f8")]))


def numbers_of_any_length(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("label", (3,), h5py.vlen_dtype(np.int64))


def reference(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("label", data=[file.ref], dtype=h5py.ref_dtype)


def region_reference(file: h5py.File, elsewhere: Path) -> None:
    data = file.create_dataset("label", data=np.arange(9))
    file.create_dataset("phash", data=[data.regionref[:3]], dtype=h5py.regionref_dtype)


def opaque(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("label", data=np.zeros(3, "V8"))


def array_type(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("label", (3,), np.dtype(("i8", (4,))))


def named_type(file: h5py.File, elsewhere: Path) -> None:
    file["label"] = np.dtype("i8")


def nothing(file: h5py.File, elsewhere: Path) -> None:
    file["label"] = h5py.Empty("i8")


def five_dimensions(file: h5py.File, elsewhere: Path) -> None:
    file["images"] = np.zeros((1, 1, 1, 1, 1), np.uint8)


def other_filter(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("label", data=np.zeros(1000, np.int64), chunks=(100,), scaleoffset=4)


def attribute_of_many_values(file: h5py.File, elsewhere: Path) -> None:
    file.attrs["class_names"] = np.array(["a", "b"], dtype=object)


def attribute_of_a_reference(file: h5py.File, elsewhere: Path) -> None:
    file.create_group("stained").attrs.create("owner", file.ref, dtype=h5py.ref_dtype)


def many_attributes(file: h5py.File, elsewhere: Path) -> None:
    for number in range(1001):
        file.attrs[str(number)] = number


HOSTILE = [
    external_storage, virtual, external_link, soft_link, soft_link_within_a_group, circle, circle_to_the_root,
    two_names, deep, wide, huge_contiguous, huge_chunked, huge_packed, huge_text, one_huge_chunk, text_in_chunks,
    long_text, wide_text, compound, numbers_of_any_length, reference, region_reference, opaque, array_type,
    named_type, nothing, five_dimensions, other_filter, attribute_of_many_values, attribute_of_a_reference,
    many_attributes,
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_file_with_what_no_file_of_ganaug_has_is_refused_by_name(
    hostile: Callable[[h5py.File, Path], None], tmp_path: Path, honest: Path
) -> None:
    elsewhere = tmp_path / "passwd"
    if hostile in (virtual, external_link):
        honest.rename(elsewhere)
    else:
        elsewhere.write_bytes(SECRET)
    path = tmp_path / "hostile.h5"
    with h5py.File(path, "w") as file:
        hostile(file, elsewhere)
    start = time.perf_counter()
    with pytest.raises(DataError) as caught:
        check(path)
    assert time.perf_counter() - start < 2
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_text_that_a_thousand_rows_repeat_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "repeated.h5"
    with h5py.File(path, "w") as file:
        texts = file.create_dataset("path", data=["x" * 50_000, *["y"] * 9000], dtype=h5py.string_dtype())
        start = texts.id.get_offset()
    data = bytearray(path.read_bytes())
    data[start : start + 16 * 9001] = bytes(data[start : start + 16]) * 9001  # every row is the first
    path.write_bytes(data)
    with h5py.File(path) as file:
        assert len(file["path"][-1]) == 50_000  # HDF5 believes it
    with pytest.raises(DataError, match=r"9,001 texts of up to 50,000"):
        check(path)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_every_truncated_file_is_refused_by_name(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.getbasetemp()
    path, whole = root / "cut.h5", root / "whole.h5"
    if not whole.exists():
        with h5py.File(whole, "w") as file:
            file["label"], file.attrs["source"] = np.arange(3), "x" * 100
            file.create_dataset("path", data=["a", "b", "c"], dtype=h5py.string_dtype())
    content = whole.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises((DataError, OSError)):
        check(path)


def test_a_text_that_is_as_long_as_its_attribute_says_and_not_as_the_file_is_refused(
    tmp_path: Path, honest: Path
) -> None:
    """HDF5 would fill as many bytes with zeros; the length stands before the place and the number of the text."""
    data, path = bytearray(honest.read_bytes()), tmp_path / "long.h5"
    with h5py.File(honest) as file:
        texts = {name: len(value.encode()) for name, value in file.attrs.items() if isinstance(value, str)}
    assert len(texts) >= 5
    for name, length in texts.items():
        header = data.index(b"\0" * (-len(name) % 8 or 1), data.index(name.encode() + b"\0"))
        at = data.index(length.to_bytes(4, "little"), header)
        path.write_bytes(data[:at] + (2**32 - 1).to_bytes(4, "little") + data[at + 4 :])
        with pytest.raises(DataError, match=r"4,294,967,295 bytes for an attribute"):
            check(path)
        assert creation_time_of_images(path) == ""


def test_the_lengths_of_attributes_are_read_as_hdf5_has_them(tmp_path: Path) -> None:
    path = tmp_path / "many.h5"
    lengths = [1, 7, 8, 9, 255, 4000, 60_000]
    with h5py.File(path, "w") as file:
        for number, length in enumerate(lengths):
            file.attrs["n" * (number + 1)] = "x" * length
            file.attrs[f"größe{number}"] = "y" * length
            file.attrs[f"number{number}"] = number
    with h5py.File(path) as file, path.open("rb") as raw:
        address = h5py.h5o.get_info(file.id).addr
        assert sorted(read_declared_lengths(raw, address, path.stat().st_size)) == sorted(2 * lengths)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(place=st.integers(0, 4095), value=st.binary(min_size=1, max_size=8))
def test_any_bytes_in_an_object_header_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: bytes
) -> None:
    whole = tmp_path_factory.getbasetemp() / "headers.h5"
    if not whole.exists():
        with h5py.File(whole, "w") as file:
            for number in range(20):
                file.attrs[f"text{number}"] = "x" * number
    data, address = bytearray(whole.read_bytes()), 96  # of the root, in the layout that h5py writes
    start = place % (len(data) - 8)
    data[start : start + len(value)] = value
    try:
        lengths = read_declared_lengths(io.BytesIO(data), address, len(data))
    except (ValueError, struct.error, IndexError):
        lengths = []
    assert len(lengths) < 100
