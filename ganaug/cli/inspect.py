"""`ganaug inspect`: what a data set or a synthetic file holds."""

from pathlib import Path

import click

from ganaug.cli.common import Common, common_options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--sheet", type=click.Path(path_type=Path, dir_okay=False), metavar="PNG", help="Also write a contact sheet here"
)
@common_options
def inspect(common: Common, file: Path, sheet: Path | None) -> None:
    """Say what FILE holds: classes, patients, resolution, provenance, what was left out."""
    from ganaug.data.inspect import contact_sheet, describe, format_description

    description = describe(file)
    if sheet and not common.dry_run:
        contact_sheet(file, sheet)
    common.tell(description, format_description(description))
