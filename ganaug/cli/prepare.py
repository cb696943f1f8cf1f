"""`ganaug prepare`: raw images to a data set with patient-disjoint folds."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ganaug import presets
from ganaug.cli.common import Common, common_options, warn
from ganaug.config import PrepareConfig

if TYPE_CHECKING:
    from ganaug.data.prepare import Prepared


@click.command()
@click.option("--dataset", required=True, help="Source: phantom (built in), breakhis, or folder (your own images)")
@click.option("--source", help="Folder, .tar.gz archive or CSV manifest to read; the phantom needs none")
@click.option("--name", help="Name of the data set in the workspace  [default: that of the source]")
@click.option(
    "--resolution", "resolution_px", type=int, default=64, show_default=True, help="Side of the images, in pixels"
)
@click.option("--magnification", default="200", show_default=True, help="BreakHis: 40, 100, 200, 400 or all")
@click.option("--task", default="binary", show_default=True, help="BreakHis: binary or subtype (eight classes)")
@click.option(
    "--group", default="accession", show_default=True, help="BreakHis: what counts as a patient, accession or folder"
)
@click.option("--patients", "num_patients", type=int, help="Phantom: how many patients are drawn")
@click.option("--images-per-patient", type=int, help="Phantom: how many images of each")
@click.option(
    "--folds", "num_folds", type=int, help="Parts into which the patients are cut  [default: 5; quick phantom: 4]"
)
@click.option(
    "--exclude-class", "exclude_classes", multiple=True, metavar="NAME", help="Leave a class out; may be repeated"
)
@click.option("--skip-bad", is_flag=True, help="Exit with status 0 although some images had to be left out")
@common_options
def prepare(
    common: Common,
    dataset: str,
    source: str | None,
    name: str | None,
    resolution_px: int,
    magnification: str,
    task: str,
    group: str,
    num_patients: int | None,
    images_per_patient: int | None,
    num_folds: int | None,
    exclude_classes: tuple[str, ...],
    skip_bad: bool,
) -> None:
    """Read raw images, write one HDF5 file and its patient-disjoint folds.

    Images that cannot be used are listed, one line each, and left out; the others are prepared. The exit status is then
    2, or 0 with --skip-bad.
    """
    from ganaug.data.prepare import plan_preparation, prepare_dataset

    phantom, folds = presets.phantom(common.preset)
    if dataset != "phantom":
        folds = replace(folds, num_folds=5)
    config = PrepareConfig(
        dataset=dataset,
        source=source,
        name=name or dataset,
        resolution_px=resolution_px,
        magnification=magnification,
        task=task,
        group=group,
        folds=replace(folds, num_folds=num_folds or folds.num_folds, seed=common.seed),
        exclude_classes=exclude_classes,
        phantom=replace(
            phantom,
            resolution_px=resolution_px,
            um_per_px=phantom.um_per_px * phantom.resolution_px / resolution_px,  # the same field, drawn finer
            num_patients=num_patients or phantom.num_patients,
            images_per_patient=images_per_patient or phantom.images_per_patient,
        ),
        seed=common.seed,
    )
    if common.dry_run:
        plan = plan_preparation(config)
        common.tell(plan, "\n".join(f"{key}: {value}" for key, value in plan.items()))
        return
    prepared = prepare_dataset(common.workspace, config, progress=True)
    _tell(common, prepared)
    if prepared.left_out and not skip_bad:
        num_left_out = len(prepared.left_out)
        warn(
            f"ganaug: {num_left_out} of {len(prepared.table) + num_left_out} images were left out and the others are"
            " prepared; mend the files and prepare again, or accept this with --skip-bad"
        )
        raise click.exceptions.Exit(2)


def _tell(common: Common, prepared: "Prepared") -> None:
    """The data set on stdout; on stderr what was left out, a line each, and what there is to note."""
    from ganaug.data.folds import balance_table

    for notice in prepared.notices:
        warn(f"note: {notice}")
    for path, reason in prepared.left_out:
        warn(f"left out: {path}: {reason}")
    table = prepared.table
    counts = dict(zip(table.class_names, table.class_counts().tolist()))
    common.tell(
        {"file": str(prepared.path), "images": len(table), "classes": counts, "left_out": prepared.left_out},
        f"{balance_table(table, prepared.folds)}\n{prepared.path}: {len(table)} images",
    )
