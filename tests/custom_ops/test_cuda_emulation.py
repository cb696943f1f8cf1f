"""The CUDA kernels, run on the CPU as they stand: every index, launch and barrier, if not the speed."""

import fcntl
import hashlib
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from custom_ops.activations import ACTIVATIONS
from custom_ops.bias_act import bias_act

HERE = Path(__file__).parent / "cuda_emulation"
SOURCES = Path(__file__).parents[2] / "custom_ops" / "csrc"
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]  # in the order of the kernels' `Type`
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
SANITIZERS = "-fsanitize=address,alignment,signed-integer-overflow,integer-divide-by-zero"
FLAGS = ["-std=c++17", "-Og", "-w", SANITIZERS, "-fno-sanitize-recover=all"]
# Limits that a test cannot reach are lowered to where what lies beyond them runs as well.
LOWERED = {r"kIntSize = int64_t\(1\) << 31": "kIntSize = 6000", "kMostGroups = 65535": "kMostGroups = 2"}

Emulator = Callable[[list[bytes]], bytes]


def for_the_host(source: str) -> str:
    """Replace CUDA's two pieces of syntax that are not C++: launches, and shared memory sized by them; lower limits."""
    for limit, lowered in LOWERED.items():
        source = re.sub(limit, lowered, source)
    source = re.sub(
        r"extern __shared__ __align__\(16\) float (\w+)\[\];", r"float* \1 = emulation::shared.get();", source
    )
    source, count = re.subn(
        r"(\w+<[^;{}]*?>)<<<(.*?)>>>\((.*?)\);", r"emulation::launch(\2, [&] { \1(\3); });", source, flags=re.DOTALL
    )
    assert count >= 3
    assert "<<<" not in source
    return "#include <cuda_runtime.h>\n" + source


def build(folder: Path, compiler: str) -> None:
    for name in ("bias_act", "upfirdn2d"):
        (folder / f"{name}.cpp").write_text(for_the_host((SOURCES / f"{name}.cu").read_text()))
    files = [*map(str, sorted(folder.glob("*.cpp"))), str(HERE / "main.cpp")]
    command = [compiler, *FLAGS, f"-I{HERE}", f"-I{SOURCES}", *files, "-o", str(folder / "emulator")]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    if built.returncode and re.search("_Float16|cannot find .*[au]bsan", built.stderr):
        pytest.skip("the C++ compiler has no _Float16 or no sanitizers")
    assert not built.returncode, built.stderr


@pytest.fixture(autouse=True)
def fresh_inputs() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        print("seed", torch.seed())
        yield


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """Build once for all workers and for the next run, as long as no source changes."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler to run the CUDA kernels on the CPU with")
    sources = [Path(__file__), *HERE.iterdir(), *SOURCES.glob("*.cu"), *(SOURCES / "cuda").iterdir()]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()[:16]
    folder = tmp_path_factory.getbasetemp().parent / f"cuda-emulation-{digest}"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            build(folder, compiler)
            (folder / "done").touch()

    def run(calls: list[bytes]) -> bytes:
        data = b"".join(calls) + struct.pack("q", 0)
        ran = subprocess.run([folder / "emulator"], check=False, input=data, capture_output=True)
        assert ran.returncode == 0, ran.stderr.decode()
        return ran.stdout

    return run


def raw(x: Tensor | None) -> bytes:
    """The elements in the order in which they lie in memory."""
    if x is None:
        return b""
    if x.ndim == 4 and not x.is_contiguous():
        x = x.permute(0, 2, 3, 1)
    return bytes(x.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()) if x.numel() else b""


class Results:
    """Reads tensors one after another from what the emulator wrote."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, like: Tensor) -> Tensor:
        size = like.numel() * like.element_size()
        mine, self.data = self.data[:size], self.data[size:]
        values = torch.frombuffer(bytearray(mine), dtype=like.dtype)
        if like.ndim == 4 and not like.is_contiguous():
            return values.view(like.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
        return values.view(like.shape)


def close(got: Tensor, expected: Tensor, dtype: torch.dtype, note: str) -> None:
    scale = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    torch.testing.assert_close(
        got.double(), expected.double(), rtol=0, atol=TOLERANCES[dtype] * scale, msg=lambda m: f"{note}: {m}"
    )


def call_upfirdn2d(
    x: Tensor, f: Tensor, like: Tensor, up: list[int], down: list[int], pads: list[int], offset: int
) -> bytes:
    channels_last = not x.is_contiguous()
    numbers = [2, offset, x.element_size(), DTYPES.index(x.dtype), channels_last, *x.shape, *like.shape[2:]]
    numbers += [*up, *down, pads[0], pads[2], f.shape[1], f.shape[0]]
    return struct.pack(f"{len(numbers)}qd", *numbers, 1.5) + raw(f) + raw(x)


def by_the_book(x: Tensor, f: Tensor, up: list[int], down: list[int], pads: list[int], gain: float) -> Tensor:
    """The operator in its definition's own steps, with every zero made and multiplied."""
    planes = x.flatten(0, 1)[:, None].double()
    wide = planes.new_zeros(*planes.shape[:2], x.shape[2] * up[1], x.shape[3] * up[0])
    wide[:, :, :: up[1], :: up[0]] = planes
    wide = F.pad(wide, [max(pad, 0) for pad in pads])
    left, right, top, bottom = (max(-pad, 0) for pad in pads)
    wide = wide[:, :, top : wide.shape[2] - bottom, left : wide.shape[3] - right]
    y = F.conv2d(wide, f[None, None].double() * gain, stride=(down[1], down[0]))
    return y.reshape(*x.shape[:2], *y.shape[2:])


def draw(low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, ()))


