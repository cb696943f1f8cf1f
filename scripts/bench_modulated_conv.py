"""The speed of both forms of the modulated convolution: scaled activations, or grouped weights per image.

    python scripts/bench_modulated_conv.py [--device cuda] [--out scripts/results/modulated-conv-cpu.json]

The layers are those of a generator with channel_base 8192 and channel_max 256. Both forms take turns on the same
operands.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import click
import torch
from bench import common
from torch import Tensor
from tqdm import tqdm

from custom_ops import modulated_conv2d, setup_filter
from custom_ops.modulated_conv import Form

FORMS: tuple[Form, ...] = ("activations", "weights")
DTYPES = ("float32", "float16", "bfloat16")
LAYOUTS = {"float32": torch.contiguous_format}  # the half types run with channels last
BATCH, CHANNEL_BASE, CHANNEL_MAX = 16, 8192, 256


def make_call(resolution: int, up: int, dtype: str, device: str) -> partial[Tensor]:
    """A layer that gives images of `resolution`, but for its form."""
    draw = partial(
        torch.randn, generator=torch.Generator(device).manual_seed(0), device=device, dtype=getattr(torch, dtype)
    )
    num_in, num_out = (min(CHANNEL_BASE * factor // resolution, CHANNEL_MAX) for factor in (up, 1))
    x = draw(BATCH, num_in, resolution // up, resolution // up)
    x = x.contiguous(memory_format=LAYOUTS.get(dtype, torch.channels_last))
    x, weight, styles = (value.requires_grad_() for value in (x, draw(num_out, num_in, 3, 3), draw(BATCH, num_in)))
    return partial(
        modulated_conv2d, x, weight, styles, up=up, padding=1, resample_filter=setup_filter([1, 3, 3, 1], device=device)
    )


def forward(call: partial[Tensor], form: Form) -> Tensor:
    with torch.no_grad():
        return call(form=form)


def backward(call: partial[Tensor], form: Form) -> tuple[Tensor, ...]:
    y = call(form=form)
    return torch.autograd.grad(y, call.args, y.detach())


PASSES = {"forward": forward, "+backward": backward}


@click.command()
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(DTYPES), default=DTYPES, show_default=True)
@click.option("--resolution", "resolutions", multiple=True, type=int, default=(8, 32, 64, 128), show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="Measuring time per line, for both forms together")
@click.option("--allocator", type=click.Choice(["tuned", "default"]), default="tuned", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(
    device: str, dtypes: tuple[str, ...], resolutions: tuple[int, ...], seconds: float, allocator: str, out: Path | None
) -> None:
    """Measure both forms of the modulated convolution."""
    common.set_allocator(allocator)
    rows: list[dict[str, Any]] = []
    for dtype, resolution, up in tqdm(list(product(dtypes, resolutions, (1, 2))), unit="layer"):
        call = make_call(resolution, up, dtype, device)
        for name, run in PASSES.items():
            works = {form: partial(run, call, form) for form in FORMS}
            turns: dict[str, Callable[[], float]] = {
                form: partial(common.kernel_ms, work, device) for form, work in works.items()
            }
            times = common.take_turns(turns, seconds)
            rows.append({"dtype": dtype, "resolution_px": resolution, "up": up, "pass": name, "ms": times})
    header = ["dtype", "px", "up", "pass", "activations ms", "weights ms", "weights / activations"]
    lines = []
    for row in rows:
        activations, weights = (row["ms"][form] for form in FORMS)
        cells = [str(row[key]) for key in ("dtype", "resolution_px", "up", "pass")]
        lines.append([*cells, f"{activations:.2f}", f"{weights:.2f}", f"{weights / activations:.2f}×"])
    print(common.markdown_table(header, lines))
    if out:
        common.write_json(out, {"machine": common.describe_machine(device, allocator), "rows": rows})


if __name__ == "__main__":
    main()
