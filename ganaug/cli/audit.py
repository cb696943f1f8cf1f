"""`ganaug audit`: whether patients, sites, files or pictures stand in more than one part of a split."""

from pathlib import Path

import click

from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, warn
from ganaug.errors import ConfigError, private

SHOWN = 20  # findings and skipped files on the terminal
_SOURCE = "Folder, archive, CSV or .h5 file; may be repeated"


@click.command(epilog=reference.AUDIT)
@click.option("--train", multiple=True, metavar="SOURCE", help=f"Training images. {_SOURCE}")
@click.option("--validation", multiple=True, metavar="SOURCE", help="Validation images, likewise")
@click.option("--test", multiple=True, metavar="SOURCE", help="Test images, likewise")
@click.option("--synthetic", multiple=True, metavar="SOURCE", help="Synthetic images, which have no patients; likewise")
@click.option("--ignore", multiple=True, metavar="NAME",
              help="What is no finding: patient, site, file, copy or overlap; may be repeated")  # fmt: skip
@click.option("--csv", "table", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Table to write, a row for each finding")  # fmt: skip
@common_options("dry-run")
def audit(
    common: Common,
    train: tuple[str, ...],
    validation: tuple[str, ...],
    test: tuple[str, ...],
    synthetic: tuple[str, ...],
    ignore: tuple[str, ...],
    table: Path | None,
) -> None:
    """Compare the parts of a split: do patients, sites, files or pictures stand in two of them?

    Exit status 0: none does; 1: something does; 2: the input cannot be read. No generator and no workspace is needed.
    """
    from ganaug.data.audit.audit import KINDS, to_json
    from ganaug.data.audit.audit import audit as compare
    from ganaug.data.audit.inputs import PARTS, open_input
    from ganaug.data.audit.table import require_writable, write_table

    given = dict(zip(PARTS, (train, validation, test, synthetic), strict=True))
    if sum(map(bool, given.values())) < 2:
        flags = ", ".join(f"--{part}" for part in PARTS)
        raise ConfigError("fewer than two parts to compare", expected=f"two or more of {flags}")
    for kind in ignore:
        if kind not in KINDS:
            raise ConfigError(f"--ignore {kind}", expected=" or ".join(KINDS))
    if table is not None:
        require_writable(table)
    inputs = [open_input(part, source) for part, sources in given.items() for source in sources]
    if common.dry_run:
        entries = [entry for found in inputs for entry in found.entries]
        plan = {
            part: {"images": len(own), "patients": len({entry.patient for entry in own} - {""})}
            for part in given
            if (own := [entry for entry in entries if entry.part == part])
        }
        text = [f"{part}: {plan[part]['images']} images, {plan[part]['patients']} patients known" for part in plan]
        common.report(plan, "\n".join(text))
        return
    found = compare(inputs, ignored=ignore, progress=True)
    for note in found.notes:
        warn(f"note: {note}")
    for path, reason in found.skipped[:SHOWN]:
        warn(f"skipped: {private(path)}: {reason}")
    if len(found.skipped) > SHOWN:
        warn(f"note: {len(found.skipped) - SHOWN} more files are skipped")
    if table is not None:
        write_table(table, found)
    lines = [
        f"{pair.kind}: {private(pair.a.name)} ({pair.a.part}) and {private(pair.b.name)} ({pair.b.part}): {pair.how}"
        for pair in found.pairs[:SHOWN]
    ]
    if len(found.pairs) > SHOWN:
        lines.append(f"and {len(found.pairs) - SHOWN} more findings; --csv writes all")
    counts = ", ".join(f"{kind} {number}" for kind, number in found.counts().items() if kind not in ignore)
    common.report(to_json(found), "\n".join([*lines, f"findings: {counts}"]))
    if found.pairs:
        raise click.exceptions.Exit(1)
