"""`ganaug train-gan`: one generator for each fold, trained on that fold's training patients alone."""

from dataclasses import replace

import click

from ganaug import presets
from ganaug.cli.common import Common, common_options, duration
from ganaug.cli.find import chosen_folds, find_dataset, fold_option


@click.command()
@click.option("--dataset", help="Data set to train on  [default: the one prepared last]")
@fold_option
@click.option("--kimg", "total_kimg", type=float, help="Training length in thousands of images shown")
@click.option("--batch", type=int, help="Images an iteration")
@click.option("--gamma", "r1_gamma", type=float, help="Weight of the R1 penalty")
@click.option("--jobs", type=click.IntRange(1), help="Generators trained at a time  [default: all; on a GPU one]")
@common_options
def train_gan(
    common: Common,
    dataset: str | None,
    fold: str | None,
    total_kimg: float | None,
    batch: int | None,
    r1_gamma: float | None,
    jobs: int | None,
) -> None:
    """Train a class-conditional StyleGAN2 for each fold, on the fold's training patients only.

    The same command again takes up what was stopped.
    """
    from ganaug.config import to_dict
    from ganaug.train.loop import estimate_seconds, train_gans
    from ganaug.train.task import plan_training

    data = find_dataset(common, dataset)
    preset = presets.gan(common.preset, data.table.resolution_px, data.table.num_classes, common.device)
    config = replace(
        preset,
        total_kimg=preset.total_kimg if total_kimg is None else total_kimg,
        batch=preset.batch if batch is None else batch,
        r1_gamma=preset.r1_gamma if r1_gamma is None else r1_gamma,
        seed=common.seed,
    )
    tasks = [plan_training(common.workspace, data, fold, config) for fold in chosen_folds(common, data, fold)]
    if common.dry_run:
        seconds = estimate_seconds(tasks, common.device)
        runs = [str(task.run.root) for task in tasks]
        text = "\n".join([*(f"would train {run}" for run in runs), f"about {duration(seconds)} on {common.device}"])
        common.tell({"runs": runs, "config": to_dict(config), "seconds": seconds}, text)
        return
    done = train_gans(tasks, jobs=jobs, device=common.device, progress=True)
    snapshots = [str(run.newest_ema()) for run in done]
    common.tell({"snapshots": snapshots}, "\n".join(snapshots))
