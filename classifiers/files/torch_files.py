"""State dicts of untrusted files: their contents are checked before any of it is built."""

import io
import logging
import math
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

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

log = logging.getLogger(__name__)

EXPECTED = "expected a state dict, as torch.save(model.state_dict(), path) or safetensors write it"
CHECKPOINT_KEYS = (  # under which a checkpoint's state dict is looked for, in this order
    "state_dict", "model_state_dict", "model", "module", "net", "network", "teacher", "model_ema", "ema",
)  # fmt: skip
MAX_PICKLE_BYTES = 64 * 2**20  # of names and shapes, without the numbers
MAX_AXES = 64  # PyTorch's own limit
MAX_SHARING = 2  # items of all tensors per byte of the file: each number may stand in eight tensors of float32
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # begins the format of torch.save before PyTorch 1.6
_ITEM_BYTES = {
    "BoolStorage": 1, "ByteStorage": 1, "CharStorage": 1, "UntypedStorage": 1, "BFloat16Storage": 2, "HalfStorage": 2,
    "ShortStorage": 2, "FloatStorage": 4, "IntStorage": 4, "DoubleStorage": 8, "LongStorage": 8,
    "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
_KINDS = (  # how files begin that are often taken for weights
    (rb"\Z", "empty"),
    (rb"version https://git-lfs", "a Git LFS pointer and not the file that it stands for"),
    (rb"(?:\xef\xbb\xbf)?\s*(?i:<!doctype html|<html|<\?xml|<head)", "an HTML page, as a failed download leaves it"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a compressed archive"),
    (rb"\x89HDF\r\n", "an HDF5 file"),
    (rb"\0+\Z", "nothing but zeros"),
)


def kind_of_content(head: bytes) -> str:
    """What a file that begins so is instead of weights; empty where the beginning does not show it."""
    return next((kind for pattern, kind in _KINDS if re.match(pattern, head)), "")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a `torch.save`d state dict, on the CPU; code in it is never run.

    A checkpoint may hold the state dict under a name of its own, next to plain values, as Lightning's does: the only
    one there, else the first of CHECKPOINT_KEYS, which is logged. `module.` (DataParallel) before all names and
    `_orig_mod.` (torch.compile) in any of them are removed.

    Raises FileNotFoundError without the file. Raises ValueError, of one line, where it is something else, is truncated
    or corrupt, asks for more work or memory than a file of its size can need, or holds NaN or infinity.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}; weights are never downloaded, give the path of a local file")
    try:
        with open(path, "rb") as file:
            head = file.read(1000)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); {EXPECTED}; check its permissions") from error
    if kind := kind_of_content(head):
        raise ValueError(f"{path} cannot be read as weights: it is {kind}; {EXPECTED}; download the file itself")
    try:
        content = _load_safetensors(path) if path.suffix == ".safetensors" else _load_torch(path, head)
    except PickleRefused as error:
        raise ValueError(
            f"{path} cannot be read as weights: {error}; {EXPECTED}; save its state dict alone, or download it again"
        ) from None
    state = _find_state(content, path)
    for name, value in state.items():
        if not _is_finite(value):
            raise ValueError(f"{path} holds NaN or infinity in {name[:80]}; expected finite weights; train them again")
    return _remove_wrappers(state)


