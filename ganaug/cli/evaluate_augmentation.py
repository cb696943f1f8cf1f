"""`ganaug evaluate-augmentation`: from a data set and its generators to a verdict and a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from ganaug.cli.training_options import classical_option, rate_options, require_used
from ganaug.config import StudyConfig, to_dict
from ganaug.config.choices import PAPER_NAMES
from ganaug.config.study import change_study
from ganaug.errors import ConfigError

if TYPE_CHECKING:
    from ganaug.study.plan.cost import StudyPlan
    from ganaug.study.run import Outcome


@click.command(epilog=reference.EVALUATE_AUGMENTATION)
@click.option("--dataset", help="Data set to study  [default: the one prepared last]")
@fold_option
@click.option("--classifier", "classifiers", multiple=True, metavar="NAME",
              help="Classifier to train; may be repeated  [default: by preset]")  # fmt: skip
@click.option(
    "--pretrained",
    multiple=True,
    metavar="NAME=FILE",
    help="Local file of weights, whole or of a backbone, that a classifier starts from, or none; may be repeated",
)
@click.option("--pretrained-saw", multiple=True, metavar="NAME=TEXT",
              help="What these weights were trained on, by your word; the report repeats it")  # fmt: skip
@click.option("--seeds", "num_seeds", type=click.IntRange(1, 100), help="Training runs of each cell")
@click.option("--steps", "num_steps", type=click.IntRange(1), help="Optimiser steps of every cell")
@rate_options
@classical_option("That of every arm")
@click.option("--arm", "more_arms", multiple=True, metavar="NAME",
              help="Arm in addition to the preset's, such as real+synthetic@0.5; repeatable")  # fmt: skip
@click.option("--real-fraction", metavar="LIST",
              help="Ask the question for fewer real images, too: fractions of them, such as 0.1,0.25,0.5")  # fmt: skip
@click.option("--external", "external_files", multiple=True, metavar="[FOLD=]FILE",
              help="dataset.zip of another tool, for a fold or for all; an arm of its own; repeatable")  # fmt: skip
@click.option(
    "--external-saw", metavar="TEXT", help="What that tool was trained on, by your word; the report repeats it"
)
@click.option("--leak-audit", is_flag=True, default=None,
              help="Add an arm whose generator knows patients under test, to show what a leak would do")  # fmt: skip
@click.option("--replicate", type=click.Choice(PAPER_NAMES),
              help="Also run this paper's protocol, which divides images, and show the inflation")  # fmt: skip
@click.option("--ratio", type=float, help="Synthetic images per real training image  [default: 1]")
@click.option("--train-missing", is_flag=True, help="Train and synthesize for the folds that have no synthetic images")
@click.option("--kimg", "total_kimg", type=float, help="Training length of the generators that --train-missing makes")
@click.option("--generators", "num_generators", type=click.IntRange(1, 100),
              help="Of each fold, one for each seed in turn  [default: up to 2; quick: 1]")  # fmt: skip
@click.option("--margin", type=float, help="Effect that would not matter, as a fraction of the metric  [default: 0.02]")
@click.option("--workers", "num_workers", type=click.IntRange(1),
              help="Cells trained at a time  [default: one per core; on a GPU one]")  # fmt: skip
@click.option("--executor", type=click.Choice(("local", "slurm")), default="local", show_default=True,
              help="Where the cells are trained")  # fmt: skip
@click.option("--slurm", "slurm_options", multiple=True, metavar="KEY=VALUE",
              help="Option of sbatch, such as partition=gpu or time=120; repeatable")  # fmt: skip
@click.option(
    "--shard", metavar="I/N", help="Train only the cells of shard I, from 0, of N; auto: as a Slurm array says"
)
@gan_option
@synthetic_option
@extractor_option
@weights_option
@verify_option
@common_options("workspace", "preset", "seed", "device", "dry-run")
def evaluate_augmentation(
    common: Common,
    dataset: str | None,
    fold: str | None,
    classifiers: tuple[str, ...],
    pretrained: tuple[str, ...],
    pretrained_saw: tuple[str, ...],
    num_seeds: int | None,
    more_arms: tuple[str, ...],
    real_fraction: str | None,
    external_files: tuple[str, ...],
    train_missing: bool,
    total_kimg: float | None,
    num_generators: int | None,
    num_workers: int | None,
    executor: str,
    slurm_options: tuple[str, ...],
    shard: str | None,
    gans: tuple[str, ...],
    files: tuple[Path, ...],
    extractor: str | None,
    weights_dir: Path | None,
    **given: Any,
) -> None:
    """Train classifiers with and without synthetic images, and report the difference on patients never seen.

    Each fold is served by the generator that saw its training patients only; anything else is refused. The same command
    resumes a run that was stopped.
    """
    from ganaug.generate.find import Choice
    from ganaug.parallel.shards import WHOLE, read_shard
    from ganaug.study.plan.cost import plan_study
    from ganaug.study.request import StudyRequest, add_published_weights, missing_config, run_study

    _require_one_way(executor, slurm_options, shard, train_missing, total_kimg)
    slurm = tuple(_name_and_value("--slurm", pair) for pair in slurm_options)
    compute = common.compute(num_workers=num_workers, weights_dir=weights_dir, executor=executor, slurm=slurm)
    data = find_dataset(common, dataset)
    given["external"] = tuple(map(_fold_and_file, external_files))
    arms = _arms(common, more_arms, real_fraction, given)
    config = _config(common, classifiers, pretrained, pretrained_saw, num_seeds, arms, given)
    config = add_published_weights(config, compute)
    require_used(config, given)
    _require_seeds(num_generators, config)
    request = StudyRequest(
        dataset=data,
        folds=choose_folds(common, data, fold),
        config=config,
        missing=missing_config(common.preset, data, compute, total_kimg) if train_missing else None,
        needs_all=fold is not None,
        num_generators=min(num_generators or presets.num_generators(common.preset), len(config.seeds)),
        needs_generators=num_generators is not None,
        shard=read_shard(shard) if shard else WHOLE,
        extractor=extractor,
        choice=Choice(gans, files),
    )
    if common.dry_run:
        _print_plan(common, plan_study(common.workspace, request, compute))
    else:
        _print_outcome(common, run_study(common.workspace, request, compute, warn))


def _print_plan(common: Common, plan: "StudyPlan") -> None:
    values, gain = to_dict(plan), plan.smallest_gain
    answer = "none, as it could not even show that perfect images help; bring more patients, --seeds or --generators"
    shown = values | {"smallest_gain": answer if gain is None else f"{100 * gain:.1f} points, in four of five studies"}
    common.report(values, "\n".join(f"{name}: {value}" for name, value in shown.items()))


def _print_outcome(common: Common, outcome: "Outcome | None") -> None:
    if outcome is None:
        warn("note: this shard is done; the last shard to end writes the report")
        return
    for warning in outcome.verdict.warnings:
        warn(f"note: {warning}")
    report = outcome.study.report.resolve()
    common.report({**outcome.verdict.to_dict(), "report": str(report)}, f"{outcome.verdict.sentence}\nreport: {report}")


def _require_one_way(
    executor: str, slurm_options: tuple[str, ...], shard: str | None, train_missing: bool, total_kimg: float | None
) -> None:
    """Raise ConfigError where options ask for two ways of running the cells, or would have no effect."""
    if slurm_options and executor != "slurm":
        raise ConfigError(f"--slurm {slurm_options[0]} with --executor {executor}", expected="--executor slurm")
    if shard is not None and (train_missing or executor == "slurm"):
        raise ConfigError("--shard with --train-missing or --executor slurm", expected="cells alone, in this process")
    if total_kimg is not None and not train_missing:
        raise ConfigError("--kimg without --train-missing", expected="both, or neither")


def _require_seeds(num_generators: int | None, config: StudyConfig) -> None:
    """Raise ConfigError where more generators are asked for than there are seeds to serve."""
    if num_generators is not None and num_generators > len(config.seeds):
        raise ConfigError(
            f"--generators {num_generators} with {len(config.seeds)} seeds",
            expected="at most one generator per seed",
            todo=f"add --seeds {num_generators}",
        )


def _arms(
    common: Common, more_arms: tuple[str, ...], real_fraction: str | None, given: dict[str, Any]
) -> tuple[str, ...]:
    """The preset's arms with those that options name or imply."""
    from ganaug.study.arms.names import name_arms, read_fractions

    fractions = read_fractions(real_fraction) if real_fraction else ()
    arms = (*presets.study(common.preset).arms, *more_arms)
    return name_arms(arms, fractions, external=bool(given["external"]), leak_audit=bool(given["leak_audit"]))


