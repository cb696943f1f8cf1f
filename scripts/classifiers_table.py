"""The table of all classifiers: parameters, FLOPs, sources, and the licences of the published weights.

    python scripts/classifiers_table.py [README.md]

Prints the table as Markdown, or writes it into that file in place of the one there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import torch

from classifiers.registry import CLASSIFIERS, build

NUM_CLASSES = 4  # as BACH has; every class more adds one row to the last layer
SIZE_PX = 224
COLUMNS = (
    "classifier", "parameters", f"GFLOPs at {SIZE_PX} px", "parameters of the small size", "source",
    "published weights that fit", "their licence",
)  # fmt: skip
NONE = "–"


@dataclass(frozen=True)
class Cost:
    """What a classifier costs."""

    num_parameters: int
    num_flops: int | None  # of one image forward, twice its multiply-adds; None where the input is more than an image


def measure(name: str, num_classes: int = NUM_CLASSES) -> Cost:
    """The cost of a classifier for images of SIZE_PX, counted on tensors without memory.

    FLOPs are those of convolutions, matrix products and attention, as torch.utils.flop_counter has them.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = build(name, num_classes, image_size_px=SIZE_PX).eval()
        num_parameters = sum(parameter.numel() for parameter in model.parameters())
        if name in CLASSIFIERS and CLASSIFIERS[name].inputs != "image":
            return Cost(num_parameters, None)
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, SIZE_PX, SIZE_PX))
    return Cost(num_parameters, counter.get_total_flops())


def markdown_table() -> str:
    """A Markdown table with a row for each classifier of the registry; a small size is a column of its full one."""
    smalls = {entry.small for name, entry in CLASSIFIERS.items() if entry.small != name}
    rows = [COLUMNS, ("---", *["---:"] * 3, *["---"] * 3)]
    rows += [tuple(_cells(name)) for name in CLASSIFIERS if name not in smalls]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(name: str) -> Iterator[str]:
    entry, cost = CLASSIFIERS[name], measure(name)
    yield f"`{name}`"
    yield f"{cost.num_parameters:,}"
    yield NONE if cost.num_flops is None else f"{cost.num_flops / 1e9:.1f}"
    yield f"{measure(entry.small).num_parameters:,}" if entry.small else NONE
    yield entry.source
    yield ", ".join((entry.weights or {}).values()) or NONE
    yield entry.licence or NONE


def replace_table(text: str, table: str) -> str:
    """A Markdown text with this table in place of the one whose first column has the same heading.

    Raises ValueError where the text has no such table.
    """
    lines = text.split("\n")
    heading = f"| {COLUMNS[0]} |"
    starts = [number for number, line in enumerate(lines) if line.startswith(heading)]
    if not starts:
        raise ValueError(f"no table of classifiers; expected a line that begins with {heading!r}; write it first")
    end = start = starts[0]
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return "\n".join([*lines[:start], table, *lines[end:]])


@click.command(help="Print the table of all classifiers as Markdown, or write it into FILE in place of the one there.")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path | None) -> None:
    if file is None:
        click.echo(markdown_table())
        return
    try:
        file.write_text(replace_table(file.read_text(encoding="utf-8"), markdown_table()), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{file}: {error}") from error


if __name__ == "__main__":
    main()
