"""`ganaug synthesize`: images of every class from trained generators."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ganaug.cli.common import Common, common_options, duration, warn
from ganaug.cli.find import find_generators, fold_option, gan_option, verify_option
from ganaug.config import TRUNCATIONS
from ganaug.errors import ConfigError

if TYPE_CHECKING:
    from ganaug.config import SynthesisConfig
    from ganaug.generate.synthesize import Order
    from ganaug.workspace import GanRun

Number = TypeVar("Number", int, float)


def pairs_option(flag: str, metavar: str, number: type[int] | type[float], help: str) -> Callable[..., Any]:
    """A repeatable option NAME=VALUE, which gives a tuple of pairs."""

    def parse(context: click.Context, option: click.Parameter, values: Sequence[str]) -> tuple[tuple[str, Any], ...]:
        return tuple(_pair(value, number) for value in values)

    return click.option(flag, multiple=True, metavar=metavar, callback=parse, help=help)


def _pair(text: str, number: type[Number]) -> tuple[str, Number]:
    name, _, value = text.rpartition("=")
    try:
        if name:
            return name, number(value)
    except ValueError:
        pass
    kind = "a whole number" if number is int else "a number"
    raise click.BadParameter(f"{text}; expected NAME=VALUE with {kind}, such as Benign={number(1)}")


@click.command()
@click.option("--dataset", help="Data set whose generators are used  [default: that of the generator configured last]")
@fold_option
@gan_option
@click.option(
    "--per-class", type=int, help="Images of each class  [default: what the study draws; at least 500, quick: 250]"
)
@pairs_option("--count", "CLASS=N", int, "Images of one class; repeatable")
@click.option("--psi", type=float, default=1.0, show_default=True,
              help="Truncation, 0 to 1; below 1 trades variety for typicality")  # fmt: skip
@pairs_option("--psi-of", "CLASS=PSI", float, "Truncation of one class; repeatable")
@click.option("--truncation", type=click.Choice(TRUNCATIONS), default="global", show_default=True,
              help="Towards the mean of all classes, or of each class")  # fmt: skip
@pairs_option("--reject", "FILTER=VALUE", float,
              "Drop images: confidence=P keeps what a classifier takes for its class with at least P; nearest=Q drops "
              "what is nearer to a training image than a share Q of images of other patients; repeatable")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(("h5", "png", "zip")), default="h5", show_default=True,
              help="Beside the HDF5 file also a folder of PNGs, or a dataset.zip as StyleGAN reads it")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Folder for these  [default: beside the HDF5 file]")  # fmt: skip
@click.option("--batch", type=click.IntRange(1), help="Images computed at a time; changes none  [default: by memory]")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True,
              help="Processes on this machine that share the work; what each has finished is kept")  # fmt: skip
@click.option("--shard", metavar="I/N", help="Make only share I, from 0, of N; auto: as torchrun or a Slurm array says")
@click.option("--merge", is_flag=True, help="Only put the parts together that shards have written")
@verify_option
@common_options
def synthesize(
    common: Common,
    dataset: str | None,
    fold: str | None,
    gans: tuple[str, ...],
    kind: str,
    out: Path | None,
    batch: int | None,
    jobs: int,
    shard: str | None,
    merge: bool,
    **options: Any,
) -> None:
    """Write synthetic images as HDF5, with the proof of what their generator saw.

    The same options give the same images, whatever the batch, the jobs and the shards. The last shard to end puts the
    parts together.
    """
    from ganaug.generate.synthesize import merge_parts, plan_synthesis, synthesize_all
    from ganaug.parallel.shards import read_shard

    if sum([merge, shard is not None, jobs > 1]) > 1:
        raise ConfigError("more than one of --shard, --jobs and --merge", expected="one of them")
    share = read_shard(shard) if shard else None
    runs = find_generators(common, dataset, fold, gans)
    orders = [plan_synthesis(common.workspace, run, _config(common, run, options)) for run in runs]
    device = _own_gpu(common.device) if shard == "auto" else common.device
    if common.dry_run:
        _tell_plan(common, orders, device, batch)
        return
    if merge:
        paths = [merge_parts(order) for order in orders]
    else:
        paths = synthesize_all(orders, device=device, batch=batch, jobs=jobs, shard=share, progress=True)
    _tell(common, orders, paths, kind, out)


def _config(common: Common, run: "GanRun", options: dict[str, Any]) -> "SynthesisConfig":
    from ganaug import presets
    from ganaug.generate.synthesize import enough_for_study

    config, per_class = presets.synthesis(common.preset), options["per_class"]
    return replace(
        config,
        per_class=enough_for_study(common.workspace, run, config.per_class) if per_class is None else per_class,
        counts=options["count"],
        psi=options["psi"],
        psi_of=options["psi_of"],
        truncation=options["truncation"],
        reject=options["reject"],
        seed=common.seed,
    )


def _own_gpu(device: str) -> str:
    """The GPU of this process where torchrun started one for each."""
    from ganaug.parallel.launcher import local_rank

    rank = local_rank()
    return f"cuda:{rank}" if device == "cuda" and rank is not None else device


def _tell_plan(common: Common, orders: Sequence["Order"], device: str, batch: int | None) -> None:
    from ganaug.generate.synthesize import estimate

    plans = [estimate(order, device=device, batch=batch) for order in orders]
    seconds, size = (sum(plan[key] for plan in plans) for key in ("seconds", "bytes"))
    lines = [f"would write {plan['file']}: " + _counts(plan) for plan in plans]
    lines.append(f"about {duration(seconds)} and {size / 2**20:.1f} MiB, {plans[0]['batch']} images at a time")
    if orders[0].config.reject:
        lines.append("not counted: the images that filters drop, and the time to fit the filters")
    common.tell({"plans": plans, "seconds": seconds, "bytes": size}, "\n".join(lines))


def _counts(plan: dict[str, Any]) -> str:
    return ", ".join(f"{count} {name} (psi {plan['psi'][name]:g})" for name, count in plan["counts"].items())


def _tell(common: Common, orders: Sequence["Order"], paths: Sequence[Path], kind: str, out: Path | None) -> None:
    from ganaug.data.export import export_synthetic
    from ganaug.data.schema import read_table
    from ganaug.generate.filters import summary

    files, acceptance = [], {}
    for order, path in zip(orders, paths):
        if path != order.target:
            files.append(path)
            warn(f"note: {order.target.name} is put together when the other shards have ended")
            continue
        files += [path] if kind == "h5" else [path, export_synthetic(path, kind, out or path.parent, progress=True)]
        if order.config.reject:
            acceptance[str(path)] = read_table(path).attrs["acceptance"]
    lines = [str(path) for path in files] + [summary(counts) for counts in acceptance.values()]
    common.tell({"files": [str(path) for path in files], "acceptance": acceptance}, "\n".join(lines))
