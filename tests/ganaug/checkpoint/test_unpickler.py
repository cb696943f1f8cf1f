"""A pickle is read for its numbers alone: what it would run is not run, and whatever else it does is one line."""

import builtins
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from ganaug.checkpoint.stylegan_pickles import load_external
from ganaug.checkpoint.unpickler import read_networks
from ganaug.errors import DataError

if TYPE_CHECKING:
    from tests.ganaug.conftest import Peer


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def reduce(tensor: torch.Tensor) -> Any:
    """What `pickle` writes of a tensor: a function and its arguments."""
    reduce_ex: Any = tensor.__reduce_ex__
    return reduce_ex(2)


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_external(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert str(path) in message
    return message


def test_networks_are_read_with_their_tensors_and_options(peer: "Peer") -> None:
    networks = read_networks(peer.path)
    assert {name: network.class_name for name, network in networks.items()} == {
        "G": "Generator",
        "D": "Discriminator",
        "G_ema": "Generator",
    }
    assert networks["G"].options["synthesis"] == {"num_fp16_res": 4, "conv_clamp": 256}
    assert torch.equal(networks["D"].tensors["b16.conv0.weight"], peer.D.get_parameter("b16.conv0.weight"))


def evil_calls(planted: Path) -> dict[str, Any]:
    code = f"open({str(planted)!r}, 'w')"
    return {
        "posix.system": Call(os.system, f"touch {planted}"),
        "builtins.eval": Call(eval, code),
        "builtins.exec": Call(exec, code),
        "builtins.getattr": Call(getattr, "text", "upper"),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", str(planted)]),
        "torch.serialization.load": Call(torch.load, str(planted)),
        "builtins.__import__": Call(builtins.__import__, "antigravity"),
    }


@pytest.mark.parametrize(
    ("name", "place"),
    [*((name, "next to it") for name in evil_calls(Path("x"))), *(("posix.system", at) for at in ("state", "options"))],
)
def test_code_is_named_and_not_run(
    peer: "Peer", tmp_path: Path, name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = evil_calls(tmp_path / "planted")[name]
    module = peer.content["G_ema"].at("synthesis.b4.conv1")
    if place == "next to it":
        peer.content["training_set_kwargs"] = evil
    else:
        (module.children if place == "state" else module.options)["more"] = evil
    assert f"asks for {name}, which is not run" in refusal(peer.path)
    assert not (tmp_path / "planted").exists()


def test_code_inside_of_a_tensors_bytes_is_not_run(peer: "Peer", tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    _, (storage, *_) = reduce(torch.zeros(3))
    load, (data,) = storage.__reduce__()
    evil = Call(load, pickle.dumps(Call(os.system, f"touch {planted}")) + data)
    tensor = Call(torch._utils._rebuild_tensor_v2, evil, 0, (3,), (1,), False, {})
    peer.content["G_ema"].at("synthesis.b4.torgb").parameters["bias"] = tensor
    assert "asks for posix.system, which is not run" in refusal(peer.path)
    assert not planted.exists()


def test_the_source_text_in_a_pickle_is_not_run(peer: "Peer", tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    peer.content["G_ema"].source = f"open({str(planted)!r}, 'w')"
    load_external(peer.path)
    assert not planted.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"hello there\n", "cannot be read as a pickle"),
        (b"PK\x03\x04" + bytes(100), "cannot be read as a pickle"),
        (pickle.dumps([1, 2]), "it holds no network G_ema"),
        (pickle.dumps({"G_ema": 1}), "it holds no network G_ema"),
        (b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".", "it holds no network G_ema"),
        (b"\x80\x04}" + b")" + b"\x85" * 1_000_000 + b"K\x01s.", "more than 500,000 opcodes"),
        (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x.", "cannot be read as a pickle"),
    ],
)
def test_what_is_no_pickle_of_networks_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    assert says in refusal(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    assert "there is no file" in refusal(tmp_path / "none.pkl")


def test_a_truncated_file_is_one_line_wherever_it_ends(peer: "Peer") -> None:
    path = peer.path
    whole = path.read_bytes()
    for end in range(1, len(whole), len(whole) // 25):
        path.write_bytes(whole[:end])
        refusal(path)


def test_a_damaged_file_is_read_or_one_line(peer: "Peer") -> None:
    path, random = peer.path, torch.Generator().manual_seed(0)
    whole = path.read_bytes()
    refusals = []
    for _ in range(40):
        place, value = (
            int(torch.randint(20_000, [], generator=random)),
            int(torch.randint(256, [], generator=random)),
        )
        path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
        try:
            load_external(path)
        except DataError as error:
            refusals.append(str(error))
    assert len(refusals) > 3
    assert "\n" not in "".join(refusals)


@pytest.mark.parametrize(
    ("offset", "size", "stride", "says"),
    [
        (0, (10**9,), (0,), "larger than its storage"),
        (2, (3,), (1,), "reaches beyond its storage"),
        (0, (3,), (-1,), "impossible sizes or strides"),
        (0, "abc", (1,), "no size and stride"),
    ],
)
def test_a_tensor_that_leaves_its_storage_is_refused(
    peer: "Peer", offset: int, size: Any, stride: Any, says: str
) -> None:
    _, (storage, *_) = reduce(torch.zeros(3))
    tensor = Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})
    peer.content["G_ema"].at("synthesis.b4.torgb").parameters["bias"] = tensor
    assert says in refusal(peer.path)
