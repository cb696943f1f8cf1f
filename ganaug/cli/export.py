"""`ganaug export`: a data set or synthetic images as the archive that other generators are trained from."""

from pathlib import Path

import click

from ganaug.cli.common import Common, common_options, warn
from ganaug.cli.find import verify_option


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--zip", "out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="OUT.zip",
              help="Archive to write: PNGs and a dataset.json, as StyleGAN reads them")  # fmt: skip
@click.option("--fold", type=int, metavar="K", help="Only one part of this fold, counted from 0  [default: all images]")
@click.option("--part", type=click.Choice(("train", "val", "test")), help="Which part of the fold  [default: train]")
@click.option("--with-ids", is_flag=True, help="Name patients, laboratories and images instead of writing digests")
@verify_option
@common_options("workspace", "dry-run")
def export(common: Common, file: Path, out: Path, fold: int | None, part: str | None, with_ids: bool) -> None:
    """Write the images of FILE, an .h5 or the name of a prepared data set, as a StyleGAN dataset.zip.

    A generator may serve a fold only if it was trained on the training patients of that fold: give --fold. The archive
    names no patient, laboratory or file; --with-ids is for those who may hand such names on.
    """
    from ganaug.data.export import export_zip, select

    path = file if file.is_file() or file.suffix == ".h5" else common.workspace.dataset(str(file))
    selection = select(path, fold, part)
    counts = dict(zip(selection.table.class_names, selection.table.class_counts(selection.indices).tolist()))
    num_images = len(selection.indices)
    if selection.note:
        warn(f"note: {selection.note}")
    if not common.dry_run:
        export_zip(selection, out, with_ids=with_ids, progress=True)
    would = "would write " if common.dry_run else ""
    common.report({"file": str(out), "images": num_images, "classes": counts}, f"{would}{out}: {num_images} images")
