"""The learning of a generator, by the Fréchet distance of features after a fixed number of images.

    python scripts/bench_learning.py peer --peer DIR --weights-dir DIR [--out scripts/results/learning-peer.json]
    python scripts/bench_learning.py augment --weights-dir DIR [--out scripts/results/learning-augment.json]
    python scripts/bench_learning.py transition --weights-dir DIR [--out scripts/results/learning-transition.json]
    python scripts/bench_learning.py race --weights-dir DIR --source DIR --keep FOLDER [--out FILE]

peer: ours against NVlabs/stylegan2-ada-pytorch (DIR is a copy of it, run as it is), on the phantom at 64 px: the same
networks, options and images in the same order. augment: few images with and without ADA. transition: fewer, conditional
from the start and by class transition. race: configurations at equal CPU seconds of one thread. Every run is a process
of one thread; contenders and seeds share the cores.
With --keep FOLDER, the same command resumes a run that was stopped.
"""

import importlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import click
import torch
from bench import common
from bench.race import CONTENDERS, DATA_SETS, HEAD, ROW_KEY, run_race, tabulate

from ganaug.augment.dihedral import random_dihedral
from ganaug.config import Compute, FoldsConfig, GanConfig, NetworkConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import DataSet, TrainingImages, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.model.pixels import from_pixels, one_hot
from ganaug.parallel.processes import run_parallel
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.loop import train_gan
from ganaug.train.monitoring.monitor import Monitor
from ganaug.train.networks import ema_beta, step
from ganaug.train.state import new_state
from ganaug.train.task import plan_training
from ganaug.workspace import open_workspace, read_jsonl

NETWORK = NetworkConfig(64, 4, z_dim=128, w_dim=128, channel_base=512, channel_max=64)
CONFIG = GanConfig(
    NETWORK, total_kimg=12.0, batch=8, learning_rate=0.004, r1_gamma=1.0, ema_kimg=2.0, snapshot_kimg=3.0,
    extractor="squeezenet", keep_snapshots=100,
)  # fmt: skip
FOLD = 0


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    question: str
    peer_folder: Path | None
    weights_dir: Path
    images: int | None
    kimg: float | None
    gamma: float
    dihedral: bool
    chosen: tuple[str, ...]
    seeds: int
    jobs: int
    keep: Path | None
    out: Path | None


def make_dataset(root: Path, images_per_class: int) -> None:
    """Make a phantom of which fold 0 trains on about so many images per class, 20 per patient."""
    if open_workspace(root).datasets():
        return
    patients = 4 * round(images_per_class / 20 * 5 / 3)  # three of five parts are trained on
    phantom = PhantomConfig(resolution_px=64, num_patients=patients, images_per_patient=20)
    prepare_dataset(
        open_workspace(root), PrepareConfig("phantom", resolution_px=64, folds=FoldsConfig(5), phantom=phantom)
    )


def train_ours(root: Path, config: GanConfig, weights: Path) -> list[dict[str, Any]]:
    workspace = open_workspace(root)
    run = train_gan(
        plan_training(workspace, open_dataset(workspace, "phantom"), FOLD, config), Compute(weights_dir=weights)
    )
    stats = {round(row["kimg"], 3): row for row in read_jsonl(run.stats)}
    rows = [{"kimg": row["kimg"], "score": row["score"]} for row in read_jsonl(run.scores)]
    return [row | {name: find_nearest(stats, row["kimg"])[name] for name in ("p", "real_signs")} for row in rows]


def find_nearest(stats: dict[float, dict[str, Any]], kimg: float) -> dict[str, Any]:
    """The line of stats that was written nearest to `kimg`."""
    return stats[min(stats, key=lambda written: abs(written - kimg))]


