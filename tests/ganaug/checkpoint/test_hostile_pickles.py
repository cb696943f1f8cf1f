"""Files of a few bytes that ask for endless work or memory are one line each, in seconds and megabytes."""

import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from ganaug.checkpoint.stylegan_pickles import load_external
from ganaug.errors import DataError

if TYPE_CHECKING:
    from tests.ganaug.conftest import Peer

ROOT = Path(__file__).parents[3]
SECONDS, MEGABYTES = 10, 300  # for any one file, whatever it asks for
READER = """
import json, resource, sys, time
from pathlib import Path
from classifiers.files.torch_files import read_state_dict
from ganaug.errors import DataError
from ganaug.checkpoint.stylegan_pickles import load_external

UNIT = 2**20 if sys.platform == "darwin" else 2**10

def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT

for path in map(Path, json.load(sys.stdin)):
    start, before = time.monotonic(), megabytes()
    try:
        load_external(path) if path.suffix == ".pkl" else read_state_dict(path)
        error = None
    except (DataError, ValueError) as raised:
        error = str(raised)
    row = {"error": error, "seconds": time.monotonic() - start, "megabytes": megabytes() - before}
    print(json.dumps(row), flush=True)
"""

SHARED = b")" + b"2\x86" * 60  # a tuple of one tuple twice, sixty times: hashed or printed, 2^60 of them
SHARED_LISTS = b"]" + b"".join(b"q\x010]h\x01ah\x01a" for _ in range(60))
OPCODES: dict[str, bytes] = {
    "a key that is hashed without end": b"}" + SHARED + b"K\x01s",
    "a member of a set": b"\x8f(" + SHARED + b"\x90",
    "a member of a frozen set": b"(" + SHARED + b"\x91",
    "a value that is printed without end": SHARED,
    "a list that is printed without end": SHARED_LISTS,
    "a memo of 2^29": b"]r" + struct.pack("<I", 2**29),
    "a memo of 10^18, in text": b"]p" + b"1" + b"0" * 18 + b"\n",
    "an extension code": b"\x82\x01",
    "10^400 in text": b"I1" + b"0" * 400 + b"\n",
    "10^400 in text, long": b"L1" + b"0" * 400 + b"L\n",
    "10^400000 in bytes": b"\x8b" + struct.pack("<i", 166_000) + b"\x7f" * 166_000,
    "infinity": b"G" + struct.pack(">d", math.inf),
    "NaN": b"G" + struct.pack(">d", math.nan),
    "infinity in text": b"F1e999\n",
    "millions of opcodes": b"N0" * 500_000 + b"N",
    "millions of marks": b"(" * 500_000 + b"N",
    "a tuple nested deeply": b")" + b"\x85" * 100_000,
    "a list nested deeply": b"]" * 100_000 + b"a" * 99_999,
    "a string longer than memory": b"\x8d" + struct.pack("<Q", 2**62) + b"x",
    "bytes longer than memory": b"\x8e" + struct.pack("<Q", 2**62) + b"x",
    "a buffer from outside": b"\x97",
    "an instance of Python 2": b"(iposix\nsystem\n",
    "a call of a number": b"K\x01)R",
    "a count of what is no dict": b"ccollections\nCounter\n]\x85R",
    "a dict copied": b"ccollections\nOrderedDict\n}\x85R",
}


@dataclass
class Raw:
    """Pickles as these opcodes, which leave one value."""

    opcodes: bytes


PythonPickler: Any = pickle._Pickler  # type: ignore[attr-defined, unused-ignore]  # whose methods can be overridden


class Pickler(PythonPickler):  # type: ignore[misc]
    def save(self, obj: Any, *arguments: Any, **options: Any) -> None:
        if isinstance(obj, Raw):
            self.write(obj.opcodes)
        else:
            super().save(obj, *arguments, **options)


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def storage_of(tensor: torch.Tensor) -> tuple[Callable[..., Any], bytes]:
    """How PyTorch pickles the tensor's storage: the function and its bytes."""
    reduce_ex: Any = tensor.__reduce_ex__
    _, (storage, *_) = reduce_ex(2)
    load, (data,) = storage.__reduce__()
    return load, data


