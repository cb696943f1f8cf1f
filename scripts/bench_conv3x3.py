"""The speed and the error of 3×3 convolution by Winograd's algorithm compared with PyTorch's own.

    python scripts/bench_conv3x3.py [--out scripts/results/conv3x3-cpu.json]

The layers are those of a generator and a discriminator with channel_base 8192 and channel_max 256, and narrower ones
below, which show where PyTorch's is the faster. Both take turns on the same operands; there is nothing to measure on a
GPU, where PyTorch's runs.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F
from bench import common
from torch import Tensor
from tqdm import tqdm

from custom_ops.conv3x3 import Scheme, suits_winograd
from custom_ops.dispatch import select

BATCH = 16
LAYERS: dict[
    Scheme, list[tuple[int, int, int]]
] = {  # channels in and out, and the side of the smaller end, of each scheme
    "same": [(256, 256, 8), (256, 256, 32), (128, 128, 64), (64, 64, 128), (32, 32, 64), (16, 16, 64), (256, 256, 4)],
    "down": [(256, 256, 8), (256, 256, 16), (128, 256, 32), (64, 128, 64), (32, 64, 32)],
    "up": [(256, 256, 8), (256, 256, 16), (256, 128, 32), (128, 64, 64), (64, 32, 32)],
}

Convolve = Callable[[Tensor, Tensor], Tensor]


def convolutions(scheme: Scheme) -> dict[str, Convolve]:
    ours = torch.ops.ganaug.conv3x3
    contenders: dict[Scheme, dict[str, Convolve]] = {
        "same": {
            "ours": partial(ours, stride=1, transposed=False),
            "PyTorch": partial(F.conv2d, padding=1),
        },
        "down": {
            "ours": partial(ours, stride=2, transposed=False),
            "PyTorch": partial(F.conv2d, stride=2),
        },
        "up": {
            "ours": partial(ours, stride=2, transposed=True),
            "PyTorch": partial(F.conv_transpose2d, stride=2),
        },
    }
    return contenders[scheme]


def make_operands(scheme: Scheme, num_in: int, num_out: int, side: int) -> tuple[Tensor, Tensor]:
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    side = 2 * side + 1 if scheme == "down" else side
    w = draw([num_in, num_out, 3, 3] if scheme == "up" else [num_out, num_in, 3, 3])
    return draw(BATCH, num_in, side, side).requires_grad_(), w.requires_grad_()


def forward(convolve: Convolve, x: Tensor, w: Tensor) -> object:
    with torch.no_grad():
        return convolve(x, w)


def backward(of: int, convolve: Convolve, x: Tensor, w: Tensor) -> object:
    """The gradient of one operand, with what goes before it."""
    operands = [value if number == of else value.detach() for number, value in enumerate((x, w))]
    y = convolve(*operands)
    return torch.autograd.grad(y, operands[of], y.detach())


PASSES: dict[str, Callable[..., object]] = {
    "forward": forward, "+ images' gradient": partial(backward, 0), "+ weights' gradient": partial(backward, 1)
}  # fmt: skip


def errors(convolve: Convolve, x: Tensor, w: Tensor) -> list[float]:
    """The mean error of each pass, as a fraction of its result's standard deviation."""
    v = torch.randn(convolve(x, w).shape, generator=torch.Generator().manual_seed(1))

    def results(x: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        y = convolve(x, w)
        return y.detach(), *torch.autograd.grad(y, (x, w), v)

    exact = results(x.double(), w.double(), v.double())
    return [float((y - right).abs().mean() / right.std()) for y, right in zip(results(x, w, v), exact, strict=True)]


def bench(scheme: Scheme, layer: tuple[int, int, int], seconds: float) -> dict[str, Any]:
    x, w = make_operands(scheme, *layer)
    taken = suits_winograd(x, w, scheme, groups=1)
    row: dict[str, Any] = {"scheme": scheme, "channels": layer[:2], "side_px": layer[2], "taken": taken}
    contenders = convolutions(scheme)
    for name, run in PASSES.items():
        turns = {
            who: partial(common.wall_ms, partial(run, convolve, x, w), "cpu") for who, convolve in contenders.items()
        }
        row[name] = common.take_turns(turns, seconds)
    return row | {"errors": {who: errors(convolve, x, w) for who, convolve in contenders.items()}}


def as_table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        times = [f"{row[name]['ours']:.2f} ms ({row[name]['PyTorch'] / row[name]['ours']:.2f}×)" for name in PASSES]
        layer = f"{row['channels'][0]} to {row['channels'][1]}, {row['side_px']} px"
        pairs = zip(row["errors"]["ours"], row["errors"]["PyTorch"], strict=True)
        more = ", ".join(f"{ours:.1e} ({ours / theirs:.1f}×)" for ours, theirs in pairs)
        lines.append([row["scheme"], layer, *times, more, "yes" if row["taken"] else "no"])
    return common.markdown_table(["scheme", "layer", *PASSES, "their errors", "taken"], lines)


@click.command()
@click.option("--seconds", default=3.0, show_default=True, help="Measuring time per pass, for both contenders together")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(seconds: float, out: Path | None) -> None:
    """Measure every layer; ×: PyTorch's time over ours, our error over PyTorch's."""
    common.set_allocator("tuned")
    select("conv3x3", "native")
    rows = [bench(scheme, layer, seconds) for scheme, layers in LAYERS.items() for layer in tqdm(layers, desc=scheme)]
    print(as_table(rows))
    if out:
        common.write_json(out, {"machine": common.describe_machine("cpu", "tuned"), "batch": BATCH, "rows": rows})


if __name__ == "__main__":
    main()
