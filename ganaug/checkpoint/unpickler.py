"""Networks read from pickles of StyleGAN2-ADA, without running any code that is in them.

A pickle is a program: it names functions and calls them. `classifiers.files.pickles` reads it, and each name that it
may use stands for a function here that only records its arguments. Tensors are built afterwards from the recorded
bytes, and the size of the file limits the time and memory for all that.
"""

import io
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifiers.files.pickles import (
    Budget,
    Dropped,
    PickleRefused,
    describe_value,
    make_dict_factory,
    name_of,
    read_pickle,
)
from classifiers.files.torch_files import kind_of_content
from ganaug.errors import DataError

ORIGIN = "a network pickle of stylegan2-ada-pytorch, or of StyleGAN2 from stylegan3"
MAX_FILE_BYTES = 4 * 2**30  # the networks of 1024 px are a tenth of it
MAX_MODULES = 5_000  # of one network; the largest have 200
MAX_DEPTH = 20  # of a module within modules; they have 4
MAX_TENSORS = 20_000  # of one network; they have 300
MAX_NAME = 200  # characters of a module's or tensor's own name
MAX_AXES = 8
_STORAGE_MAGIC = [0x1950A86A20F9469CFC6C, 1001]  # with which PyTorch begins its own format of storages


@dataclass(frozen=True)
class PickledNetwork:
    """A network as its pickle describes it: its class, its modules' options by their path, its tensors by name."""

    class_name: str
    options: dict[str, dict[str, Any]]
    tensors: dict[str, Tensor]


def read_networks(path: Path) -> dict[str, PickledNetwork]:
    """The networks of a pickle by name, of 'G', 'D' and 'G_ema' those that it has.

    Raises DataError where the file is missing, truncated, corrupt, no such pickle, names anything that is not allowed,
    or asks for more work or memory than a file of its size can need.
    """
    try:
        data = _content(path)
        content = _read(io.BytesIO(data), budget := Budget())
        if not isinstance(content, dict) or not isinstance(content.get("G_ema"), _Module):
            raise PickleRefused("it holds no network G_ema")
        found = {name: content[name] for name in ("G", "D", "G_ema") if isinstance(content.get(name), _Module)}
        return {name: _Builder(budget, len(data)).network(module) for name, module in found.items()}
    except PickleRefused as error:
        raise DataError(f"{path} is refused: {error}", expected=ORIGIN, todo="download it again") from error


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"there is no file {path}", expected=ORIGIN, todo="name one that exists")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DataError(f"{path} has {size:,} bytes", expected=f"{ORIGIN}, of at most {MAX_FILE_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", expected=ORIGIN) from error
    if kind := kind_of_content(data[:1000]):
        raise DataError(f"{path} is {kind}", expected=ORIGIN, todo="download it again")
    return data


# The records of what a pickle would build.


@dataclass(frozen=True, eq=False)
class _Module:
    class_name: str
    state: dict[str, Any]

    def part(self, name: str) -> dict[str, Any]:
        """A dict of the module's state; empty where it is missing."""
        value = self.state.get(name, {})
        if not isinstance(value, dict):
            raise PickleRefused(f"a module has {describe_value(value)} for its {name}")
        return value


