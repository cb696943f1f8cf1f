"""The choice of an operator's implementation, with its reason; native ones are compiled at their first use."""

import os
import shutil
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from custom_ops.native import cache
from custom_ops.native.cache import Built
from custom_ops.native.toolchain import BuildTarget, Kind, NativeUnavailable, WrongSetting, find_tools, usable_archs

Impl = Literal["ref", "native"]

KINDS: tuple[Kind, ...] = ("cpu", "cuda")  # types of device that have native operators
OPERATORS: dict[str, tuple[Kind, ...]] = {"bias_act": KINDS, "upfirdn2d": KINDS, "conv3x3": ("cpu",)}
SCHEMAS = {  # the names under which the library registers each operator and its derivatives
    "bias_act": ("bias_act", "bias_act_slope", "bias_act_adjoint"),
    "upfirdn2d": ("upfirdn2d",),
    "conv3x3": ("conv3x3", "conv3x3_weight"),
}
SOURCES = Path(__file__).parent / "csrc"


@dataclass(frozen=True)
class Decision:
    """The implementation that this process chose for one type of device."""

    path: Literal["native", "ref", "refused"]  # refused: GANAUG_OPS=native, and there is none
    reason: str
    built: Built | None = None


_decisions: dict[str, Decision] = {}
_deciding = threading.RLock()


def select(operator: str, impl: str | None, device: torch.device | str = "cpu") -> Impl:
    """Return the implementation that runs `operator` on `device`; the first native one is compiled and loaded here.

    impl: 'ref', 'native', or None, which leaves the choice to GANAUG_OPS: 'auto' (native where it can be built, else
    'ref' and one warning), 'native' (always) or 'ref'; it is read once per process. device: where the input lies.
    Raises NativeUnavailable where 'native' is wanted and cannot be had, ValueError for any other name.
    """
    if impl == "ref":
        return "ref"
    if impl not in (None, "native"):
        raise ValueError(f"{operator}: impl is {impl!r}; expected 'ref', 'native' or None")
    kind = device if isinstance(device, str) else device.type
    path = _path(kind)
    if path == "native":
        return "native"
    if path == "ref" and impl is None:
        return "ref"
    raise NativeUnavailable(f"{operator}: no native operator on {kind}: {_decisions[kind].reason}")


def _path(kind: str) -> Literal["native", "ref", "refused"]:
    decision = _decisions.get(kind)
    return (decision or _decide(kind)).path


# torch.compile calls the function and keeps its result, instead of tracing into compilers and files. This is all that
# torch.compiler.assume_constant_result does, which would import the whole of Dynamo here, a second and a half.
_path._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _decide(kind: str) -> Decision:
    """Choose, once per process, what runs on `kind`, and warn where the slower operators must."""
    with _deciding:
        if kind in _decisions:
            return _decisions[kind]
        requested = _requested_path()
        try:
            decision = Decision("native", "", _load(kind))
        except NativeUnavailable as error:
            decision = Decision("refused" if requested == "native" else "ref", str(error))
        is_warned = any(_decisions[other].path == "ref" for other in KINDS if other in _decisions)
        _decisions[kind] = decision
    if decision.path == "ref" and requested == "auto" and kind in KINDS and not is_warned:
        warnings.warn(f"ganaug: the slower PyTorch operators run on {kind}: {decision.reason}", stacklevel=4)
    return decision


def _requested_path() -> str:
    requested = os.environ.get("GANAUG_OPS") or "auto"
    if requested not in ("auto", "native", "ref"):
        raise WrongSetting(f"GANAUG_OPS is {requested!r}; expected 'auto', 'native' or 'ref'")
    return requested


def _load(kind: str) -> Built:
    """Load the library for `kind`, built if need be; one that does not load, or lacks operators, is built again."""
    target, built = _locate(_require_native_device(kind))
    if target.kind == "cuda" and _path("cpu") != "native":
        raise NativeUnavailable(f"it needs the library of the CPU, and there {_decisions['cpu'].reason}")
    built = built or cache.build(target)
    if problem := _load_library(built.library, target.kind):
        if target.tools is None:
            raise NativeUnavailable(f"{built.library} {problem}")
        built = cache.build(target, bad=built)
        # The system knows a library by its path, and would take the loaded one for the new one.
        other_path = built.library.with_name("library-again.so")
        try:
            shutil.copy(built.library, other_path)
        except OSError as error:
            raise NativeUnavailable(f"{other_path} cannot be written ({error.strerror})") from None
        if problem := _load_library(other_path, target.kind):
            raise NativeUnavailable(f"{built.library} {problem}, though just built")
    if target.kind == "cpu":
        _register()
    return built