def _config(
    common: Common,
    classifiers: tuple[str, ...],
    pretrained: tuple[str, ...],
    pretrained_saw: tuple[str, ...],
    num_seeds: int | None,
    arms: tuple[str, ...],
    given: dict[str, Any],
) -> StudyConfig:
    """The preset's study with what was chosen; a paper that is replicated brings its classifier."""
    from ganaug.study.replication import find_paper

    if given["replicate"] and not classifiers:
        classifiers = (find_paper(given["replicate"]).classifier,)
    preset = presets.study(common.preset)
    return change_study(
        preset,
        seed=common.seed,
        num_seeds=num_seeds,
        classifiers=classifiers,
        arms=arms,
        pretrained=tuple(_name_and_value("--pretrained", pair) for pair in pretrained),
        pretrained_saw=tuple(_name_and_value("--pretrained-saw", pair) for pair in pretrained_saw),
        **given,
    )


def _fold_and_file(text: str) -> tuple[str, str]:
    """A fold, empty for all, and a path, which may hold a = itself."""
    fold, equals, file = text.partition("=")
    return (str(int(fold)), file) if equals and fold.isdigit() else ("", text)


EXAMPLES = {"--pretrained": "dalaresnet50=resnet50.pth", "--pretrained-saw": "dalaresnet50=TEXT", "--slurm": "time=120"}


def _name_and_value(option: str, pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    if not name or not value.strip():
        raise ConfigError(
            f"{option} {pair}",
            expected=f"{option} {EXAMPLES[option]}",
        )
    return name, value
