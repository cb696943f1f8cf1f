"""`ganaug train-gan`: one generator for each fold, trained on that fold's training patients alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganaug import presets
from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, duration, warn
from ganaug.cli.find import choose_folds, find_dataset, fold_option, fraction_option, verify_option, weights_option
from ganaug.config import (
    ADA_PIPELINES,
    BUILT_IN,
    DISCRIMINATORS,
    ON_ALARM,
    SNAPSHOT_EXTRACTORS,
    Compute,
    override_preset,
    to_dict,
)
from ganaug.errors import Ended

if TYPE_CHECKING:
    from ganaug.train.task import Task


class Span(click.ParamType[tuple[float, float]]):
    """Two numbers, as in 100:300."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        try:
            start, end = (float(part) for part in value.split(":"))
        except ValueError:
            self.fail(f"{value!r} is not two numbers, as in 100:300", param, ctx)
        return start, end


class InitialWeights(click.ParamType[Path | str]):
    """The weights that a training begins with: `phantom`, `none`, or a file."""

    name = "phantom|none|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        file = click.Path(path_type=Path, exists=True, dir_okay=False)
        return value if value in BUILT_IN else file.convert(value, param, ctx)


@click.command(epilog=reference.TRAIN_GAN)
@click.option("--dataset", help="Data set to train on  [default: the one prepared last]")
@fold_option
@click.option("--kimg", "total_kimg", type=float, help="Training length in thousands of images shown")
@fraction_option("Show only this fraction of the fold's training images per class")
@click.option("--batch", type=int, help="Images per iteration, over all processes")
@click.option("--micro-batch", type=int, help="Images at a time in memory, in each process; the batch stays")
@click.option("--discriminator", type=click.Choice(DISCRIMINATORS), help="What teaches the generator")
@click.option("--gamma", "r1_gamma", type=float, help="Weight of the R1 penalty")
@click.option("--class-penalty", type=float, help="Weight of what images lack of showing their class")
@click.option("--learning-rate", type=float, help="Of both networks")
@click.option("--path-length", "pl_weight", type=float, help="Weight of the path length penalty")
@click.option("--style-mixing", type=float, help="Probability that an image's styles come from two latents")
@click.option("--dihedral/--no-dihedral", default=None, help="Real images in all eight orientations  [default: yes]")
@click.option("--ada-pipeline", type=click.Choice(ADA_PIPELINES), help="What the discriminator's images undergo")
@click.option("--ada-p", type=float, help="Its fixed probability  [default: ADA controls it]")
@click.option("--ada-target", type=float, help="ADA's aim for E[sign D(real)]")
@click.option("--class-transition", "transition_kimg", type=Span(), help="From unconditional to conditional, in kimg")
@click.option("--precision", type=click.Choice(["mixed", "float32"]), help="mixed: the highest resolutions in half")
@click.option("--snapshot-kimg", type=float, help="How often a snapshot is written and scored")
@click.option("--extractor", type=click.Choice(SNAPSHOT_EXTRACTORS), help="Scores snapshots; auto: the best at hand")
@click.option("--init", type=InitialWeights(), metavar="phantom|none|FILE", help="Weights to begin with")
@click.option("--init-saw", metavar="TEXT", help="Your word for what those weights saw, if no patient of this data set")
@click.option("--on-alarm", type=click.Choice(ON_ALARM), help="What an alarm does  [default: continue]")
@click.option("--tensorboard", is_flag=True, help="Also write the stats for TensorBoard")
@click.option("--generators", "num_generators", type=click.IntRange(1, 100), default=1, show_default=True,
              help="Of each fold; they differ by their seed, from --seed on")  # fmt: skip
