"""`ganaug synthesize`: images of every class from trained generators."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ganaug import presets
from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, duration, warn
from ganaug.cli.find import find_generators, fold_option, fraction_option, gan_option, verify_option
from ganaug.config import TRUNCATIONS, Compute
from ganaug.errors import ConfigError

if TYPE_CHECKING:
    from ganaug.generate.cost import SynthesisCost
    from ganaug.generate.synthesize import SynthesisPlan

Number = TypeVar("Number", int, float)

REJECT_COPIES = ("copies", 0.001)  # the filter of --reject-copies, and the honest images that it drops


def pairs_option(flag: str, name: str, metavar: str, number: type[int] | type[float], help: str) -> Callable[..., Any]:
    """A repeatable option NAME=VALUE, which gives a tuple of pairs."""

    def parse(context: click.Context, option: click.Parameter, values: Sequence[str]) -> tuple[tuple[str, Any], ...]:
        return tuple(_pair(value, number) for value in values)

    return click.option(flag, name, multiple=True, metavar=metavar, callback=parse, help=help)


def _pair(text: str, number: type[Number]) -> tuple[str, Number]:
    name, _, value = text.rpartition("=")
    try:
        if name:
            return name, number(value)
    except ValueError:
        pass
    kind = "a whole number" if number is int else "a number"
    raise click.BadParameter(f"{text}; expected NAME=VALUE with {kind}, such as Benign={number(1)}")


@click.command(epilog=reference.SYNTHESIZE)
@click.option("--dataset", help="Data set whose generators are used  [default: that of the generator configured last]")
@fold_option
@gan_option
@fraction_option("Use generators that were trained on this fraction of the real images")
@click.option(
    "--per-class", type=int, help="Images of each class  [default: what the study draws; at least 500, quick: 250]"
)
@pairs_option("--count", "counts", "CLASS=N", int, "Images of one class; repeatable")
@click.option("--psi", type=float, default=1.0, show_default=True,
              help="Truncation, 0 to 1; below 1 trades variety for typicality")  # fmt: skip
@pairs_option("--psi-of", "psi_of", "CLASS=PSI", float, "Truncation of one class; repeatable")
@click.option("--truncation", type=click.Choice(TRUNCATIONS), default="global", show_default=True,
              help="Towards the mean of all classes, or of each class")  # fmt: skip
@pairs_option("--reject", "reject", "FILTER=VALUE", float,
              "Drop images: confidence=P keeps what a classifier assigns to its class with probability P or more; "
              "copies=Q drops copies of training images, and a fraction Q of honest ones with them; "
              "repeatable")  # fmt: skip
@click.option("--reject-copies", is_flag=True, help="Drop copies of training images, as --reject copies=0.001 does")
@click.option("--format", "kind", type=click.Choice(("h5", "png", "zip")), default="h5", show_default=True,
              help="In addition to the HDF5 file a folder of PNGs, or a dataset.zip as StyleGAN reads it")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Folder for these  [default: that of the HDF5 file]")  # fmt: skip
@click.option("--batch", type=click.IntRange(1), help="Images computed at a time; changes none  [default: by memory]")
@click.option("--workers", "num_workers", type=click.IntRange(1), default=1, show_default=True,
              help="Processes on this machine that share the work; what each has finished is kept")  # fmt: skip
@click.option("--shard", metavar="I/N", help="Make only shard I, from 0, of N; auto: as torchrun or a Slurm array says")
@click.option("--merge", is_flag=True, help="Only merge the parts that shards have written")
@verify_option
@common_options("workspace", "preset", "seed", "device", "dry-run")
def synthesize(
    common: Common,
    kind: str,
    out: Path | None,
    batch: int | None,
    num_workers: int,
    shard: str | None,
    merge: bool,
    **options: Any,
) -> None:
    """Write synthetic images as HDF5, with the proof of what their generator saw.

    The same options give the same images, whatever the batch, the workers and the shards. The last shard to end merges
    the parts.
    """
    from ganaug.generate.shards import merge_parts, synthesize_all
    from ganaug.parallel.shards import read_shard
    from ganaug.workspace import require_place

    if sum([merge, shard is not None, num_workers > 1]) > 1:
        raise ConfigError("more than one of --shard, --workers and --merge", expected="one of them")
    if out is not None and kind == "h5":
        raise ConfigError("--out without --format", expected="--format png or zip, which are written there")
    if out is not None:
        require_place(out / "images")
    read = read_shard(shard) if shard else None
    plans = _plan(common, **options)
    device = _own_gpu(common.device) if shard == "auto" else common.device
    if common.dry_run:
        _print_cost(common, plans, device, batch)
        return
    if merge:
        paths = [merge_parts(plan) for plan in plans]
    else:
        compute = Compute(device, num_workers, progress=True)
        paths = synthesize_all(plans, compute=compute, batch=batch, shard=read)
    _print_files(common, plans, paths, kind, out)


def _plan(
    common: Common,
    dataset: str | None,
    fold: str | None,
    gans: tuple[str, ...],
    real_fraction: float,
    per_class: int | None,
    reject: tuple[tuple[str, float], ...],
    reject_copies: bool,
    **fields: Any,
) -> list["SynthesisPlan"]:
    """The plan of each generator; `fields` are those of SynthesisConfig."""
    from ganaug.generate.filters import require_known_filters
    from ganaug.generate.synthesize import plan_synthesis

    require_known_filters([name for name, _ in reject])
    given = [f"--reject {name}={value:g}" for name, value in reject if name == REJECT_COPIES[0]]
    if reject_copies and given:
        raise ConfigError(f"--reject-copies and {given[0]} both set the filter copies", expected="one of them")
    reject = (*reject, *([REJECT_COPIES] if reject_copies else []))
    config = replace(presets.synthesis(common.preset), seed=common.seed, reject=reject, **fields)
    if per_class is not None:
        config = replace(config, per_class=per_class)
    runs = find_generators(common, dataset, fold, gans, real_fraction)
    return [plan_synthesis(common.workspace, run, config, for_study=per_class is None) for run in runs]


def _own_gpu(device: str) -> str:
    """The GPU of this process where torchrun started one for each."""
    from ganaug.parallel.launcher import local_rank

    rank = local_rank()
    return f"cuda:{rank}" if device == "cuda" and rank is not None else device


def _print_cost(common: Common, plans: Sequence["SynthesisPlan"], device: str, batch: int | None) -> None:
    from ganaug.generate.cost import estimate_cost

    costs = [estimate_cost(plan, device=device, batch=batch) for plan in plans]
    seconds, size = sum(cost.seconds for cost in costs), sum(cost.bytes for cost in costs)
    lines = [f"would write {cost.file}: {_counts(cost)}" for cost in costs]
    lines.append(f"about {duration(seconds)} and {size / 2**20:.1f} MiB, {costs[0].batch} images at a time")
    if plans[0].config.reject:
        lines.append("not counted: the images that filters drop, and the time to fit the filters")
    common.report({"plans": [asdict(cost) for cost in costs], "seconds": seconds, "bytes": size}, "\n".join(lines))


def _counts(cost: "SynthesisCost") -> str:
    return ", ".join(f"{count} {name} (psi {cost.psi[name]:g})" for name, count in cost.counts.items())


def _print_files(
    common: Common, plans: Sequence["SynthesisPlan"], paths: Sequence[Path], kind: str, out: Path | None
) -> None:
    from ganaug.data.export import export_synthetic
    from ganaug.data.schema import read_table
    from ganaug.generate.filters import describe_acceptance

    files, acceptance = [], {}
    for plan, path in zip(plans, paths, strict=True):
        if path != plan.target:
            files.append(path)
            warn(f"note: {plan.target.name} is merged when the other shards have ended")
            continue
        files += [path] if kind == "h5" else [path, export_synthetic(path, kind, out or path.parent, progress=True)]
        if plan.config.reject:
            acceptance[str(path)] = read_table(path).attrs["acceptance"]
    lines = [str(path) for path in files] + [describe_acceptance(counts) for counts in acceptance.values()]
    common.report({"files": [str(path) for path in files], "acceptance": acceptance}, "\n".join(lines))