@dataclass(frozen=True, eq=False)
class _Storage:
    data: bytes
    budget: Budget

    @cached_property
    def values(self) -> Tensor:
        """Its float32 numbers: two marks, the system, the storage's type, its keys, their count, the bytes."""
        stream = io.BytesIO(self.data)
        first, second, system, _, _ = (_read(stream, self.budget) for _ in range(5))
        is_ours = isinstance(system, dict) and system.get("little_endian") is True
        if not is_ours or type(first) is not int or [first, second] != _STORAGE_MAGIC:
            raise PickleRefused("its tensors are of another format")
        count, start = int.from_bytes(stream.read(8), "little"), stream.tell()
        if count > (len(self.data) - start) // 4:
            raise PickleRefused("a storage is shorter than it says")
        if count == 0:
            return torch.empty(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bytes that cannot be written: every tensor is a copy
            return torch.frombuffer(self.data, dtype=torch.float32, count=count, offset=start)


@dataclass(frozen=True, eq=False)
class _TensorView:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _read(stream: io.BytesIO, budget: Budget) -> Any:
    """The next pickle of a stream, of the names that may stand in such files."""

    def resolve(name: str) -> Callable[..., Any]:
        if name == "torch.storage._load_from_bytes":
            return lambda data: _storage(data, budget)
        if name in ("collections.OrderedDict", "dnnlib.util.EasyDict"):
            return make_dict_factory(budget)
        if name not in _TABLE:
            raise PickleRefused(f"it asks for {describe_value(name)}, which is not run")
        return _TABLE[name]

    return read_pickle(stream, resolve, _persistent, budget)


def _persistent(pid: Any) -> Dropped:
    """Storages refer to their bytes so; only the number of their type matters, see `_Storage.values`."""
    if not isinstance(pid, tuple) or len(pid) < 2 or pid[0] != "storage" or name_of(pid[1]) != "torch.FloatStorage":
        raise PickleRefused("it refers to something other than float32 numbers")
    return Dropped()


def _module(meta: Any, *_: Any) -> _Module:
    """Of the module's own source text, which stands in `meta` as well, no use is made."""
    class_name, state = (meta.get(key) if isinstance(meta, dict) else None for key in ("class_name", "state"))
    if not isinstance(class_name, str) or not isinstance(state, dict):
        raise PickleRefused("a module has no class_name or no state")
    return _Module(class_name[:MAX_NAME], state)


def _storage(data: Any, budget: Budget) -> _Storage:
    if not isinstance(data, bytes):
        raise PickleRefused(f"a storage is {describe_value(data)}")
    return _Storage(data, budget)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _TensorView:
    """A view of a storage; raises where its numbers are no sizes and strides."""
    are_tuples = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= MAX_AXES
    if not are_tuples or not isinstance(storage, _Storage):
        raise PickleRefused("a tensor has no storage, or no size and stride")
    if not all(isinstance(number, int) and 0 <= number < 2**40 for number in (offset, *size, *stride)):
        raise PickleRefused("a tensor has impossible sizes or strides")
    return _TensorView(storage, offset, size, stride)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_TABLE: dict[str, Callable[..., Any]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _module,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "builtins.set": Dropped,
    "__builtin__.set": Dropped,
    "torch.FloatStorage": Dropped,
    "numpy.core.multiarray.scalar": Dropped,
    "numpy._core.multiarray.scalar": Dropped,
    "numpy.dtype": Dropped,
}


class _Builder:
    """Builds one network's tensors, which together may not be larger than the file: views could share without end."""

    def __init__(self, budget: Budget, num_bytes: int) -> None:
        self.budget, self.bytes_left = budget, num_bytes

    def network(self, module: _Module) -> PickledNetwork:
        options, tensors = {}, {}
        for path, part in _parts(module):
            options[path] = part.part("_init_kwargs")
            for group in ("_parameters", "_buffers"):
                for name, value in part.part(group).items():
                    if value is not None:
                        tensors[_join(path, name)] = self._build(value)
                    if len(tensors) > MAX_TENSORS:
                        raise PickleRefused(f"a network has more than {MAX_TENSORS:,} tensors")
        return PickledNetwork(module.class_name, options, tensors)

    def _build(self, view: Any) -> Tensor:
        """A tensor of its own, contiguous; raises where size and stride leave the storage, or repeat it without end."""
        if not isinstance(view, _TensorView):
            raise PickleRefused(f"a module has {describe_value(view)} where a tensor belongs")
        values, size = view.storage.values, math.prod(view.size)
        if size > values.numel():
            raise PickleRefused("a tensor is larger than its storage")
        steps = zip(view.size, view.stride, strict=True)
        if size and view.offset + sum((length - 1) * stride for length, stride in steps) >= values.numel():
            raise PickleRefused("a tensor reaches beyond its storage")
        self.bytes_left -= size * values.element_size()
        if self.bytes_left < 0:
            raise PickleRefused("its tensors share memory, and would be larger than the file without")
        if size == 0:
            return torch.empty(view.size)
        return values.as_strided(view.size, view.stride, view.offset).clone(memory_format=torch.contiguous_format)


def _parts(root: _Module) -> Iterator[tuple[str, _Module]]:
    """The modules of a tree by path, the root first; raises where a module stands in it twice, or it is no tree."""
    seen: set[int] = set()
    waiting = [("", root, 0)]
    while waiting:
        path, module, depth = waiting.pop()
        if id(module) in seen or len(seen) >= MAX_MODULES or depth > MAX_DEPTH:
            raise PickleRefused("its modules share parts, or are more, or deeper within each other, than such have")
        seen.add(id(module))
        yield path, module
        children = module.part("_modules")
        if len(children) > MAX_MODULES:
            raise PickleRefused(f"a module has {len(children):,} others")
        for name, child in reversed(children.items()):
            if child is None:
                continue
            if not isinstance(child, _Module):
                raise PickleRefused(f"a module has {describe_value(child)} where a module belongs")
            waiting.append((_join(path, name), child, depth + 1))


def _join(path: str, name: Any) -> str:
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise PickleRefused("a module or tensor has no name, or an endless one")
    return f"{path}.{name}".lstrip(".")
