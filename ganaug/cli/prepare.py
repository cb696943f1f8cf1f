"""`ganaug prepare`: raw images to a data set with patient-disjoint folds."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, warn
from ganaug.config import MOST_FOLDS, SCHEME_NAMES, SOURCE_NAMES, STAINS, is_power_of_two
from ganaug.workspace import creation_time

if TYPE_CHECKING:
    from ganaug.data.prepare.pipeline import Prepared

_Command = Callable[..., None]
_Decorator = Callable[[_Command], _Command]


def _options(*options: _Decorator) -> _Decorator:
    """Several click options as one decorator, in the order given."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_IMAGES = _options(
    click.option("--resolution", "resolution_px", type=click.IntRange(16, 1024), default=64, show_default=True,
                 help="Side of the images, in pixels"),
    click.option("--fit", metavar="NAME", help="crop: the central square; tile: a grid of squares; resize: all of it, "
                 "whatever the aspect; not for the phantom  [default: crop]"),
    click.option("--field-px", type=int,
                 help="Side of the square that becomes one image, in the files' pixels  [default: the shorter side; "
                      "tile: the resolution]"),
    click.option("--field-um", type=float, help="The same in micrometres, where the source knows its scale"),
    click.option("--whole-copies-only", is_flag=True, default=None,
                 help="Search copies of whole images only, which is faster: none that are cropped, rotated, shifted, "
                      "framed or inverted, and no overlaps"),
    click.option("--stain", default="none", show_default=True, metavar="NAME",
                 help=f"Stain normalisation, fitted on each fold's training patients: {', '.join(STAINS)}"),
)  # fmt: skip
_FOLDS = _options(
    click.option("--folds", "num_folds", type=click.IntRange(3, MOST_FOLDS),
                 help="Parts into which the patients are cut  [default: 5; quick phantom: 4]"),
    click.option("--scheme", metavar="NAME", help=f"{', '.join(SCHEME_NAMES)}  [default: k-fold]"),
    click.option("--repeats", "num_repeats", type=click.IntRange(2, MOST_FOLDS),
                 help="repeated: how many times the patients are divided into folds"),
    click.option("--fold-by", "by", metavar="NAME",
                 help="What is kept together: group (a patient) or site (a laboratory)  [default: group; tcga-brca: "
                      "site]"),
    click.option("--split", "fixed", metavar="CSV|NAME",
                 help="A fixed split: a CSV of group,part, or a name that the source offers (bach: patient-safe; "
                      "folder: parts, where the folders are train, val and test)"),
    click.option("--folds-csv", metavar="CSV",
                 help="The folds that a paper or another workspace lists, as `ganaug export --folds-csv` writes them"),
)  # fmt: skip
_SOURCES = _options(
    click.option("--layout", metavar="LEVELS",
                 help="folder: what the folders are, from the top, such as class/magnification/patient; levels are "
                      "class, part (train, val, test), magnification, site, patient and other  [default: inferred]"),
    click.option("--near-names", metavar="NAME",
                 help="Classes, patients and sites that differ in case, spaces, Unicode form or zeros alone: merge or "
                      "keep  [default: patients and sites are kept, classes refused]"),
    click.option("--same-patient", metavar="CSV", help="Names that are of one patient, a CSV of patient,same_as"),
    click.option("--magnification", metavar="X", help="breakhis: 40, 100, 200, 400 or all  [default: 200]"),
    click.option("--task", metavar="NAME", help="breakhis, tcga-brca: binary or subtype  [default: binary]"),
    click.option("--group", metavar="NAME",
                 help="breakhis: what counts as a patient, accession or folder  [default: accession]"),
    click.option("--part", metavar="NAME", help="bach: train, or test, the images without labels  [default: train]"),
    click.option("--patients-csv", metavar="CSV", help="bach: which image is of which patient, file,patient"),
    click.option("--expression", metavar="TABLE", help="tcga-brca: genes × samples, of UCSC Xena or cBioPortal"),
    click.option("--clinical", metavar="TABLE", help="tcga-brca: PAM50 calls, of UCSC Xena or cBioPortal"),
    click.option("--um-per-px", type=float, help="bach, breakhis, folder, tcga-brca, zip: micrometres per pixel "
                 "of the files, whatever the source says"),
    click.option("--patients", "num_patients", type=click.IntRange(4), help="phantoms: how many patients are drawn"),
    click.option("--images-per-patient", type=click.IntRange(1), help="phantoms: how many images of each"),
)  # fmt: skip