@click.option("--workers", type=click.IntRange(1), help="Generators trained at a time  [default: all; on a GPU one]")
@weights_option
@verify_option
@common_options("workspace", "preset", "seed", "device", "dry-run", presets=presets.GAN_PRESETS, preset="auto")
def train_gan(
    common: Common,
    dataset: str | None,
    fold: str | None,
    discriminator: str | None,
    init: Path | str | None,
    init_saw: str | None,
    tensorboard: bool,
    num_generators: int,
    workers: int | None,
    weights_dir: Path | None,
    **given: Any,
) -> None:
    """Train a class-conditional StyleGAN2-ADA for each fold, on the fold's training patients only.

    Run the same command again to resume what was stopped. Under torchrun its processes train together.
    """
    from ganaug.checkpoint.builtin import choose_weights
    from ganaug.checkpoint.snapshot import best_ema
    from ganaug.evaluate.training_curve import advise_run
    from ganaug.parallel.launcher import num_processes, process_rank
    from ganaug.train.loop import train_gans
    from ganaug.train.monitoring.alarms import is_stopped, raised
    from ganaug.train.task import plan_training
    from ganaug.weights import WEIGHTS, find_weights

    data = find_dataset(common, dataset)
    resolution, num_classes = data.table.resolution_px, data.table.num_classes
    precision = given.pop("precision")
    compute = common.compute(num_workers=workers, weights_dir=weights_dir)
    preset = presets.gan(common.preset, resolution, num_classes, compute.device, num_processes(), discriminator)
    config = override_preset(preset, {**given, "seed": common.seed}, precision)
    if config.extractor in WEIGHTS:
        find_weights(compute.weights_dir, config.extractor)
    folds = choose_folds(common, data, fold)
    weights = choose_weights(init, common.preset, resolution, compute.device)
    configs = [replace(config, seed=config.seed + k) for k in range(num_generators)]
    tasks = [plan_training(common.workspace, data, fold, each, weights, init_saw) for fold in folds for each in configs]
    warn_of_weights(tasks, init)
    if common.dry_run:
        print_plan(common, tasks, compute)
        return
    try:
        runs = train_gans(tasks, compute, tensorboard=tensorboard)
    except Ended:
        warn("ganaug: stopped as the system asked; the state is saved; run the same command again to resume")
        return
    if process_rank() == 0:
        snapshots, findings = [str(best_ema(run)) for run in runs], [advise_run(run) for run in runs]
        for run, finding in zip(runs, findings, strict=True):
            warn(f"note: fold {run.fold}: {finding.sentence}; {finding.todo}")
            if is_stopped(run, config):
                warn(f"note: fold {run.fold}: stopped by its alarm; to train on, pass --on-alarm continue")
        alarms = [[vars(alarm) for alarm in raised(run)] for run in runs]
        advice = [finding.to_dict() for finding in findings]
        common.report({"snapshots": snapshots, "advice": advice, "alarms": alarms}, "\n".join(snapshots))


def warn_of_weights(tasks: Sequence["Task"], init: Path | str | None) -> None:
    """Say what the weights that the training begins with have seen, and what they do not fit."""
    for task in tasks:
        if task.num_held_out:
            warn(f"note: a study refuses what is trained on from {init} for fold {task.fold}, as it saw "
                 f"{task.num_held_out} images that this fold holds back")  # fmt: skip
    if tasks[0].num_unknown:
        warn(f"note: a study refuses what is trained on from {init}, as it saw {tasks[0].num_unknown} patients whom "
             "this data set does not know; if none is one of its own, say what they are with --init-saw")  # fmt: skip
    resolution_px = tasks[0].dataset.table.resolution_px
    if tasks[0].init_px not in (None, resolution_px):
        warn(f"note: the weights to begin with were trained at {tasks[0].init_px} px: the generator begins with their "
             f"images, resized to {resolution_px} px, and has their details to learn or to forget")  # fmt: skip


def _shown(value: object) -> str:
    """A field of the configuration for people; pairs one after another."""
    pairs = value if isinstance(value, tuple | list) else ()
    return "; ".join(" ".join(map(str, pair)) for pair in pairs if isinstance(pair, tuple | list)) or str(value)


def print_plan(common: Common, tasks: Sequence["Task"], compute: Compute) -> None:
    """Print the resolved configuration, what it costs, and what is known beforehand of what comes of it."""
    from ganaug.train.advice import advise_before_training
    from ganaug.train.cost import estimate_training_cost

    cost, config = estimate_training_cost(tasks, compute), to_dict(tasks[0].config)
    outlook = advise_before_training(tasks)
    runs = [str(task.run.root) for task in tasks]
    sizes = f"G {cost.parameters_g / 1e6:.2f} M and D {cost.parameters_d / 1e6:.2f} M parameters"
    lines = [
        *(f"would train {run}" for run in runs),
        *(f"{name}: {_shown(value)}" for name, value in {**config.pop("network"), **config}.items()),
        f"{sizes}, about {cost.memory_mib / 1024:.1f} GiB per process",
        f"about {duration(cost.seconds)} on {compute.device}",
        *outlook.lines,
    ]
    values = {"runs": runs, "config": to_dict(tasks[0].config), **vars(cost), "advice": outlook.to_dict()}
    common.report(values, "\n".join(lines))
