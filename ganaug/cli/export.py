"""`ganaug export`: images as the archive that other generators are trained from, and folds as a CSV to publish."""

from pathlib import Path

import click

from ganaug.cli.common import Common, common_options, warn
from ganaug.cli.find import verify_option
from ganaug.errors import ConfigError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--zip", "out", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.zip",
              help="Archive to write: PNGs and a dataset.json, as StyleGAN reads them")  # fmt: skip
@click.option("--folds-csv", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.csv",
              help="Table to write in place of images: a row for each image, a column for each fold, its part in it; "
                   "`ganaug prepare --folds-csv` reads it")  # fmt: skip
@click.option("--fold", type=int, metavar="K", help="Only one part of this fold, counted from 0  [default: all images]")
@click.option("--part", type=click.Choice(("train", "val", "test")), help="Which part of the fold  [default: train]")
@click.option("--with-ids", is_flag=True, help="Name patients, laboratories and images instead of writing digests")
@verify_option
@common_options("workspace", "dry-run")
def export(
    common: Common,
    file: Path,
    out: Path | None,
    folds_csv: Path | None,
    fold: int | None,
    part: str | None,
    with_ids: bool,
) -> None:
    """Write the images of FILE, an .h5 or the name of a prepared data set, as a StyleGAN dataset.zip; or its folds.

    A generator may serve a fold only if it was trained on the training patients of that fold: give --fold. Neither
    archive nor table names a patient, laboratory or file; --with-ids is for those who may hand such names on. A paper
    on public images publishes its splits with --folds-csv and --with-ids; without, only who holds the same images of
    the same patients can read them.
    """
    from ganaug.data.export import export_zip, select

    if (out is None) == (folds_csv is None) or (folds_csv is not None and (fold, part) != (None, None)):
        raise ConfigError(
            "neither or both of --zip and --folds-csv, or --folds-csv with --fold or --part",
            expected="--zip OUT.zip, or --folds-csv OUT.csv alone",
        )
    path = file if file.is_file() or file.suffix == ".h5" else common.workspace.dataset(str(file))
    if out is None:
        assert folds_csv is not None
        _export_folds(common, path, folds_csv, with_ids)
        return
    selection = select(path, fold, part)
    counts = dict(zip(selection.table.class_names, selection.table.class_counts(selection.indices).tolist()))
    num_images = len(selection.indices)
    if selection.note:
        warn(f"note: {selection.note}")
    if not common.dry_run:
        export_zip(selection, out, with_ids=with_ids, progress=True)
    would = "would write " if common.dry_run else ""
    common.report({"file": str(out), "images": num_images, "classes": counts}, f"{would}{out}: {num_images} images")


def _export_folds(common: Common, path: Path, out: Path, with_ids: bool) -> None:
    from ganaug.data.export import open_with_folds
    from ganaug.data.folds.publish import export_folds
    from ganaug.workspace import require_folder

    require_folder(out, "--folds-csv")
    dataset = open_with_folds(path)
    groups, number = len(dataset.folds.groups), dataset.folds.num_folds
    named = f"names {groups} patients and their files: hand it on only where these names are public"
    warn(f"note: {out} {named if with_ids else 'names images and patients by keyed digests; --with-ids names them'}")
    num_rows = 0 if common.dry_run else export_folds(dataset, out, with_ids=with_ids)
    values = {"file": str(out), "images": num_rows or None, "patients": groups, "folds": number}
    would, rows = ("would write ", "") if common.dry_run else ("", f"{num_rows} images, ")
    common.report(values, f"{would}{out}: {rows}{groups} patients, {number} folds")
