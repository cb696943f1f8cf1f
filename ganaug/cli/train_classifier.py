"""`ganaug train-classifier`: a classifier of each fold, kept with the proof of what it saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganaug import presets
from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, duration, shown, warn
from ganaug.cli.find import (
    choose_folds,
    find_dataset,
    fold_option,
    gan_option,
    synthetic_option,
    verify_option,
    weights_option,
)
from ganaug.cli.train_patients import reads_patients, require_none_of_images, train_patients
from ganaug.cli.training_options import classical_option, rate_options, require_used
from ganaug.config import Compute, StudyConfig
from ganaug.config.study import change_study
from ganaug.errors import ConfigError, Ended

if TYPE_CHECKING:
    from ganaug.classify.task import ClassifierTask
    from ganaug.classify.train_stored import KeptClassifier

REAL, BOTH = "real", "real+synthetic"


@click.command(epilog=reference.TRAIN_CLASSIFIER)
@click.option("--dataset", help="Data set to train on  [default: the one prepared last]")
@fold_option
@click.option("--classifier", "classifier", metavar="NAME", help="Classifier to train  [default: by preset]")
@click.option("--images", "kind", type=click.Choice([REAL, BOTH]), default=REAL, show_default=True,
              help="Training images; synthetic ones come from the file that serves the fold")  # fmt: skip
@click.option("--ratio", type=float, help="Synthetic images per real training image  [default: 1]")
@click.option("--pretrained", metavar="FILE", help="Local file of weights to start from, or none")
@click.option("--pretrained-saw", metavar="TEXT", help="What these weights were trained on, by your word")
@click.option("--steps", "num_steps", type=click.IntRange(1), help="Optimiser steps")
@click.option("--batch", type=click.IntRange(2), help="Images per step  [default: 32]")
@rate_options
@classical_option("Of the training images")
@gan_option
@synthetic_option
@weights_option
@verify_option
@common_options("workspace", "preset", "seed", "device", "dry-run")
def train_classifier(
    common: Common,
    dataset: str | None,
    fold: str | None,
    classifier: str | None,
    kind: str,
    ratio: float | None,
    pretrained: str | None,
    pretrained_saw: str | None,
    gans: tuple[str, ...],
    files: tuple[Path, ...],
    weights_dir: Path | None,
    **given: Any,
) -> None:
    """Train a classifier for each fold on its training patients, and keep it for predict and explain.

    The validation patients choose its weights and its temperature. Run the same command again to resume what was
    stopped; what is finished is not trained again.
    """
    from ganaug.classify.train_stored import train_stored
    from ganaug.generate.find import Choice
    from ganaug.generate.supplies import num_drawn, require_supplies
    from ganaug.study.request import add_published_weights
    from ganaug.study.training_set import name_classifier, plan_classifiers

    is_of_patients = classifier is not None and reads_patients(classifier)
    if classifier and is_of_patients:
        require_none_of_images(classifier)
    if kind == REAL and (gans or files or ratio is not None):
        raise ConfigError("--gan, --synthetic or --ratio with --images real", expected=f"--images {BOTH}")
    data, compute = find_dataset(common, dataset), common.compute(weights_dir=weights_dir)
    folds, base = choose_folds(common, data, fold), presets.study(common.preset)
    if classifier and is_of_patients:
        try:
            train_patients(common, data, folds, classifier, given["num_steps"], compute)
        except Ended:
            warn("ganaug: stopped as the system asked; finished trainings are kept; run the same command again")
        return
    name = name_classifier(classifier or base.classifiers[0])
    options = _pretrained(name, pretrained, pretrained_saw)
    config = change_study(base, seed=common.seed, num_seeds=1, classifiers=(name,), ratio=ratio, **options, **given)
    config = add_published_weights(config, compute)
    require_used(config, given)
    supplies = []
    if kind == BOTH:
        at_least = num_drawn(data, folds, config.ratio)
        supplies = require_supplies(common.workspace, data, folds, at_least=at_least, choice=Choice(gans, files))
    for supply in supplies:
        warn(f"note: {supply.sentence}")
    tasks = plan_classifiers(common.workspace, data, folds, config, supplies)
    if common.dry_run:
        print_plan(common, tasks, config, compute)
        return
    try:
        kept = [_print_kept(common, train_stored(task, compute)) for task in tasks]
    except Ended:
        warn("ganaug: stopped as the system asked; the state is saved; run the same command again to resume")
        return
    if common.as_json:
        common.report({"classifiers": kept}, "")


def _pretrained(name: str, file: str | None, saw: str | None) -> dict[str, Any]:
    """The options of a study that these two are; raises ConfigError for words on weights that there are not.

    NAME=FILE and NAME=TEXT are taken as well, as messages of studies have them.
    """
    file, saw = (value and value.removeprefix(f"{name}=") for value in (file, saw))
    if saw is not None and (file in (None, "none") or not saw.strip()):
        raise ConfigError("--pretrained-saw without --pretrained, or without words", expected="both, or neither")
    return {
        "pretrained": ((name, file),) if file is not None else (),
        "pretrained_saw": ((name, saw),) if saw is not None else (),
    }


def _print_kept(common: Common, kept: "KeptClassifier") -> dict[str, Any]:
    """Print what came of a fold; returns it as JSON values."""
    stored, scores = kept.stored, kept.scores
    value, test = scores["validation"], scores["test"]
    state = "stands, and is not trained again" if kept.was_there else "trained"
    by_patient = (test["by_patient"] or {}).get("overall") or {}
    lines = [
        f"fold {stored.fold}: {stored.name} {state}",
        f"validation (which chose it, so no test): accuracy {shown(value['accuracy'])}, balanced "
        f"{shown(value['balanced_accuracy'])}",
        f"temperature {stored.temperature:.2f}, which minimises the negative log-likelihood of the validation images, "
        f"averaged over eight orientations: {shown(value['nll_before'])} -> {shown(value['nll_after'])} "
        f"(calibration error {shown(value['ece_before'])} -> {shown(value['ece_after'])})",
        f"test (one run on one fold): balanced accuracy by image "
        f"{shown(test['by_image']['overall']['balanced_accuracy'])}, by patient "
        f"{shown(by_patient.get('balanced_accuracy'))}",
        str(stored.run.weights),
    ]
    if not common.as_json:
        common.report({}, "\n".join(lines))
    return {"fold": stored.fold, "classifier": stored.name, "file": str(stored.run.weights),
            "was_there": kept.was_there, **scores}  # fmt: skip


def print_plan(common: Common, tasks: Sequence["ClassifierTask"], config: StudyConfig, compute: Compute) -> None:
    """Print what would be trained, on what, and how long it takes."""
    from ganaug.study.plan.cost import estimate_classifiers

    task = tasks[0]
    todo = [task for task in tasks if not task.run.weights.exists()]
    seconds = estimate_classifiers(todo, config, compute.device)
    table = task.dataset.table
    counts = {name: int((task.training.images.labels == k).sum()) for k, name in enumerate(table.class_names)}
    plan = {
        "classifiers": [str(task.run.root) for task in todo],
        "finished": [str(task.run.root) for task in tasks if task not in todo],
        "classifier": task.name,
        "training_images": counts,
        **task.options,
        "seconds": round(seconds),
    }
    lines = [
        *(f"would train {path}" for path in plan["classifiers"]),
        *(f"stands: {path}" for path in plan["finished"]),
        *(f"{name}: {plan[name]}" for name in ("classifier", "training_images", *task.options)),
        f"about {duration(seconds)} on {compute.device}",
    ]
    common.report(plan, "\n".join(lines))