def train_peer(root: Path, config: GanConfig, weights: Path, folder: Path) -> list[dict[str, Any]]:
    """The peer's networks and loss in a loop of our own, on the same images; scored as ours are."""
    common.find_peer(folder)
    torch.manual_seed(config.seed)
    workspace = open_workspace(root)
    dataset: DataSet = open_dataset(workspace, "phantom")
    network, batch, shape = config.network, config.batch, {"c_dim": 4, "img_resolution": 64, "img_channels": 3}
    inner = {"channel_base": network.channel_base, "channel_max": network.channel_max}
    peer, loss_class = importlib.import_module("training.networks"), importlib.import_module("training.loss")
    widths = {"z_dim": network.z_dim, "w_dim": network.w_dim, "mapping_kwargs": {"num_layers": 2}}
    G, ema = (peer.Generator(**widths, synthesis_kwargs=inner, **shape) for _ in range(2))
    D = peer.Discriminator(epilogue_kwargs={"mbstd_group_size": 4}, **inner, **shape)
    ema.load_state_dict(G.state_dict())
    ema.eval().requires_grad_(False)
    mixing = {"style_mixing_prob": config.style_mixing, "pl_weight": config.pl_weight}
    loss = loss_class.StyleGAN2Loss(torch.device("cpu"), G.mapping, G.synthesis, D, r1_gamma=config.r1_gamma, **mixing)
    optimizers = {module: lazy_adam(module, config, every) for module, every in ((G, 4), (D, 16))}
    order, random = TrainingImages(dataset, FOLD, batch, config.seed), torch.Generator().manual_seed(config.seed)
    state, rows = new_state(config, ProcessGroup()), []
    monitor = Monitor(plan_training(workspace, dataset, FOLD, config), weights)
    for iteration in range(round(config.total_kimg * 1000) // batch):
        pixels, labels = order.batch_at(iteration)
        img, c = from_pixels(pixels), one_hot(labels, 4)
        img = random_dihedral(img, random) if config.dihedral else img
        for phase, module, every in (("Gmain", G, 1), ("Greg", G, 4), ("Dmain", D, 1), ("Dreg", D, 16)):
            if iteration % every == 0:
                peer_step(loss, phase, module, optimizers[module], img, c, random, every)
        beta = ema_beta(batch, iteration * batch, config.ema_kimg, config.ema_rampup)
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(G.parameters()), 1 - beta)
            for average, buffer in zip(ema.buffers(), G.buffers(), strict=True):
                average.copy_(buffer)
        shown = (iteration + 1) * batch
        if shown % round(1000 * (config.snapshot_kimg or config.total_kimg)) == 0:
            rows.append({"kimg": shown / 1000, "score": monitor.score_of(PeerSampler(ema, network), state).score})
    return rows


class PeerSampler:
    """The peer's average, to be called as ours."""

    def __init__(self, ema: Any, config: NetworkConfig) -> None:
        self.ema, self.config = ema, config

    def __call__(self, z: torch.Tensor, c: torch.Tensor, **_: Any) -> torch.Tensor:
        img: torch.Tensor = self.ema(z, c, noise_mode="random")
        return img


def lazy_adam(module: Any, config: GanConfig, every: int) -> torch.optim.Adam:
    ratio = every / (every + 1)
    return torch.optim.Adam(module.parameters(), lr=config.learning_rate * ratio, betas=(0.0, 0.99**ratio), eps=1e-8)


def peer_step(
    loss: Any, phase: str, module: Any, optimizer: Any, img: Any, c: Any, random: torch.Generator, gain: int
) -> None:
    z = torch.randn(len(img), module.z_dim if hasattr(module, "z_dim") else CONFIG.network.z_dim, generator=random)
    module.requires_grad_(True)
    loss.accumulate_gradients(phase=phase, real_img=img, real_c=c, gen_z=z, gen_c=c, sync=True, gain=gain)
    module.requires_grad_(False)
    step(optimizer)


def run(name: str, seed: int, contender: Callable[..., list[dict[str, Any]]], *arguments: Any) -> dict[str, Any]:
    return {"contender": name, "seed": seed, "curve": contender(*arguments)}


def report(rows: list[dict[str, Any]], about: dict[str, Any], out: Path | None) -> None:
    """A table of the scores at the last moment that all runs have, and all curves as JSON."""
    names = list(dict.fromkeys(row["contender"] for row in rows))
    scores_at = [{point["kimg"]: point["score"] for point in row["curve"]} for row in rows]
    compared = max(set.intersection(*map(set, scores_at)))
    last = {name: [at[compared] for row, at in zip(rows, scores_at) if row["contender"] == name] for name in names}
    lines = []
    for name, scores in last.items():
        ratio = mean(scores) / mean(last[names[-1]])
        lines.append([name, *(f"{score:.2f}" for score in scores), f"{mean(scores):.2f}", f"{ratio:.3f}"])
    seeds = [f"seed {seed}" for seed in range(len(lines[0]) - 3)]
    print(f"at {compared:g} kimg")
    print(common.markdown_table(["contender", *seeds, "mean", f"of {names[-1]}"], lines))
    if out:
        common.write_json(out, {"machine": common.describe_machine("cpu", "tuned"), **about, "rows": rows})


