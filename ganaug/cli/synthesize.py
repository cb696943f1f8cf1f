"""`ganaug synthesize`: images of every class from trained generators."""

from dataclasses import replace
from pathlib import Path

import click

from ganaug.cli.common import Common, common_options
from ganaug.cli.find import find_generators, fold_option


@click.command()
@click.option("--dataset", help="Data set whose generators are used  [default: that of the generator configured last]")
@fold_option
@click.option("--per-class", type=int, help="Images of each class  [default: 500; quick: 250]")
@click.option(
    "--psi",
    type=float,
    default=1.0,
    show_default=True,
    help="Truncation, 0 to 1; below 1 trades variety for typicality",
)
@click.option(
    "--png",
    "png_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write folders of PNGs here",
)
@common_options
def synthesize(
    common: Common, dataset: str | None, fold: str | None, per_class: int | None, psi: float, png_folder: Path | None
) -> None:
    """Write synthetic images as HDF5, with the proof of what their generator saw."""
    from ganaug import presets
    from ganaug.synthesize import export_pngs, plan_synthesis, synthesize

    config = presets.synthesis(common.preset)
    config = replace(config, per_class=per_class or config.per_class, psi=psi, seed=common.seed)
    runs = find_generators(common, dataset, fold)
    orders = [plan_synthesis(common.workspace, run, config) for run in runs]
    if common.dry_run:
        files = [str(order.target) for order in orders]
        common.tell({"files": files, "per_class": config.per_class}, "\n".join(f"would write {file}" for file in files))
        return
    written = []
    for order in orders:
        written.append(synthesize(order, device=common.device, progress=True))
        if png_folder:
            export_pngs(order.target, png_folder / order.run.root.name)
    common.tell({"files": [str(path) for path in written]}, "\n".join(map(str, written)))