@click.command(epilog=reference.PREPARE)
@click.option("--dataset", required=True, metavar="NAME", help=f"Source: {', '.join(SOURCE_NAMES)}")
@click.option("--source", help="Folder, .zip or .tar.gz archive, or CSV manifest to read; the phantom needs none")
@click.option("--name", help="Name of the data set in the workspace  [default: that of the source]")
@click.option(
    "--exclude-class", "exclude_classes", multiple=True, metavar="NAME", help="Leave a class out; may be repeated"
)
@_IMAGES
@_FOLDS
@_SOURCES
@click.option("--skip-bad", is_flag=True, help="Exit with status 0 although some images were skipped")
@common_options("workspace", "preset", "seed", "dry-run")
def prepare(common: Common, dataset: str, skip_bad: bool, **options: Any) -> None:
    """Read raw images, write one HDF5 file and its patient-disjoint folds.

    Images that cannot be used are skipped and listed, one line each; the others are prepared. The exit status is then
    2, or 0 with --skip-bad. Nothing is downloaded.
    """
    from ganaug.data.hdf5.attributes import NOTES
    from ganaug.data.prepare.options import prepare_config
    from ganaug.data.prepare.pipeline import plan_preparation, prepare_dataset

    config = prepare_config(dataset, options, preset=common.preset, seed=common.seed)
    if common.dry_run:
        plan = plan_preparation(config)
        lines = [f"{key}: {value}" for key, value in plan.items() if key != NOTES]
        common.report(plan, "\n".join([*lines, *(f"note: {note}" for note in plan[NOTES])]))
        return
    prepared = prepare_dataset(common.workspace, config, progress=True)
    _report(common, prepared)
    _warn_of_generators(common, prepared)
    if prepared.skipped and not skip_bad:
        number = len(prepared.skipped)
        warn(
            f"ganaug: {number} {'image was' if number == 1 else 'images were'} skipped and the others are prepared;"
            " fix the files and prepare again, or accept this with --skip-bad"
        )
        raise click.exceptions.Exit(2)


def _warn_of_generators(common: Common, prepared: "Prepared") -> None:
    """Say what the data set cannot do: serve generators of an earlier version, or be generated at its resolution."""
    table, name = prepared.table, prepared.path.stem
    if not is_power_of_two(table.resolution_px):
        warn(f"note: `ganaug train-gan` needs a power of two, and {table.resolution_px} px is none; prepare with "
             f"--resolution {2 ** (table.resolution_px.bit_length() - 1)} to train a generator")  # fmt: skip
    earlier = [run for run in common.workspace.gans(name) if creation_time(run.config) < table.attrs["created"]]
    if earlier:
        warn(f"note: generators of {name} that were trained before ({len(earlier)}) serve it no more where its images "
             "or folds changed; run `ganaug train-gan` again")  # fmt: skip


def _report(common: Common, prepared: "Prepared") -> None:
    """Print the data set to stdout, and to stderr the notes and what was skipped, one line each."""
    from ganaug.data.folds.folds import balance_table

    for note in prepared.notes:
        warn(f"note: {note}")
    for path, reason in prepared.skipped:
        warn(f"skipped: {path}: {reason}")
    table = prepared.table
    folds = balance_table(table, prepared.folds) if prepared.folds else "no labels, so no folds"
    common.report(prepared.to_dict(), f"{folds}\n{prepared.path}: {len(table)} images")