def _find_state(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict that a file's content is, or holds under a name."""
    if _is_state(content):
        return content
    items = content if isinstance(content, dict) else {}
    nested: dict[Any, dict[str, Tensor]] = {name: value for name, value in items.items() if value and _is_state(value)}
    known = [name for name in CHECKPOINT_KEYS if name in nested]
    if len(nested) == 1 or known:
        chosen = known[0] if known else next(iter(nested))
        log.info(f"the state dict under {describe_value(chosen)} of {path}")
        return nested[chosen]
    names = ", ".join(describe_value(name) for name in list(nested or items)[:3])
    seen = f"{len(nested)} state dicts under names that say not which: {names}" if nested else "no state dict"
    if items and not nested:
        seen += f" but {names}"
    raise ValueError(f"{path} holds {seen}; {EXPECTED}; save the model's state dict alone")


def _is_state(value: Any) -> TypeGuard[dict[str, Tensor]]:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def _remove_wrappers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names that they had before the model was wrapped."""
    renamed = {".".join(part for part in name.split(".") if part != "_orig_mod"): name for name in state}
    while renamed and all(name.startswith("module.") for name in renamed):
        renamed = {name.removeprefix("module."): old for name, old in renamed.items()}
    return {name: state[old] for name, old in renamed.items()} if len(renamed) == len(state) else state


def _is_finite(value: Tensor) -> bool:
    if not (value.is_floating_point() or value.is_complex()):
        return True
    is_wide = value.is_complex() or value.dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    return bool((value if is_wide else value.float()).isfinite().all())


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # the library's own errors, and of what its dtypes are to PyTorch
        raise PickleRefused("it is no safetensors file, or truncated or corrupt") from error


def _load_torch(path: Path, head: bytes) -> Any:
    """What torch.load gives, after a look at all that it will build; its own messages give dangerous advice."""
    if head[:4] == b"PK\x03\x04":
        _check_zip(path)
    elif head[:1] == b"\x80":
        _check_legacy(path)
    else:
        raise PickleRefused("it begins as no file of torch.save does")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # truncated where only the numbers stand, or of a newer PyTorch
        raise PickleRefused("PyTorch finds it truncated, corrupt, or of a format that it does not know") from error


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
                raise PickleRefused("it is a TorchScript archive, which holds a program")
            pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
            if len(pickles) != 1:
                raise PickleRefused("it is a zip archive without weights of PyTorch")
            size = path.stat().st_size
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise PickleRefused("it is compressed, as no file of torch.save is")
            if sum(entry.file_size for entry in entries) > size or pickles[0].file_size > MAX_PICKLE_BYTES:
                raise PickleRefused("its parts are larger than the file")
            data = archive.read(pickles[0])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, PickleRefused):
            raise
        raise PickleRefused("it is a truncated or corrupt archive of PyTorch") from error
    _Scan(size).read(io.BytesIO(data))


def _check_legacy(path: Path) -> None:
    """Five pickles, and then the numbers, which `torch.load` checks against what the fourth says of them."""
    with open(path, "rb") as file:
        stream = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    scan = _Scan(path.stat().st_size)
    magic = scan.read(stream)
    if type(magic) is not int or magic != _LEGACY_MAGIC:
        raise PickleRefused("it is a pickle, but not of torch.save")
    for _ in range(4):
        scan.read(stream)


@dataclass(frozen=True, eq=False)
class _Storage:
    num_items: int


class _Scan:
    """Reads a pickle of torch.save for its names and sizes; raises PickleRefused where it holds more than tensors."""

    def __init__(self, num_bytes: int) -> None:
        self.budget = Budget()
        self.bytes_left = num_bytes
        self.items_left = MAX_SHARING * num_bytes
        self.storages: dict[str, _Storage] = {}

    def read(self, stream: io.BytesIO) -> Any:
        return read_pickle(stream, self._resolve, self._storage, self.budget)

    def _resolve(self, name: str) -> Callable[..., Any]:
        if name == "collections.OrderedDict":
            return make_dict_factory(self.budget)
        if name == "collections.Counter":  # of a schedule's milestones
            return self._count
        if name in (
            "torch._utils._rebuild_tensor",
            "torch._utils._rebuild_tensor_v2",
            "torch._utils._rebuild_tensor_v3",
        ):
            return self._view
        if name in ("torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter"):
            return lambda tensor, *_: tensor
        kind = name.removeprefix("torch.storage.").removeprefix("torch.")
        if kind in _ITEM_BYTES:
            return lambda *_: _ITEM_BYTES[kind]
        if name == "torch.Size" or (name.startswith("torch.") and isinstance(getattr(torch, kind, None), torch.dtype)):
            return Dropped
        raise PickleRefused(f"it asks for {describe_value(name)}, which is code and not run")

    def _count(self, counts: Any) -> Dropped:
        if not isinstance(counts, dict):
            raise PickleRefused("it counts what is no dict")
        self.budget.spend(len(counts))
        return Dropped()

    def _storage(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[2], str):
            raise PickleRefused("it refers to something other than numbers")
        kind, key, num_items = name_of(pid[1]).rpartition(".")[2], pid[2], pid[4]
        if kind not in _ITEM_BYTES or type(num_items) is not int or num_items < 0:
            raise PickleRefused("it refers to numbers of an unknown type or count")
        if key not in self.storages:
            self.bytes_left -= num_items * _ITEM_BYTES[kind]
            self.storages[key] = _Storage(num_items)
        if self.bytes_left < 0:
            raise PickleRefused("its numbers are fewer than it says; it is truncated")
        return self.storages[key]

    def _view(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Dropped:
        """Raise where tensors are larger than the numbers behind them, as those that repeat them without end are."""
        is_view = isinstance(storage, _Storage) and isinstance(size, tuple) and isinstance(stride, tuple)
        if not is_view or len(size) > MAX_AXES or len(size) != len(stride):
            raise PickleRefused("a tensor has no storage, or no size and stride")
        if not all(isinstance(number, int) and 0 <= number < 2**60 for number in (offset, *size, *stride)):
            raise PickleRefused("a tensor has impossible sizes or strides")
        num_items = math.prod(size)
        self.items_left -= num_items
        if num_items > storage.num_items or self.items_left < 0:
            raise PickleRefused("its tensors are larger than the numbers behind them")
        return Dropped()
