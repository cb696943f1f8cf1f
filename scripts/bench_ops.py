"""The speed of the operators against a plain copy, the reference, torch.compile of the reference, and a peer's.

    python scripts/bench_ops.py [--device cuda] [--peer DIR] [--out scripts/results/ops-cpu.json]
    python scripts/bench_ops.py --training [--peer DIR] [--out scripts/results/training-cpu.json]

DIR is a copy of NVlabs/stylegan2-ada-pytorch, which is run as it is. All contenders take turns in one process, under
one allocator, on the same operands. An error replaces the time of a contender that cannot run, as torch.compile cannot
to second order, or whose results are not the reference's.
"""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import click
import torch
from bench import common
from bench.training import bench_training
from torch import Tensor
from tqdm import tqdm

import custom_ops

NUM_IMAGES, NUM_CHANNELS = 16, 128
TAPS = (1.0, 3.0, 3.0, 1.0)
RIVALS = ("ref", "compile", "peer")
RESOLUTIONS = {"cpu": (32, 64, 128), "cuda": (64, 128, 256)}
DTYPES = {"cpu": ("float32",), "cuda": ("float16", "float32")}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
TOLERANCES = {
    torch.float32: 2e-3,
    torch.float16: 5e-2,
    torch.bfloat16: 5e-2,
}  # half types round x + b

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    device: str
    ops: tuple[str, ...]
    resolutions: tuple[int, ...]
    dtypes: tuple[str, ...]
    layouts: tuple[str, ...]
    peer: Path | None
    compiled: bool
    seconds: float
    allocator: str
    training: bool
    out: Path | None


@dataclass(frozen=True)
class Operator:
    """A function of `custom_ops`, as the networks call it."""

    function: str
    options: dict[str, Any] = field(default_factory=dict)


OPERATORS = {
    "bias_act lrelu": Operator("bias_act", {"act": "lrelu", "gain": math.sqrt(2), "clamp": 256.0}),
    "up 2, 4×4": Operator("upfirdn2d", {"up": 2, "padding": [2, 1, 2, 1], "gain": 4}),
    "down 2, 4×4": Operator("upfirdn2d", {"down": 2, "padding": [1, 1, 1, 1]}),
    "filter 4×4": Operator("upfirdn2d", {"padding": [2, 1, 2, 1]}),
}


@dataclass(frozen=True)
class Operands:
    """x, its bias or filter, and the gradient that comes back."""

    x: Tensor
    other: Tensor
    v: Tensor
    options: dict[str, Any]


def make_operands(operator: Operator, resolution: int, dtype: torch.dtype, layout: str, device: str) -> Operands:
    generator = torch.Generator(device).manual_seed(resolution)
    draw = partial(torch.randn, generator=generator, device=device, dtype=dtype)
    x = draw(NUM_IMAGES, NUM_CHANNELS, resolution, resolution).contiguous(memory_format=LAYOUTS[layout])
    other = custom_ops.setup_filter(TAPS, device=device)
    if operator.function == "bias_act":
        other = draw(NUM_CHANNELS).requires_grad_()
    y = getattr(custom_ops, operator.function)(x, other, impl="ref", **operator.options)
    v = draw(y.shape).contiguous(memory_format=LAYOUTS[layout])
    return Operands(x.requires_grad_(), other, v.requires_grad_(), operator.options)


def forward(function: Function, of: Operands) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return (function(of.x, of.other, **of.options),)


def backward(function: Function, of: Operands) -> tuple[Tensor, ...]:
    y = function(of.x, of.other, **of.options)
    return torch.autograd.grad(y, [of.x, of.other] if of.other.requires_grad else [of.x], of.v)


def second_order(function: Function, of: Operands) -> tuple[Tensor, ...]:
    """The gradient's own gradient, as the R1 penalty takes it; x stands for that penalty's."""
    y = function(of.x, of.other, **of.options)
    (gradient,) = torch.autograd.grad(y, of.x, of.v, create_graph=True)
    return torch.autograd.grad(gradient, of.v, of.x.detach())


PASSES: dict[str, Callable[[Function, Operands], tuple[Tensor, ...]]] = {
    "forward": forward,
    "+backward": backward,
    "+second order": second_order,
}


def bytes_moved(operator: Operator, pass_: str, of: Operands) -> int:
    """The bytes that the operator must read and write, once each, up to this pass."""
    once = of.x.nbytes + of.v.nbytes
    # A backward pass of bias_act also reads y; of upfirdn2d it reads and writes what the forward pass does.
    again = once + of.v.nbytes if operator.function == "bias_act" else once
    return once + list(PASSES).index(pass_) * again


def contenders(operator: Operator, peer: bool, compiled: bool) -> dict[str, Function]:
    ours = getattr(custom_ops, operator.function)
    functions: dict[str, Function] = {name: partial(ours, impl=name) for name in ("native", "ref")}
    if compiled:
        torch._dynamo.reset()  # one graph per case: nothing is made general for shapes seen before
        functions["compile"] = partial(torch.compile(ours, dynamic=False), impl="ref")
    if peer:
        functions["peer"] = partial(common.call_peer, operator.function)
    return functions