@click.command()
@click.argument("question", type=click.Choice(["peer", "augment", "transition", "race"]))
@click.option("--peer", "peer_folder", type=click.Path(path_type=Path, exists=True))
@click.option("--weights-dir", type=click.Path(path_type=Path, exists=True), required=True, help="Of SqueezeNet")
@click.option("--images", type=int, help="Training images per class  [default: 240, 200 or 100]")
@click.option("--kimg", type=float, help="Length of every run  [default: 12, 48 or 24]")
@click.option("--gamma", type=float, default=CONFIG.r1_gamma, show_default=True, help="Weight of the R1 penalty")
@click.option("--dihedral/--no-dihedral", default=True, help="Real images in all eight orientations")
@click.option("--contender", "chosen", multiple=True, help="Only these  [default: all]")
@click.option("--seeds", default=3, show_default=True)
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Train in this folder, and resume what is there")
@click.option(
    "--data", multiple=True, type=click.Choice(DATA_SETS), help="race: only on these  [default: the first two]"
)
@click.option("--minutes", type=float, multiple=True, default=(5.0, 20.0), show_default=True, help="race: of the CPU")
@click.option("--resolution", type=int, default=64, show_default=True, help="race: in pixels")
@click.option("--source", type=click.Path(path_type=Path, exists=True), help="race: the folder of BreakHis")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(**options: Any) -> None:
    """Train the contenders and compare them."""
    race_options = {name: options.pop(name) for name in ("data", "minutes", "resolution", "source")}
    if options["question"] == "race":
        compare_at_equal_times(Options(**options), **race_options)
    else:
        compare(Options(**options))


def compare_at_equal_times(
    options: Options, data: tuple[str, ...], minutes: tuple[float, ...], resolution: int, source: Path | None
) -> None:
    chosen = options.chosen or tuple(CONTENDERS)
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / f"{resolution}px"
        rows = run_race(
            root,
            data or DATA_SETS[:2],
            chosen,
            options.seeds,
            minutes,
            resolution,
            source,
            options.weights_dir,
            options.jobs,
        )
    print(common.markdown_table(HEAD, tabulate(rows)))
    if options.out:
        machine = common.describe_machine("cpu", "tuned")
        about = {"machine": machine, "question": "race", "resolution_px": resolution}
        common.write_json(options.out, add_rows(options.out, about, rows))


def add_rows(path: Path, about: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What earlier races wrote into a file, with these rows in place of its own of the same run and time."""
    earlier: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": []}
    by_key = {tuple(row[name] for name in ROW_KEY): row for row in [*earlier["rows"], *rows]}
    return {**earlier, **about, "rows": list(by_key.values())}


def compare(options: Options) -> None:
    question, chosen = options.question, options.chosen
    default_images, default_kimg = {"peer": (240, 12.0), "augment": (200, 48.0), "transition": (100, 24.0)}[question]
    images, kimg = options.images or default_images, options.kimg or default_kimg
    base = replace(CONFIG, total_kimg=kimg, snapshot_kimg=kimg / 8, r1_gamma=options.gamma, dihedral=options.dihedral)
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_dataset(root, images)
        calls: list[tuple[Any, ...]] = []
        for seed in range(options.seeds):
            for name, config in contenders(question, replace(base, seed=seed)).items():
                if not chosen or name in chosen:
                    calls.append((name, seed, train_ours, root, config, options.weights_dir))
            if question == "peer" and (not chosen or "peer" in chosen):
                peer_config = replace(base, seed=seed)
                calls.append(("peer", seed, train_peer, root, peer_config, options.weights_dir, options.peer_folder))
        rows = [row for _, row in sorted(run_parallel(run, calls, options.jobs), key=lambda done: done[0])]
    about = {"question": question, "images_per_class": images, "kimg": kimg}
    about |= {"gamma": options.gamma, "dihedral": options.dihedral}
    report(rows, about, options.out)


def contenders(question: str, config: GanConfig) -> dict[str, GanConfig]:
    """Ours, by name; the last is what the others are compared with."""
    if question == "peer":
        return {"ours": config}
    short = replace(config, style_mixing=0.0, pl_weight=0.0)
    if question == "augment":
        fast = replace(short, ada_kimg=20.0)  # the paper's 500 for its 25,000; in so short a run p would not move
        return {
            "bgc": replace(fast, ada_pipeline="bgc"),
            "histology": replace(fast, ada_pipeline="histology"),
            "none": short,
        }
    third = config.total_kimg / 3
    return {"transition": replace(short, transition_kimg=(third / 2, third)), "conditional": short}


if __name__ == "__main__":
    main()