@pytest.mark.parametrize(
    ("taps", "up", "down"),
    [
        ((4, 4), [1, 1], [1, 1]),
        ((4, 4), [2, 2], [1, 1]),
        ((4, 4), [1, 1], [2, 2]),
        ((12, 1), [2, 1], [1, 1]),
        ((1, 12), [1, 2], [1, 1]),
        ((12, 1), [1, 1], [2, 1]),
        ((1, 12), [1, 1], [1, 2]),
        ((3, 5), [3, 2], [2, 3]),
        ((1, 1), [1, 1], [1, 1]),
    ],
)
def test_upfirdn2d_equals_its_definition(
    emulator: Emulator, taps: tuple[int, int], up: list[int], down: list[int]
) -> None:
    calls, expected, notes = [], [], []
    for _ in range(24):
        dtype = DTYPES[draw(0, 3)]
        x = torch.randn(draw(1, 3), draw(1, 9), draw(1, 40), draw(1, 80)).to(dtype)
        x = x[: draw(1, 3), :, : draw(1, 40), : draw(1, 80)].contiguous()
        channels_last = draw(0, 2) == 0
        if channels_last:
            x = x.repeat(1, 4 if draw(0, 1) else 1, 1, 1)[:, :, :20, :20].contiguous(memory_format=torch.channels_last)
        f = torch.randn(taps[1], taps[0])
        pads = [draw(-2, 6) for _ in range(4)]
        if draw(0, 2):  # where a polyphase filter begins with its first phase
            pads[0] -= pads[0] % up[0]
            pads[2] -= pads[2] % up[1]
        for axis, size in ((0, x.shape[3]), (1, x.shape[2])):
            pads[2 * axis + 1] += max(0, taps[axis] - size * up[axis] - pads[2 * axis] - pads[2 * axis + 1])
        y = by_the_book(x, f, up, down, pads, gain=1.5)
        layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
        y = y.to(dtype).contiguous(memory_format=layout)
        if x.is_contiguous() != y.is_contiguous():
            continue  # a shape for which both layouts are one: which of them is meant is unknown
        offset = draw(0, 1) * x.element_size()
        calls.append(call_upfirdn2d(x, f, y, up, down, pads, offset))
        expected.append(y)
        notes.append(
            f"{list(x.shape)} {dtype} last={not x.is_contiguous()} up {up} down {down} pads {pads} offset {offset}"
        )
    results = Results(emulator(calls))
    for y, note in zip(expected, notes, strict=True):
        close(results.take(y), y, y.dtype, note)
    assert not results.data


