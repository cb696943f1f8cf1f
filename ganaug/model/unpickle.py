"""Networks out of pickles of StyleGAN2-ADA, without running anything that stands in them.

A pickle is a program: it names functions and calls them. Here it may name what stands in `_Reader`'s table and nothing
else, and each name means a stand-in that only notes its arguments. Tensors are built afterwards, from noted bytes.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ganaug.errors import DataError, UserError

ORIGIN = "a network pickle of stylegan2-ada-pytorch, or of StyleGAN2 from stylegan3"
MAX_TUPLES = 50_000  # the largest networks have 3,000; Python crashes where it hashes a tuple nested too deeply
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
_STORAGE_MAGIC = [0x1950A86A20F9469CFC6C, 1001]  # with which PyTorch begins its own format of storages


@dataclass(frozen=True)
class PickledNetwork:
    """What a network's pickle tells of it: its class, its modules' options by their path, its tensors by name."""

    class_name: str
    options: dict[str, dict[str, Any]]
    tensors: dict[str, Tensor]


def read_networks(path: Path) -> dict[str, PickledNetwork]:
    """The networks of a pickle by name, of 'G', 'D' and 'G_ema' those that it has.

    Raises DataError where the file is missing, torn, no such pickle, or names anything that is not allowed.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}", expected=ORIGIN)
    try:
        content = _Reader.read(io.BytesIO(path.read_bytes()))
        if not isinstance(content, dict) or not isinstance(content.get("G_ema"), _Module):
            raise DataError("it holds no network G_ema")
        found = {name: content[name] for name in ("G", "D", "G_ema") if isinstance(content.get(name), _Module)}
        return {name: _network(module) for name, module in found.items()}
    except UserError as error:
        raise DataError(f"{path} is refused: {error}", expected=ORIGIN) from error
    except Exception as error:  # a hostile or torn file can bring about any, and each means the same
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataError(f"{path} cannot be read as a pickle ({reason})", expected=ORIGIN) from error


# What the stand-ins note. They are compared by identity, so that a hostile pickle cannot have them hashed in depth.


@dataclass(frozen=True, eq=False)
class _Module:
    class_name: str
    state: dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Storage:
    data: bytes


@dataclass(frozen=True, eq=False)
class _TensorView:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Dropped:
    """In place of what is known to stand in such files and is not needed: takes all, keeps nothing."""

    __slots__ = ()

    def __new__(cls, *_: Any) -> "_Dropped":
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


class _Reader(pickle.Unpickler):
    """Of the names in a pickle, lets through those of its table, as stand-ins; refuses every other before any call."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.table: dict[str, Callable] = {
            "torch_utils.persistence._reconstruct_persistent_obj": self._module,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch.storage._load_from_bytes": _Storage,
            "collections.OrderedDict": dict,
            "dnnlib.util.EasyDict": dict,
            "builtins.set": set,
            "torch.FloatStorage": _Dropped,
            "numpy.core.multiarray.scalar": _Dropped,
            "numpy._core.multiarray.scalar": _Dropped,
            "numpy.dtype": _Dropped,
        }

    @classmethod
    def read(cls, stream: BinaryIO) -> Any:
        """The next pickle of a stream."""
        start = stream.tell()
        if sum(opcode.name in _TUPLES for opcode, _, _ in pickletools.genops(stream)) > MAX_TUPLES:
            raise DataError("it is nested too deeply")
        stream.seek(start)
        return cls(stream).load()

    def find_class(self, module: str, name: str) -> Any:
        wanted = f"{module}.{name}"
        if wanted not in self.table:
            raise DataError(f"it asks for {wanted[:80]}, which is not run")
        return self.table[wanted]

    def persistent_load(self, pid: Any) -> Any:
        """Storages refer to their bytes so; only the number of their type matters, see `_values`."""
        kind, element, *_ = pid
        if kind != "storage" or element is not _Dropped:
            raise DataError(f"it refers to {str(kind)[:80]}")
        return _Dropped()

    def _module(self, meta: dict[str, Any]) -> _Module:
        """Of the module's own source text, which stands in `meta` as well, no use is made."""
        return _Module(meta["class_name"], meta["state"])

    def _tensor(self, storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _TensorView:
        return _TensorView(storage, offset, size, stride)

    def _parameter(self, tensor: _TensorView, *_: Any) -> _TensorView:
        return tensor


def _network(module: _Module) -> PickledNetwork:
    options, tensors = {}, {}
    for path, part in _parts(module, ""):
        options[path] = dict(part.state.get("_init_kwargs", {}))
        for name, value in {**part.state["_parameters"], **part.state["_buffers"]}.items():
            if value is not None:
                tensors[f"{path}.{name}".lstrip(".")] = _build(value)
    return PickledNetwork(module.class_name, options, tensors)


def _parts(module: _Module, path: str) -> Iterator[tuple[str, _Module]]:
    yield path, module
    for name, child in module.state["_modules"].items():
        yield from _parts(child, f"{path}.{name}".lstrip("."))


def _build(view: _TensorView) -> Tensor:
    """A tensor of its own, contiguous; raises where size and stride leave the storage, or repeat it without end."""
    values = _values(view.storage.data)
    if math.prod(view.size) > values.numel():
        raise DataError("a tensor is larger than its storage")
    return values.as_strided(view.size, view.stride, view.offset).clone(memory_format=torch.contiguous_format)


def _values(data: bytes) -> Tensor:
    """The float32 numbers of a storage: two marks, the system, the storage's type, its keys, their count, the bytes."""
    stream = io.BytesIO(data)
    first, second, system, _, _ = (_Reader.read(stream) for _ in range(5))
    if [first, second] != _STORAGE_MAGIC or system["little_endian"] is not True:
        raise DataError("its tensors are of another format")
    count = int.from_bytes(stream.read(8), "little")
    return torch.frombuffer(bytearray(data), dtype=torch.float32, count=count, offset=stream.tell())
