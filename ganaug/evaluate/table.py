"""The rows of image scores as a table to read."""

from collections.abc import Callable, Sequence
from typing import Any

Column = tuple[str, Callable[[dict[str, Any]], str]]

_DISTANCES: Sequence[Column] = (
    ("class", lambda row: row["class"]),
    ("value", lambda row: _number(row["value"])),
    ("real", lambda row: str(row["n_real"])),
    ("synthetic", lambda row: str(row["n_fake"])),
    ("at n", lambda row: str(row["n_half"] or "–")),
    ("value", lambda row: _number(row["value_at_half"])),
    ("real floor", lambda row: _number(row["real_floor"])),
    ("±", lambda row: _number(row["real_floor_std"])),
)
_DIVERSITY: Sequence[Column] = (
    ("class", lambda row: row["class"]),
    ("synthetic", lambda row: _number(row["value"])),
    ("real", lambda row: _number(row["real_value"])),
)


def format_rows(rows: list[dict[str, Any]]) -> str:
    """One small table for each metric, and below them the notes on what could not be computed.

    Of a distance: its value between all the real images and the synthetic ones, then, between n and n images, its value
    and its real floor (two halves of the real images that share no patient).
    """
    blocks = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        of_metric = [row for row in rows if row["metric"] == metric]
        columns = _DISTANCES if "real_floor" in of_metric[0] else _DIVERSITY
        if any(row["value"] is not None for row in of_metric):
            blocks.append(f"{metric}\n" + _table([[cell(row) for _, cell in columns] for row in of_metric], columns))
    notes = dict.fromkeys(f"{row['metric']}: {row['note']}" for row in rows if row.get("note"))
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def _table(lines: list[list[str]], columns: Sequence[Column]) -> str:
    """Lines of cells under their headings; the first column to the left, the numbers to the right."""
    cells = [[heading for heading, _ in columns], *lines]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join(
        "  " + "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
        for line in cells
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
