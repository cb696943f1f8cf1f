"""`ganaug evaluate-gan`: what the synthetic images are worth, per class, next to real images of other patients."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganaug import presets
from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, duration, warn
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
from ganaug.config.choices import HELD_OUT, KNOWS_TEST_PATIENTS, VALIDATION

if TYPE_CHECKING:
    from ganaug.evaluate.extractors.choice import ExtractorChoice
    from ganaug.evaluate.judgement import ScoredFile


@click.command(epilog=reference.EVALUATE_GAN)
@click.option("--dataset", help="Data set whose synthetic images are judged  [default: the one prepared last]")
@fold_option
@gan_option
@synthetic_option
@extractors_option
@click.option(
    "--against",
    type=click.Choice([VALIDATION, HELD_OUT]),
    default=VALIDATION,
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
    from ganaug.generate.find import Choice
    from ganaug.generate.score_supplies import judge_images, plan_judging
    from ganaug.generate.supplies import num_drawn, require_supplies

    data = find_dataset(common, dataset)
    folds, compute = choose_folds(common, data, fold), common.compute(weights_dir=weights_dir)
    at_least = num_drawn(data, folds, presets.study(common.preset).ratio)  # the files that a study would take
    supplies = require_supplies(common.workspace, data, folds, at_least=at_least, choice=Choice(gans, files))
    plans = plan_judging(
        common.workspace, data, supplies, choices=extractors, against=against, compute=compute, is_timed=common.dry_run
    )
    if common.dry_run:
        lines = [
            f"would judge {plan.synthetic} by {', '.join(plan.extractors)} and write {plan.page}; about "
            f"{duration(plan.seconds)} for the features of {plan.num_images} images, and a few minutes for the rest"
            for plan in plans
        ]
        common.report({"files": [asdict(plan) for plan in plans]}, "\n".join(lines))
        return
    for supply in supplies:
        warn(f"note: {supply.sentence}")
    if against == HELD_OUT:
        warn(f"note: {KNOWS_TEST_PATIENTS}")
    command = command_of(common, extractors, against, weights_dir)
    judged = judge_images(
        common.workspace, data, supplies, choices=extractors, against=against, compute=compute, command=command
    )
    pages, rows, findings = [], [], []
    for supply, (judgement, page) in zip(supplies, judged):
        pages.append(str(page))
        rows += judgement.to_rows()
        findings += [{"fold": supply.fold, **finding.to_dict()} for finding in judgement.findings]
        if not common.as_json:
            name = supply.synthetic.name
            common.report({}, f"fold {supply.fold}: {name}\n\n{format_judgement(judgement)}\n\n{page}\n")
    if common.as_json:
        common.report({"pages": pages, "against": against, "findings": findings, "rows": rows}, "")


def command_of(
    common: Common, extractors: tuple["ExtractorChoice", ...], against: str, weights_dir: Path | None
) -> "Callable[[ScoredFile], str]":
    """The command that makes the page of a file again from the same workspace, without the names of your own files."""
    options = [f"--extractor {choice.name}" + ("=FILE" if choice.file else "") for choice in extractors]
    options += ["--weights-dir DIR"] if weights_dir or common.compute().weights_dir else []
    options += [f"--against {against}"] if against != VALIDATION else []

    def command(about: "ScoredFile") -> str:
        named = f"--dataset {about.dataset} --fold {about.fold} --synthetic {about.synthetic}"
        return " ".join(["ganaug evaluate-gan", named, *options])

    return command