def _load_library(library: Path, kind: Kind) -> str:
    """Load a library; return what is wrong with it, empty where nothing is."""
    load: Callable[[str], None] = torch.ops.load_library
    try:
        load(str(library))
    except OSError as error:
        return f"does not load ({error})"
    missing = _missing_operators(kind)
    return f"lacks the operators {', '.join(missing)}" if missing else ""


def _missing_operators(kind: Kind) -> list[str]:
    """The operators that no library loaded so far has for this type of device."""
    names = [name for operator, kinds in OPERATORS.items() if kind in kinds for name in SCHEMAS[operator]]
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return [name for name in names if not _has_schema(name) or not has_kernel(f"ganaug::{name}", kind.upper())]


def _has_schema(name: str) -> bool:
    return bool(torch._C._jit_get_schemas_for_operator(f"ganaug::{name}"))


def _register() -> None:
    """Give the operators just loaded their shapes, derivatives and batching."""
    from custom_ops.native import autograd

    autograd.register()


def _require_native_device(kind: str) -> Kind:
    """Return `kind` if native operators are wanted and can run there, else raise NativeUnavailable."""
    if _requested_path() == "ref":
        raise NativeUnavailable("GANAUG_OPS=ref switches native operators off")
    if kind == "cpu":
        return "cpu"
    if kind != "cuda":
        raise NativeUnavailable(f"there are none for {kind}")
    if not torch.cuda.is_available():
        raise NativeUnavailable("PyTorch finds no CUDA device")
    return "cuda"


def _locate(kind: Kind, portable: bool = False) -> tuple[BuildTarget, Built | None]:
    """Find how the library for `kind` is built, and the library itself if that was done; compiles nothing.

    Raises NativeUnavailable where there is neither a library nor a way to one.
    """
    missing = None
    try:
        tools = find_tools(kind)
    except NativeUnavailable as error:
        tools, missing = None, error
    archs = usable_archs(portable) if kind == "cuda" else [()]
    targets = [BuildTarget(kind, SOURCES, choice, tools) for choice in archs]
    for target in targets:
        if built := cache.find(target):
            return target, built
    if missing:
        reason = cache.find_obstacle()
        raise NativeUnavailable(f"{missing}; nothing is taken from the cache: {reason}") if reason else missing
    return targets[0], None


def info() -> list[dict[str, str]]:
    """List what runs which operator on which device, and why; compiles nothing.

    Returns rows `{'op', 'device', 'path', 'reason'}`, where the path is 'native' or 'ref'. Raises ValueError where
    GANAUG_OPS has another value than these.
    """
    rows = []
    for kind in KINDS:
        path, reason = _predict_path(kind)
        served = [operator for operator, kinds in OPERATORS.items() if kind in kinds]
        rows += [{"op": operator, "device": kind, "path": path, "reason": reason} for operator in served]
    return rows


def _predict_path(kind: str) -> tuple[Impl, str]:
    """The choice for `kind` in this process, or the one that the first call would make, and its reason."""
    decision = _decisions.get(kind)
    if decision and decision.path != "native":
        return "ref", decision.reason
    built, instructions = decision.built if decision else None, _name_instructions(kind)
    if built is None:
        try:
            target, built = _locate(_require_native_device(kind))
        except NativeUnavailable as error:
            return "ref", str(error)
        if built is None:
            assert target.tools is not None
            return "native", f"{instructions}, will be compiled at first use by {target.tools.versions[-1]}"
    return "native", f"{instructions}, built {built.age} ago in {built.library.parent} by {built.compiler}"


def _name_instructions(kind: str) -> str:
    """The instruction set of the kernels: PyTorch's own choice, which ATEN_CPU_CAPABILITY can lower, is ours too."""
    if kind == "cuda":
        return "CUDA"
    names = {"AVX2": "AVX2", "AVX512": "AVX-512"}
    return names.get(torch.backends.cpu.get_cpu_capability(), "generic code")


def build(cuda: bool = False) -> list[Built]:
    """Build the library of the CPU and, with `cuda` or where a GPU is, that of CUDA; libraries in the cache are kept.

    cuda: compile for every GPU from compute capability 8.0 up, or TORCH_CUDA_ARCH_LIST, with or without one here.
    Raises NativeUnavailable where that fails.
    """
    libraries = []
    for kind in KINDS if cuda or torch.cuda.is_available() else KINDS[:1]:
        target, built = _locate(kind, portable=cuda)
        libraries.append(built or cache.build(target))
    return libraries