# Shapes, the bias's dimension, whether channels lie last: vectors in one channel, over several, and neither; long sums.
LAYOUTS: list[tuple[list[int], int, bool]] = [
    ([2, 3, 8, 16], 1, False),
    ([2, 3, 5, 7], 1, False),
    ([3, 16, 5, 3], 1, True),
    ([3, 5, 4, 3], 1, True),
    ([40, 33], 1, False),
    ([70, 64], 1, False),
    ([6, 5], 0, False),
    ([2, 2, 70, 64], 1, False),
    ([150, 80], 1, False),
]


def draw_like(shape: list[int], last: bool, dtype: torch.dtype) -> Tensor:
    x = torch.randn(shape).to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if last else x


def call_bias_act(op: int, x: Tensor, y: Tensor | None, b: Tensor | None, dim: int, act: str, clamp: float) -> bytes:
    """One call with alpha 0.1 and gain 1.25; the adjoint is given b for its size only."""
    numbers = [1, draw(0, 1) * x.element_size(), x.element_size(), DTYPES.index(x.dtype), op, x.numel()]
    numbers += [1, 1] if b is None else [x.shape[dim], x.stride(dim)]
    numbers += [list(ACTIVATIONS).index(act), b is not None]
    data = raw(x) + raw(y) + (b"" if op == 2 else raw(b))
    return struct.pack(f"{len(numbers)}q3d", *numbers, 0.1, 1.25, clamp) + data


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_bias_act_equals_its_reference(emulator: Emulator, act: str) -> None:
    calls, expected, notes = [], [], []
    for shape, dim, last in LAYOUTS:
        for dtype in DTYPES:
            x, b = draw_like(shape, last, dtype), torch.randn(shape[dim]).to(dtype) if draw(0, 2) else None
            clamp = (-1.0, 0.75)[draw(0, 1)]
            wide_b, limit = b if b is None else b.double(), None if clamp < 0 else clamp
            y = bias_act(x.double(), wide_b, dim, act, alpha=0.1, gain=1.25, clamp=limit, impl="ref")
            calls.append(call_bias_act(0, x, None, b, dim, act, clamp))
            expected.append(y.to(dtype, memory_format=torch.preserve_format))
            notes.append(f"{shape} {dtype} dim {dim} channels_last={last} clamp {clamp} bias={b is not None}")
    results = Results(emulator(calls))
    for y, note in zip(expected, notes, strict=True):
        close(results.take(y), y, y.dtype, note)
    assert not results.data


def slope(y: Tensor, act: str, clamp: float) -> Tensor:
    """The derivative of gain · act at which the operator, with gain 1.25 and alpha 0.1, gave y."""
    below = {"linear": 1.0, "relu": 0.0, "lrelu": 0.1}[act]
    steep = torch.where(y > 0, 1.25, 1.25 * below).double()
    limit = torch.tensor(clamp).to(y.dtype)
    return steep if clamp < 0 else steep * (y.abs() < limit)


@pytest.mark.parametrize("act", ["linear", "relu", "lrelu"])
def test_slope_and_adjoint_equal_their_definitions(emulator: Emulator, act: str) -> None:
    calls, expected, notes = [], [], []
    for shape, dim, last in LAYOUTS:
        for dtype in DTYPES:
            op, clamp, has_b = draw(1, 2), (-1.0, 0.7)[draw(0, 1)], draw(0, 3) > 0
            x, y = draw_like(shape, last, dtype), draw_like(shape, last, dtype)
            y[y.abs() > 0.7] = 0.7
            b = torch.randn(shape[dim]).to(dtype) if has_b else None
            shifted = x.double()
            if b is not None and op == 1:
                shifted = shifted + b.double().view([-1 if axis == dim else 1 for axis in range(len(shape))])
            out = shifted * slope(y, act, clamp)
            calls.append(call_bias_act(op, x, y, b, dim, act, clamp))
            expected.append(out.to(dtype, memory_format=torch.preserve_format))
            notes.append(f"op {op} {shape} {dtype} dim {dim} channels_last={last} clamp {clamp} bias={has_b}")
            if has_b and op == 2:
                expected.append(out.sum([axis for axis in range(len(shape)) if axis != dim]).to(dtype))
                notes.append(notes[-1] + ": db")
    results = Results(emulator(calls))
    for value, note in zip(expected, notes, strict=True):
        close(results.take(value), value, value.dtype, note)
    assert not results.data
