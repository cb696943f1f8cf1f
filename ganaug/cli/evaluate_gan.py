"""`ganaug evaluate-gan`: distances of the synthetic images to the real ones, and of real ones to each other."""

from pathlib import Path

import click

from ganaug import presets
from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, warn
from ganaug.cli.find import (
    choose_folds,
    extractor_option,
    find_dataset,
    fold_option,
    gan_option,
    synthetic_option,
    verify_option,
    weights_option,
)


@click.command(epilog=reference.EVALUATE_GAN)
@click.option("--dataset", help="Data set whose synthetic images are scored  [default: the one prepared last]")
@fold_option
@gan_option
@synthetic_option
@extractor_option
@weights_option
@verify_option
@common_options("workspace", "preset", "device", "dry-run")
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
    from ganaug.evaluate.table import format_scores
    from ganaug.generate.find import Choice, num_drawn, require_supplies
    from ganaug.generate.score_supplies import require_scorable, score_images

    data = find_dataset(common, dataset)
    folds, compute = choose_folds(common, data, fold), common.compute(weights_dir=weights_dir)
    at_least = num_drawn(data, folds, presets.study(common.preset).ratio)  # the files that a study would take
    supplies = require_supplies(common.workspace, data, folds, at_least=at_least, choice=Choice(gans, files))
    require_scorable(data, supplies, extractor=extractor, weights_dir=compute.weights_dir)
    if common.dry_run:
        paths = [str(supply.synthetic) for supply in supplies]
        common.report({"files": paths}, "\n".join(f"would score {path}" for path in paths))
        return
    for supply in supplies:
        warn(f"note: {supply.sentence}")
    scores = score_images(common.workspace, data, supplies, extractor=extractor, compute=compute)
    tables = [
        f"fold {supply.fold}: {supply.synthetic.name}\n{format_scores(of_file.scores)}"
        for supply, of_file in zip(supplies, scores, strict=True)
    ]
    common.report({"rows": [row for of_file in scores for row in of_file.to_rows()]}, "\n\n".join(tables))
