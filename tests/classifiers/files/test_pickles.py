"""The pickle machine agrees with Python's unpickler on data, and on anything else gives a value or one line."""

import io
import pickle
import pickletools
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.files.pickles import Budget, Dropped, PickleRefused, make_dict_factory, read_pickle

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**120), 2**120)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
DATA = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(-100, 100), inner, max_size=5)
    ),
    max_leaves=20,
)
CODES = [code.code.encode("latin-1") for code in pickletools.opcodes]


def read(data: bytes, num_opcodes: int = 10_000) -> Any:
    budget = Budget(num_opcodes)

    def resolve(name: str) -> Any:
        if name == "collections.OrderedDict":
            return make_dict_factory(budget)
        raise PickleRefused(f"it asks for {name}")

    return read_pickle(io.BytesIO(data), resolve, lambda pid: Dropped(), budget)


@given(DATA, st.integers(3, pickle.HIGHEST_PROTOCOL))  # before protocol 3, bytes are written as a call
@settings(max_examples=150, deadline=None)
def test_data_is_read_as_python_reads_it(value: Any, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


@given(st.lists(SCALARS.filter(lambda value: not isinstance(value, bytes)), max_size=9), st.integers(0, 2))
@settings(max_examples=50, deadline=None)
def test_data_of_old_protocols_is_read_as_python_reads_it(value: list[Any], protocol: int) -> None:
    assert read(pickle.dumps({"x": value, "y": (value,)}, protocol)) == {"x": value, "y": (value,)}


@given(st.lists(st.sampled_from(CODES) | st.binary(max_size=9), max_size=60).map(b"".join))
@settings(max_examples=400, deadline=None)
def test_any_opcodes_are_a_value_or_one_line(data: bytes) -> None:
    start, message = time.monotonic(), ""
    try:
        read(data + b".")
    except PickleRefused as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
    assert len(message) < 300
    assert time.monotonic() - start < 1


@given(st.data(), DATA)
@settings(max_examples=100, deadline=None)
def test_a_truncated_pickle_is_refused_wherever_it_ends(data: st.DataObject, value: Any) -> None:
    whole = pickle.dumps(value, 4)
    with pytest.raises(PickleRefused):
        read(whole[: data.draw(st.integers(0, len(whole) - 1))])


def refuse(name: str) -> Callable[..., Any]:
    raise PickleRefused(name)


@pytest.mark.parametrize("num", [1, 9, 10])
def test_the_budget_is_that_of_all_pickles_together(num: int) -> None:
    budget = Budget(3 * num)
    for _ in range(num):
        read_pickle(io.BytesIO(b"\x80\x02N."), refuse, str, budget)
    with pytest.raises(PickleRefused, match="opcodes"):
        read_pickle(io.BytesIO(b"\x80\x02N."), refuse, str, budget)


def test_a_name_that_is_not_allowed_is_said_and_not_called() -> None:
    with pytest.raises(PickleRefused, match=r"it asks for posix\.system"):
        read(b"cposix\nsystem\n(X\x04\x00\x00\x00truetR.")


ORDERED = b"ccollections\nOrderedDict\n"


def test_a_dict_of_pairs_is_made_as_python_2_wrote_it() -> None:
    assert read(ORDERED + b"]]U\x01aaK\x01aa\x85R.") == {"a": 1}


@pytest.mark.parametrize("arguments", [b"}\x85", b"]K\x01a\x85", b"])\x86", b"K\x05\x85"])
def test_a_dict_of_anything_else_is_refused(arguments: bytes) -> None:
    with pytest.raises(PickleRefused, match="dict"):
        read(ORDERED + arguments + b"R.")


def test_a_list_of_pairs_that_is_copied_again_and_again_is_spent() -> None:
    pairs = b"](" + b"]U\x01aaNa" * 1000 + b"eq\x01"
    with pytest.raises(PickleRefused, match="opcodes"):
        read(pairs + (b"0" + ORDERED + b"h\x01\x85R") * 100 + b".")
