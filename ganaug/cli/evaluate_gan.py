"""`ganaug evaluate-gan`: what the synthetic images are worth, per class, next to real images of other patients."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganaug import presets
from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, warn
from ganaug.cli.find import (
    choose_folds,
    extractors_option,
    find_dataset,
    fold_option,
    gan_option,
    synthetic_option,
    verify_option,
    weights_option,
)

if TYPE_CHECKING:
    from ganaug.evaluate.extractors.choice import ExtractorChoice
    from ganaug.generate.find import Supply


@click.command(epilog=reference.EVALUATE_GAN)
@click.option("--dataset", help="Data set whose synthetic images are judged  [default: the one prepared last]")
@fold_option
@gan_option
@synthetic_option
@extractors_option
@click.option(
    "--against",
    type=click.Choice(["validation", "held-out"]),
    default="validation",
    show_default=True,
    help="Patients that the images are held against besides the training ones; held-out: test patients, too, for a "
    "last report that chooses nothing any more",
)
@weights_option
@verify_option
@common_options("workspace", "preset", "device", "dry-run")
def evaluate_gan(
    common: Common,
    dataset: str | None,
    fold: str | None,
    gans: tuple[str, ...],
    files: tuple[Path, ...],
    extractors: tuple["ExtractorChoice", ...],
    against: str,
    weights_dir: Path | None,
) -> None:
    """Judge synthetic images: faithful, diverse, of the class asked for, and no copies; and write a page of it.

    Every figure stands next to the same figure between real images of different patients. FID and KID are computed with
    Inception's weights only; a distance of other features is named after them.
    """
    from ganaug.evaluate.table import format_judgement
    from ganaug.generate.find import Choice, num_drawn, require_supplies
    from ganaug.generate.score_supplies import judge_images, require_judges

    data = find_dataset(common, dataset)
    folds, compute = choose_folds(common, data, fold), common.compute(weights_dir=weights_dir)
    at_least = num_drawn(data, folds, presets.study(common.preset).ratio)  # the files that a study would take
    supplies = require_supplies(common.workspace, data, folds, at_least=at_least, choice=Choice(gans, files))
    names = require_judges(data, supplies, extractors, compute)
    if common.dry_run:
        plans = [
            {"synthetic": str(supply.synthetic), "page": str(common.workspace.evaluation(supply.synthetic))}
            for supply in supplies
        ]
        lines = [f"would judge {plan['synthetic']} by {', '.join(names)} and write {plan['page']}" for plan in plans]
        common.report({"files": plans, "extractors": names}, "\n".join(lines))
        return
    for supply in supplies:
        warn(f"note: {supply.sentence}")
    pages, rows, findings = [], [], []
    judged = judge_images(
        common.workspace, data, supplies, choices=extractors, against=against, compute=compute,
        command=lambda supply: command_of(supply, extractors, against),
    )  # fmt: skip
    for supply, (judgement, page) in zip(supplies, judged):
        pages.append(str(page))
        rows += judgement.to_rows()
        findings += [{"fold": supply.fold, **finding.to_dict()} for finding in judgement.findings]
        if not common.as_json:
            common.report(
                {}, f"fold {supply.fold}: {supply.synthetic.name}\n\n{format_judgement(judgement)}\n\n{page}\n"
            )
    if common.as_json:
        common.report({"pages": pages, "findings": findings, "rows": rows}, "")


def command_of(supply: "Supply", extractors: tuple["ExtractorChoice", ...], against: str) -> str:
    """The command that makes the same page again from the same workspace; files are named without their folders."""
    options = [f"--extractor {choice.name}" + (f"={choice.file.name}" if choice.file else "") for choice in extractors]
    named = f"--fold {supply.fold} --synthetic {supply.synthetic.name}"
    return " ".join(["ganaug evaluate-gan", f"--dataset {supply.run.dataset}", named, *options, f"--against {against}"])
