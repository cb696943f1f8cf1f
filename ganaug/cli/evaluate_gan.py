"""`ganaug evaluate-gan`: how far the synthetic images are from the real ones, and real ones from each other."""

from pathlib import Path

import click

from ganaug import presets
from ganaug.cli.common import Common, common_options, warn
from ganaug.cli.find import (
    chosen_folds,
    extractor_option,
    find_dataset,
    fold_option,
    gan_option,
    synthetic_option,
    verify_option,
    weights_option,
)


@click.command()
@click.option("--dataset", help="Data set whose synthetic images are scored  [default: the one prepared last]")
@fold_option
@gan_option
@synthetic_option
@extractor_option
@weights_option
@verify_option
@common_options
def evaluate_gan(
    common: Common,
    dataset: str | None,
    fold: str | None,
    gans: tuple[str, ...],
    files: tuple[Path, ...],
    extractor: str | None,
    weights_dir: Path | None,
) -> None:
    """Score synthetic images: Fréchet and kernel distance per class and overall, and LPIPS diversity.

    FID and KID are computed with Inception's weights only; a distance of other features is named after them.
    """
    from ganaug.evaluate.table import format_rows
    from ganaug.generate.find import Choice
    from ganaug.study.request import StudyRequest, find_supplies, require_scorable, score_images

    data = find_dataset(common, dataset)
    compute = common.compute(weights_dir=weights_dir)
    request = StudyRequest(
        data,
        chosen_folds(common, data, fold),
        presets.study(common.preset),
        extractor=extractor,
        choice=Choice(gans, files),
    )
    supplies = find_supplies(common.workspace, request)
    require_scorable(request, supplies, compute)
    if common.dry_run:
        scored = [str(supplied.synthetic) for supplied in supplies]
        common.tell({"files": scored}, "\n".join(f"would score {file}" for file in scored))
        return
    for supplied in supplies:
        warn(f"note: {supplied.sentence}")
    rows = score_images(common.workspace, request, supplies, compute)
    tables = []
    for supplied in supplies:
        of_fold = [row for row in rows if row["fold"] == supplied.fold]
        tables.append(f"fold {supplied.fold}: {supplied.synthetic.name}\n{format_rows(of_fold)}")
    common.tell({"rows": rows}, "\n\n".join(tables))
