"""`ganaug inspect`: what a file of this tool holds."""

from pathlib import Path

import click

from ganaug.cli.common import Common, common_options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--sheet", type=click.Path(path_type=Path, dir_okay=False), metavar="PNG", help="Also write a contact sheet here"
)
@common_options()
def inspect(common: Common, file: Path, sheet: Path | None) -> None:
    """Print what FILE holds: classes, patients, resolution, provenance, copies found, what was skipped.

    FILE is anything that this tool writes: a data set or synthetic images (.h5), the weights of a generator or a
    classifier or a training state (.safetensors), folds, plans and verdicts (.json), records (.jsonl), predictions
    (.npz), an export (.zip).
    """
    from ganaug.inspect import describe, write_sheet

    description, text = describe(file)
    if sheet:
        write_sheet(file, sheet)
    common.report(description, text)