def view(storage: Any, offset: Any, size: Any, stride: Any) -> Call:
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})


def change_networks(make_peer: Callable[..., Any]) -> dict[str, Callable[[Any], None]]:
    """Changes of a peer's averaged generator, each of which asks for more than there is."""
    load, data = storage_of(torch.zeros(250_000))
    storage = Call(load, data)

    def set_bias(value: Any) -> Callable[[Any], None]:
        return lambda G: G.at("synthesis.b4.torgb").parameters.update(bias=value)

    def share_modules(G: Any) -> None:
        part = G.at("synthesis.b4.conv1")
        for _ in range(15):
            upper = type(part)()
            upper.children.update({str(number): part for number in range(9)})
            part = upper
        G.children["more"] = part

    def chain_modules(G: Any) -> None:
        for _ in range(25):
            G = G.children.setdefault("more", type(G)())

    def share_tensors(G: Any) -> None:
        tensors = {str(number): view(storage, 0, (1,), (1,)) for number in range(300)}
        for number in range(300):
            G.at(f"more.m{number}").parameters = tensors

    def declare(G: Any) -> None:
        for name in list(G.children):
            del G.children[name]
        for resolution in (4, 8, 16, 32, 64, 128, 256, 512, 1024):
            G.at(f"synthesis.b{resolution}.conv1").parameters["weight"] = torch.zeros(8192, 0, 3, 3)
        for number in range(60):
            G.at(f"mapping.fc{number}").parameters["weight"] = torch.zeros(0, 8192)
        G.at("mapping").buffers["w_avg"] = torch.zeros(8192)

    long_data = data.replace(b"}", b"N0" * 75_000 + b"}", 1)
    return {
        "four hundred views of one storage": set_views(storage, 400),
        "one storage repeated": set_bias(view(storage, 0, (250_001,), (0,))),
        "a tensor of many axes": set_bias(view(storage, 0, (2**39,) * 90_000, (0,) * 90_000)),
        "a tensor beyond its storage": set_bias(view(storage, 249_999, (2,), (1,))),
        "a tensor before its storage": set_bias(view(storage, -1, (2,), (1,))),
        "a storage shorter than it says": set_bias(view(Call(load, data[:-4]), 0, (1,), (1,))),
        "a storage of 2^63": set_bias(view(Call(load, with_count(data, 2**63)), 0, (1,), (1,))),
        "a storage within a storage": set_bias(view(Call(load, nested(load, data)), 0, (1,), (1,))),
        "storages of many opcodes": lambda G: [
            G.at(f"more.m{number}").parameters.update(x=view(Call(load, long_data), 0, (1,), (1,)))
            for number in range(4)
        ],
        "modules shared": share_modules,
        "modules chained": chain_modules,
        "tensors shared": share_tensors,
        "a network declared": declare,
        "a name without end": lambda G: G.at("synthesis.b4").buffers.update({"x" * 1_000_000: torch.zeros(1)}),
        "NaN in a weight": set_bias(torch.full([3], math.nan)),
        "infinity in a weight": set_bias(torch.full([3], math.inf)),
        "a list for a module": lambda G: G.children.update(more=[]),
        "a clamp below zero": lambda G: G.at("synthesis").options.update(conv_clamp=-1),
        "a huge number of half resolutions": lambda G: G.at("synthesis").options.update(num_fp16_res=2**100),
        "a boolean for a number": lambda G: G.at("synthesis").options.update(num_fp16_res=True),
    }


def set_views(storage: Call, num: int) -> Callable[[Any], None]:
    def change(G: Any) -> None:
        G.at("more").parameters = {str(number): view(storage, 0, (250_000,), (1,)) for number in range(num)}

    return change


