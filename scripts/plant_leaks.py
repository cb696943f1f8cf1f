"""Leaks of every kind, each planted in a copy of one tiny trained workspace: the command must refuse or name it.

    python scripts/plant_leaks.py [--only KIND] [--out scripts/results/leaks.json]

Each leak is followed by the command that a user would run. It is *refused* (exit status 2, a line that says why, and no
weights, images, scores or reports written), or *flagged*: a sentence of the output, or of the report, names it.
Anything else is a finding, and the exit status is 1. Two leaks cannot be detected, and name the README's paragraph
that says so.
"""

import json
import platform
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click
import torch
from leaks import cells, data, external, generators, pictures, predictions, splits, synthetic, weights
from leaks.leak import FLAGGED, REFUSED, UNDETECTABLE, Leak, Row, try_leak
from leaks.scene import Scene, make_base

KINDS: dict[str, Sequence[Leak]] = {
    "data set": data.LEAKS,
    "pictures": pictures.LEAKS,
    "split": splits.LEAKS,
    "audit": splits.AUDITS,
    "generator": generators.LEAKS,
    "synthetic images": synthetic.LEAKS,
    "external images": external.LEAKS,
    "weights": weights.LEAKS,
    "predictions": predictions.LEAKS,
    "study": cells.LEAKS,
}

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "scripts" / "results" / "leaks.json"
FINE = (REFUSED, FLAGGED, UNDETECTABLE)


def plant_all(base: Path, folder: Path, kinds: Mapping[str, Sequence[Leak]]) -> Iterator[Row]:
    """Plant each leak in a copy of the base of its own, and judge what the command does."""
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
    for number, (kind, leak) in enumerate((kind, leak) for kind, leaks in kinds.items() for leak in leaks):
        root = folder / f"leak{number}"
        shutil.copytree(base, root)
        yield try_leak(kind, leak, Scene(root), readme)
        shutil.rmtree(root)


def format_table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown, a kind at a time, with those that cannot be detected at the end."""
    lines = ["| kind | what was planted | command | outcome | what it says |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: row.outcome == UNDETECTABLE):
        cells = (row.kind, row.planted, f"`{row.command}`", row.outcome, row.sentence)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def describe(rows: Sequence[Row], seconds: float) -> str:
    """The page of the results."""
    counts = Counter(row.outcome for row in rows)
    summary = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
    return (
        "# Planted leaks\n\n"
        f"{len(rows)} leaks, each planted in a copy of a tiny trained workspace, and followed by the command that a "
        f"user would run: {summary}; {seconds / 60:.0f} minutes on one thread. *Refused*: exit status 2, one line "
        "that says why, and no weights, images, scores or reports written. *Flagged*: the command goes on, and a "
        "sentence of its output or its report names the leak. Options that only make a run short are not shown.\n\n"
        f"    python scripts/plant_leaks.py\n\n{format_table(rows)}\n"
    )


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(KINDS)), help="Kinds to plant; repeatable")
@click.option("--leak", "name", help="Plant only leaks whose name holds this text")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True,
              help="JSON to write; a table of the same name goes next to it")  # fmt: skip
def main(only: tuple[str, ...], name: str | None, out: Path) -> None:
    """Plant every leak, and print and write what became of it."""
    torch.set_num_threads(1)
    started, rows = time.perf_counter(), []
    chosen = {kind: [leak for leak in leaks if (name or "") in leak.name] for kind, leaks in KINDS.items()}
    with tempfile.TemporaryDirectory(prefix="ganaug-leaks-") as folder:
        base = make_base(Path(folder) / "base")
        for row in plant_all(base, Path(folder), {kind: chosen[kind] for kind in only or KINDS}):
            rows.append(row)
            click.echo(f"{row.outcome}: {row.kind}: {row.name} ({row.seconds:.1f} s)\n    {row.sentence}")
    seconds = round(time.perf_counter() - started, 1)
    report = {"device": f"{platform.machine()} CPU, one thread", "seconds": seconds, "rows": list(map(asdict, rows))}
    out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(describe(rows, seconds), encoding="utf-8")
    if any(row.outcome not in FINE for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
