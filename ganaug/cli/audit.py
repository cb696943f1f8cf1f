"""`ganaug audit`: whether patients, sites, files or pictures stand in more than one part of a split."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, warn
from ganaug.errors import ConfigError, private

if TYPE_CHECKING:
    from ganaug.data.audit.audit import Audit
    from ganaug.data.audit.inputs import Entry, Input

SHOWN = 20  # findings and skipped files on the terminal
_SOURCE = "Folder, archive, CSV or .h5 file; may be repeated"


@click.command(epilog=reference.AUDIT)
@click.option("--train", multiple=True, metavar="SOURCE", help=f"Training images. {_SOURCE}")
@click.option("--validation", multiple=True, metavar="SOURCE", help="Validation images, likewise")
@click.option("--test", multiple=True, metavar="SOURCE", help="Test images, likewise")
@click.option("--synthetic", multiple=True, metavar="SOURCE", help="Synthetic images, which have no patients; likewise")
@click.option("--layout", metavar="LEVELS",
              help="What the folders of folders and archives are, from the top, such as class/magnification/patient; "
                   "levels are class, part (train, val, test), magnification, site, patient and other  "
                   "[default: inferred]")  # fmt: skip
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
    layout: str | None,
    ignore: tuple[str, ...],
    table: Path | None,
) -> None:
    """Compare the parts of a split: do patients, sites, files or pictures stand in two of them?

    Exit status 0: none does; 1: something does; 2: the input cannot be read, or images of it cannot and the others
    show no finding. No generator and no workspace is needed.
    """
    from ganaug.data.audit.audit import KINDS, to_json
    from ganaug.data.audit.audit import audit as compare
    from ganaug.data.audit.inputs import PARTS, open_inputs
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
    inputs = open_inputs(given, layout)
    if common.dry_run:
        _report_plan(common, given, inputs)
        return
    found = compare(inputs, ignored=ignore, progress=True)
    _warn_of(found)
    if table is not None:
        write_table(table, found)
    lines = [f"{pair.kind}: {_place(pair.a)} and {_place(pair.b)}: {pair.how}" for pair in found.pairs[:SHOWN]]
    if len(found.pairs) > SHOWN:
        lines.append(f"and {len(found.pairs) - SHOWN} more findings; --csv writes all")
    numbers = {kind: "unknown" if n is None else n for kind, n in found.counts().items() if kind not in ignore}
    counts = ", ".join(f"{kind} {number}" for kind, number in numbers.items())
    common.report(to_json(found), "\n".join([*lines, f"findings: {counts}"]))
    if found.pairs:
        raise click.exceptions.Exit(1)
    if found.skipped:
        number = len(found.skipped)
        warn(f"ganaug: {number} image{'s' * (number > 1)} could not be read; the rest shows no finding; correct or "
             "remove what is skipped, and run the same command again")  # fmt: skip
        raise click.exceptions.Exit(2)


def _report_plan(common: Common, given: Mapping[str, Sequence[str]], inputs: "Sequence[Input]") -> None:
    """Print how many images and patients each part has; notes go to stderr."""
    for note in (note for each in inputs for note in each.notes):
        warn(f"note: {note}")
    listed = [entry for each in inputs for entry in each.listed]
    plan = {
        part: {"images": len(own), "patients": len({entry.patient for entry in own} - {""})}
        for part in given
        if (own := [entry for entry in listed if entry.part == part])
    }
    text = [f"{part}: {plan[part]['images']} images, {plan[part]['patients']} patients known" for part in plan]
    common.report(plan, "\n".join(text))


def _warn_of(found: "Audit") -> None:
    """Print the notes and what was skipped, one line each."""
    for note in found.notes:
        warn(f"note: {note}")
    for path, reason in found.skipped[:SHOWN]:
        warn(f"skipped: {_shown(path)}: {reason}")
    if len(found.skipped) > SHOWN:
        warn(f"note: {len(found.skipped) - SHOWN} more files are skipped")


def _place(entry: "Entry") -> str:
    """An image as a finding names it: all images of a synthetic file bear one name, so there the row is said too."""
    row = f", row {entry.row}" if entry.source.lower().endswith(".h5") else ""
    return f"{_shown(entry.name)} ({entry.part}{row})"


def _shown(name: str) -> str:
    """A file's name on one line, whatever characters it holds."""
    return private(name.replace("\r", "\\r").replace("\n", "\\n"))
