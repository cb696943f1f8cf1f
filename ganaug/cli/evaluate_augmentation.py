"""`ganaug evaluate-augmentation`: the main job, from a data set and its generators to a verdict and a report."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import click

from classifiers.config import Augmentation
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
from ganaug.errors import ConfigError


@click.command()
@click.option("--dataset", help="Data set to study  [default: the one prepared last]")
@fold_option
@click.option("--classifier", "classifiers", multiple=True, metavar="NAME",
              help="Classifier to train; may be repeated  [default: by preset]")  # fmt: skip
@click.option(
    "--pretrained",
    multiple=True,
    metavar="NAME=FILE",
    help="Local file of weights, whole or of a backbone, that a classifier starts from; may be repeated",
)
@click.option("--pretrained-saw", multiple=True, metavar="NAME=TEXT",
              help="Your word for what these weights were trained on, which the report repeats")  # fmt: skip
@click.option("--seeds", "num_seeds", type=click.IntRange(1, 100), help="Training runs of each cell")
@click.option("--steps", "num_steps", type=click.IntRange(1), help="Optimiser steps of every cell")
@click.option("--augmentation", type=click.Choice(get_args(Augmentation)), default="standard", show_default=True,
              help="Classical augmentation of every arm; strong varies the stain as well")  # fmt: skip
@click.option("--ratio", type=float, help="Synthetic images per real training image  [default: 1]")
@click.option("--train-missing", is_flag=True, help="Train and synthesize for the folds that have no synthetic images")
@click.option("--kimg", "total_kimg", type=float, help="Training length of the generators that --train-missing makes")
@click.option("--jobs", type=click.IntRange(1), help="Cells trained at a time  [default: one a core; on a GPU one]")
@gan_option
@synthetic_option
@extractor_option
@weights_option
@verify_option
@common_options
def evaluate_augmentation(
    common: Common,
    dataset: str | None,
    fold: str | None,
    classifiers: tuple[str, ...],
    pretrained: tuple[str, ...],
    pretrained_saw: tuple[str, ...],
    num_seeds: int | None,
    num_steps: int | None,
    augmentation: Augmentation,
    ratio: float | None,
    train_missing: bool,
    total_kimg: float | None,
    jobs: int | None,
    gans: tuple[str, ...],
    files: tuple[Path, ...],
    extractor: str | None,
    weights_dir: Path | None,
) -> None:
    """Train classifiers with and without synthetic images, and say what that changes on patients never seen.

    Each fold is served by the generator that saw its training patients only; anything else is refused. The same command
    resumes what was stopped.
    """
    from ganaug.generate.find import Choice
    from ganaug.study.cost import plan_job
    from ganaug.study.request import Job, run_job
    from ganaug.weights import weights_folder

    data = find_dataset(common, dataset)
    study = presets.study(common.preset)
    config = replace(
        study,
        classifiers=classifiers or study.classifiers,
        pretrained=tuple(_name_and_value("--pretrained", pair) for pair in pretrained),
        pretrained_saw=tuple(_name_and_value("--pretrained-saw", pair) for pair in pretrained_saw),
        seeds=tuple(range(common.seed, common.seed + (num_seeds or len(study.seeds)))),
        num_steps=num_steps or study.num_steps,
        augmentation=augmentation,
        ratio=study.ratio if ratio is None else ratio,
    )
    gan = presets.gan(common.preset, data.table.resolution_px, data.table.num_classes, common.device)
    recipe = (
        replace(gan, total_kimg=gan.total_kimg if total_kimg is None else total_kimg),
        presets.synthesis(common.preset),
    )
    job = Job(
        dataset=data,
        folds=chosen_folds(common, data, fold),
        config=config,
        recipe=recipe if train_missing else None,
        extractor=extractor,
        weights_dir=weights_folder(weights_dir),
        choice=Choice(gans, files),
    )
    if common.dry_run:
        plan = plan_job(common.workspace, job, device=common.device, jobs=jobs)
        common.tell(plan, "\n".join(f"{name}: {value}" for name, value in plan.items()))
        return
    outcome = run_job(common.workspace, job, jobs=jobs, device=common.device, progress=True, say=warn)
    for warning in outcome.verdict.warnings:
        warn(f"note: {warning}")
    report = outcome.study.report.resolve()
    common.tell({**outcome.verdict.to_dict(), "report": str(report)}, f"{outcome.verdict.sentence}\nreport: {report}")


def _name_and_value(option: str, pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    if not name or not value.strip():
        raise ConfigError(
            f"{option} {pair}",
            expected=f"{option} dalaresnet50={'resnet50.pth' if option == '--pretrained' else 'TEXT'}",
        )
    return name, value