def plain_copy(num_bytes: int, device: str) -> Callable[[], object]:
    """A copy that reads and writes `num_bytes` together."""
    source = torch.ones(num_bytes // 8, device=device)  # 4 bytes a number, half of them read
    return partial(torch.ones_like(source).copy_, source)


def verify(results: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for result, right in zip(results, expected, strict=True):
        difference = float((result.float() - right.float()).abs().mean() / right.float().abs().mean())
        if not difference <= TOLERANCES[right.dtype]:
            raise ArithmeticError(f"results differ from the reference's by {difference:.1e} of their mean size")


def measure(
    functions: dict[str, Function], pass_: str, operands: Operands, copied: int, device: str, seconds: float
) -> tuple[dict[str, float], dict[str, str]]:
    """Median ms of every contender and of a copy of `copied` bytes, and the errors of those that do not run."""
    run = PASSES[pass_]
    expected = run(functions["ref"], operands)
    works, errors = {"copy": plain_copy(copied, device)}, {}
    for name, function in functions.items():
        try:
            with contextlib.redirect_stdout(sys.stderr):  # the peer reports its builds there
                verify(run(function, operands), expected)
        except Exception as error:  # whatever a contender fails with is a finding
            errors[name] = f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0]}"
        else:
            works[name] = partial(run, function, operands)
    del expected
    turns = {name: partial(common.kernel_ms, work, device) for name, work in works.items()}
    return common.take_turns(turns, seconds), errors


def bench_case(name: str, resolution: int, dtype: str, layout: str, options: Options) -> Iterator[dict[str, Any]]:
    operator = OPERATORS[name]
    operands = make_operands(operator, resolution, getattr(torch, dtype), layout, options.device)
    copied = bytes_moved(operator, "forward", operands)
    functions = contenders(operator, options.peer is not None, options.compiled)
    for pass_ in PASSES:
        times, errors = measure(functions, pass_, operands, copied, options.device, options.seconds)
        row: dict[str, Any] = {"op": name, "shape": list(operands.x.shape), "dtype": dtype, "layout": layout}
        row |= {"pass": pass_, "copy_gb_per_s": copied / times["copy"] / 1e6, "ms": times, "errors": errors}
        if "native" in times:
            row["gb_per_s"] = bytes_moved(operator, pass_, operands) / times["native"] / 1e6
            row["share_of_copy"] = row["gb_per_s"] / row["copy_gb_per_s"]
            row["speedup"] = {rival: times[rival] / times["native"] for rival in RIVALS if rival in times}
        yield row


def as_table(rows: list[dict[str, Any]]) -> str:
    header = [
        "op",
        "x",
        "dtype",
        "layout",
        "pass",
        "native ms",
        "GB/s",
        "of a copy",
        *(f"{name} ms" for name in RIVALS),
    ]
    lines = []
    for row in rows:
        times, errors, speedup = row["ms"], row["errors"], row.get("speedup", {})
        line = [row["op"], "×".join(map(str, row["shape"])), row["dtype"], row["layout"], row["pass"]]
        line.append(f"{times['native']:.2f}" if "native" in times else errors["native"].partition(":")[0])
        line += [f"{row['gb_per_s']:.1f}", f"{row['share_of_copy']:.0%}"] if "native" in times else ["", ""]
        for rival in RIVALS:
            ratio = f" ({speedup[rival]:.2f}×)" if rival in speedup else ""
            line.append(f"{times[rival]:.2f}{ratio}" if rival in times else errors.get(rival, "").partition(":")[0])
        lines.append(line)
    notes = sorted({f"- {name}: {error}" for row in rows for name, error in row["errors"].items()})
    return "\n".join([common.markdown_table(header, lines), "", *notes])


@click.command()
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--op", "ops", multiple=True, type=click.Choice(list(OPERATORS)), help="Only this; may be repeated")
@click.option("--resolution", "resolutions", multiple=True, type=int, help="In px; may be repeated")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(["float32", "float16", "bfloat16"]))
@click.option("--layout", "layouts", multiple=True, type=click.Choice(list(LAYOUTS)))
@click.option("--peer", type=click.Path(path_type=Path, exists=True), help="Copy of NVlabs/stylegan2-ada-pytorch")
@click.option("--compile/--no-compile", "compiled", default=True, show_default=True, help="With torch.compile")
@click.option("--seconds", default=1.0, show_default=True, help="Measuring time per line, for all contenders together")
@click.option("--allocator", type=click.Choice(["tuned", "default"]), default="tuned", show_default=True)
@click.option("--training", is_flag=True, help="Measure the phases of training instead")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(**options: Any) -> None:
    """Measure how fast the operators are."""
    run(Options(**options))


def run(options: Options) -> None:
    device = options.device
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("PyTorch sees no CUDA device; leave --device out")
    common.set_allocator(options.allocator)
    figures = {"machine": common.describe_machine(device, options.allocator)}
    if options.training:
        sizes = options.resolutions or (64, 128)
        rows, table = bench_training(device, sizes, options.allocator, options.seconds, options.peer)
    else:
        if options.peer:
            common.find_peer(options.peer)
        cases = product(
            options.ops or OPERATORS,
            options.resolutions or RESOLUTIONS[device],
            options.dtypes or DTYPES[device],
            options.layouts or LAYOUTS,
        )
        rows = [row for case in tqdm([*cases], unit="case") for row in bench_case(*case, options)]
        table = as_table(rows)
    print(", ".join(f"{key} {value}" for key, value in figures["machine"].items()), end="\n\n")
    print(table)
    if options.out:
        common.write_json(options.out, {**figures, "operators": custom_ops.info(), "rows": rows})


if __name__ == "__main__":
    main()