def with_count(data: bytes, count: int) -> bytes:
    start = len(data) - 4 * 250_000 - 8
    return data[:start] + struct.pack("<Q", count) + data[start + 8 :]


def nested(load: Callable[..., Any], data: bytes) -> bytes:
    """The data of a storage that is loaded from the data of a storage, and so on."""
    for _ in range(5):
        data = pickle.dumps(Call(load, data))
    return data


def write_files(make_peer: Callable[..., Any], folder: Path) -> list[Path]:
    """Each case as a file; the opcodes stand in an option and, as a state dict, in both of PyTorch's formats."""
    files = []

    def write(name: str, suffix: str, content: bytes) -> None:
        files.append(folder / f"{name.replace(' ', '-').replace('^', '')}{suffix}")
        files[-1].write_bytes(content)

    for name, opcodes in OPCODES.items():
        peer = make_peer()
        peer.content["G_ema"].at("synthesis").options["conv_clamp"] = Raw(opcodes)
        write(name, ".pkl", peer.path.read_bytes())
        whole = b"\x80\x04}X\x01\x00\x00\x00x" + opcodes + b"s."
        with zipfile.ZipFile(folder / "archive", "w") as archive:
            archive.writestr("archive/data.pkl", whole)
            archive.writestr("archive/version", "3\n")
        write(name, ".pth", (folder / "archive").read_bytes())
        marks = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
        write(name, ".pt", marks + whole + pickle.dumps([], 2))
    for name, change in change_networks(make_peer).items():
        peer = make_peer()
        change(peer.content["G_ema"])
        write(name, ".pkl", peer.path.read_bytes())
    return files


@pytest.mark.skipif(sys.platform == "win32", reason="the memory of a process is measured by the resource module")
def test_every_hostile_file_is_one_line_in_little_time_and_memory(
    make_peer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dump(value: Any) -> bytes:
        stream = io.BytesIO()
        Pickler(stream, 4).dump(value)
        return stream.getvalue()

    monkeypatch.setattr(pickle, "dumps", lambda value, protocol=None: dump(value))
    folder = tmp_path / "hostile"
    folder.mkdir()
    files = write_files(make_peer, folder)
    monkeypatch.undo()
    assert len(files) == 3 * len(OPCODES) + 20
    child = subprocess.run(
        [sys.executable, "-c", READER], input=json.dumps(list(map(str, files))), cwd=ROOT, text=True,
        capture_output=True, check=False, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    rows = [json.loads(line) for line in child.stdout.splitlines()]
    assert len(rows) == len(files), (files[len(rows)].name, child.stderr[-2000:])
    for row, path in zip(rows, files, strict=True):
        assert row["error"], path.name
        assert str(path) in row["error"]
        assert "\n" not in row["error"]
        assert "weights_only" not in row["error"]
        assert len(row["error"]) < 500 + len(str(path)), path.name
        assert row["seconds"] < SECONDS, row
        assert row["megabytes"] < MEGABYTES, row


@pytest.mark.parametrize("name", ["G", "D"])
def test_a_network_with_nan_is_skipped_with_its_reason(peer: "Peer", name: str) -> None:
    peer.content[name].at("b4.conv" if name == "D" else "synthesis.b4.conv1").parameters["bias"].data.fill_(math.nan)
    external = load_external(peer.path)
    assert getattr(external, name) is None
    assert len(external.skipped) == 1
    assert f"{name} has NaN or infinity in" in external.skipped[0]


def test_two_names_for_one_network_are_read(peer: "Peer") -> None:
    peer.content["G"] = peer.content["G_ema"]
    external = load_external(peer.path)
    assert external.G is not None
    assert external.G.keys() == external.ema.keys()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\0" * 5000, "nothing but zeros"),
        (b"\x1f\x8b\x08" + bytes(100), "a compressed archive"),
    ],
)
def test_what_a_failed_download_leaves_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DataError, match=says):
        load_external(tmp_path / "x.pkl")
