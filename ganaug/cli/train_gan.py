"""`ganaug train-gan`: one generator for each fold, trained on that fold's training patients alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ganaug import presets
from ganaug.cli.common import Common, duration, options_with, warn
from ganaug.cli.find import chosen_folds, find_dataset, fold_option, verify_option, weights_option
from ganaug.config import AUGMENTATIONS, GanConfig
from ganaug.errors import ConfigError, Ended


class Span(click.ParamType):
    """Two numbers, as in 100:300."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        try:
            start, end = (float(part) for part in value.split(":"))
        except ValueError:
            self.fail(f"{value!r} is not two numbers, as in 100:300", param, ctx)
        return start, end


@click.command()
@click.option("--dataset", help="Data set to train on  [default: the one prepared last]")
@fold_option
@click.option("--kimg", "total_kimg", type=float, help="Training length in thousands of images shown")
@click.option("--batch", type=int, help="Images an iteration, over all processes")
@click.option("--micro-batch", type=int, help="Images at a time in memory, in each process; the batch stays")
@click.option("--gamma", "r1_gamma", type=float, help="Weight of the R1 penalty")
@click.option("--learning-rate", type=float, help="Of both networks")
@click.option("--path-length", "pl_weight", type=float, help="Weight of the path length penalty")
@click.option("--style-mixing", type=float, help="Chance that an image's styles come from two latents")
@click.option("--dihedral/--no-dihedral", default=None, help="Real images in all eight orientations  [default: yes]")
@click.option("--augment", type=click.Choice(AUGMENTATIONS), help="What the discriminator's images undergo")
@click.option("--augment-p", type=float, help="Its fixed chance  [default: ADA controls it]")
@click.option("--ada-target", type=float, help="ADA's aim for E[sign D(real)]")
@click.option("--class-transition", "transition_kimg", type=Span(), help="From unconditional to conditional, in kimg")
@click.option("--precision", type=click.Choice(["mixed", "float32"]), help="mixed: the highest resolutions in half")
@click.option("--snapshot-kimg", type=float, help="How often a snapshot is written and scored")
@click.option("--metric", help="Extractor of the score: auto, none, inception, squeezenet or classifier")
@click.option(
    "--init",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Snapshot or official pickle to begin with",
)
@click.option("--init-saw", metavar="TEXT", help="Your word for what those weights saw, if no patient of this data set")
@click.option("--tensorboard", is_flag=True, help="Also write the stats for TensorBoard")
@click.option("--jobs", type=click.IntRange(1), help="Generators trained at a time  [default: all; on a GPU one]")
@weights_option
@verify_option
@options_with(presets.GAN_PRESETS, "auto")
def train_gan(
    common: Common,
    dataset: str | None,
    fold: str | None,
    precision: str | None,
    init: Path | None,
    init_saw: str | None,
    tensorboard: bool,
    jobs: int | None,
    weights_dir: Path | None,
    **given: Any,
) -> None:
    """Train a class-conditional StyleGAN2-ADA for each fold, on the fold's training patients only.

    The same command again takes up what was stopped. Under torchrun its processes train together.
    """
    from ganaug.checkpoint.snapshot import best_ema
    from ganaug.parallel.launcher import num_processes, process_rank
    from ganaug.train.loop import train_gans
    from ganaug.train.task import plan_training
    from ganaug.weights import WEIGHTS, find_weights, weights_folder

    data = find_dataset(common, dataset)
    resolution, num_classes = data.table.resolution_px, data.table.num_classes
    preset = presets.gan(common.preset, resolution, num_classes, common.device, num_processes())
    config = resolve(preset, precision, {**given, "seed": common.seed})
    folder = weights_folder(weights_dir)
    if config.metric in WEIGHTS:
        find_weights(folder, config.metric)
    folds = chosen_folds(common, data, fold)
    tasks = [plan_training(common.workspace, data, fold, config, init, init_saw) for fold in folds]
    for task in tasks:
        if task.num_held_out:
            warn(f"note: a study refuses what is trained on from {init} for fold {task.fold}, as it saw "
                 f"{task.num_held_out} pictures that this fold holds back")  # fmt: skip
    if tasks[0].num_unknown:
        warn(f"note: a study refuses what is trained on from {init}, as it saw {tasks[0].num_unknown} patients whom "
             "this data set does not know; if none is one of its own, say what they are with --init-saw")  # fmt: skip
    if common.dry_run:
        tell_plan(common, tasks)
        return
    try:
        done = train_gans(
            tasks, jobs=jobs, device=common.device, progress=True, weights_dir=folder, tensorboard=tensorboard
        )
    except Ended:
        warn("ganaug: stopped as the system asked; the state is saved, and the same command takes it up")
        return
    if process_rank() == 0:
        snapshots = [str(best_ema(run)) for run in done]
        common.tell({"snapshots": snapshots}, "\n".join(snapshots))


def resolve(preset: GanConfig, precision: str | None, given: dict[str, Any]) -> GanConfig:
    """The preset with what was given instead; what it plans in kimg keeps its place in a shorter or longer training."""
    given = {name: value for name, value in given.items() if value is not None}
    stretch = given.get("total_kimg", preset.total_kimg) / preset.total_kimg
    if stretch != 1 and preset.transition_kimg:
        start, end = preset.transition_kimg
        given.setdefault("transition_kimg", (start * stretch, end * stretch))
    if stretch < 1 and preset.snapshot_kimg:
        given.setdefault("snapshot_kimg", preset.snapshot_kimg * stretch)
    if given.get("augment_p") is not None and given.get("augment", preset.augment) == "none":
        raise ConfigError("--augment-p without an augmentation", todo="name one with --augment")
    if precision is not None:
        half = {"num_half": 4, "conv_clamp": 256.0} if precision == "mixed" else {"num_half": 0}
        preset = replace(preset, network=replace(preset.network, **half))
    return replace(preset, **given)


def tell_plan(common: Common, tasks: list[Any]) -> None:
    """Print the resolved configuration and what it costs."""
    from ganaug.config import to_dict
    from ganaug.train.cost import estimate

    cost, config = estimate(tasks, common.device), to_dict(tasks[0].config)
    runs = [str(task.run.root) for task in tasks]
    sizes = f"G {cost.parameters_g / 1e6:.2f} M and D {cost.parameters_d / 1e6:.2f} M parameters"
    lines = [
        *(f"would train {run}" for run in runs),
        *(f"{name}: {value}" for name, value in {**config.pop("network"), **config}.items()),
        f"{sizes}, about {cost.memory_mib / 1024:.1f} GiB a process",
        f"about {duration(cost.seconds)} on {common.device}",
    ]
    common.tell({"runs": runs, "config": to_dict(tasks[0].config), **vars(cost)}, "\n".join(lines))
