"""The speed of training and sampling compared with NVlabs/stylegan2-ada-pytorch in the same run.

    python scripts/bench_gan.py --peer DIR [--device cuda] [--out scripts/results/gan-cpu.json]

DIR is a copy of the peer, which is run as it is: its networks, its loss, its phases. Both have the same network, batch
and options (path length, style mixing, R1; no ADA augmentation), and each contender its own process. They take turns.
The peer runs as published, and a second time with the allocator that ours sets by itself.
"""

import importlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from bench import common
from tqdm import tqdm

from ganaug.config import GanConfig, NetworkConfig
from ganaug.train.monitoring.meter import memory_mib
from ganaug.train.networks import make_networks, make_optimizers, step, update_ema
from ganaug.train.phases import Trainer, discriminator_step, generator_step, path_length_step, r1_step

NUM_CLASSES, GAMMA = 4, 0.05
SETTINGS = {"cpu": (8192, 256, 16), "cuda": (16384, 512, 32)}  # channel base, most channels, batch
RESOLUTIONS = {"cpu": (64, 128), "cuda": (256,)}
PHASES = {"Gmain": 1.0, "Greg": 1 / 4, "Dmain": 1.0, "Dreg": 1 / 16, "ema": 1.0}  # how often in an iteration
SAMPLING = "sampling"
CONTENDERS = {"ours": "tuned", "peer": "default", "peer, tuned": "tuned"}  # and the allocator of each

Work = Callable[[], object]
_works: dict[str, Work] = {}  # of this process


def start_ours(resolution: int, device: str, batch: int, base: int, most: int, half: bool) -> None:
    halves: dict[str, Any] = {"num_half": 4, "conv_clamp": 256.0} if half else {}
    network = NetworkConfig(resolution, NUM_CLASSES, channel_base=base, channel_max=most, **halves)
    config = GanConfig(network, total_kimg=1, batch=batch, r1_gamma=GAMMA)
    networks = make_networks(network, torch.Generator().manual_seed(0))
    for module in vars(networks).values():
        module.to(device)
    trainer = Trainer(networks, make_optimizers(networks, config), config, pl_mean=torch.zeros([], device=device))
    random, (img, c) = torch.Generator(device).manual_seed(0), real_batch(resolution, device, batch)
    _works["Gmain"] = partial(generator_step, trainer, c, random)
    _works["Greg"] = partial(path_length_step, trainer, c, random)
    _works["Dmain"] = partial(discriminator_step, trainer, img, c, random)
    _works["Dreg"] = partial(r1_step, trainer, img, c)
    _works["ema"] = partial(update_ema, networks.ema, networks.G, batch, 10**6)
    z = torch.randn(batch, network.z_dim, generator=random, device=device)
    _works[SAMPLING] = torch.no_grad()(partial(networks.ema, z, c, noise_mode="const"))


def start_peer(resolution: int, device: str, batch: int, base: int, most: int, half: bool) -> None:
    shape = {"c_dim": NUM_CLASSES, "img_resolution": resolution, "img_channels": 3}
    halves = {"num_fp16_res": 4, "conv_clamp": 256} if half else {}
    inner = {"channel_base": base, "channel_max": most, **halves}
    peer = importlib.import_module("training.networks")
    G = peer.Generator(z_dim=512, w_dim=512, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=inner, **shape)
    D = peer.Discriminator(epilogue_kwargs={"mbstd_group_size": 4}, **inner, **shape)
    ema = peer.Generator(z_dim=512, w_dim=512, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=inner, **shape)
    for network in (G, D, ema):
        network.to(device).train()
    ema.eval().requires_grad_(False)
    loss = importlib.import_module("training.loss").StyleGAN2Loss(device, G.mapping, G.synthesis, D, r1_gamma=GAMMA)
    img, c = real_batch(resolution, device, batch)
    for phase, network, interval in (("Gmain", G, 4), ("Greg", G, 4), ("Dmain", D, 16), ("Dreg", D, 16)):
        ratio = interval / (interval + 1)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.0025 * ratio, betas=(0.0, 0.99**ratio), eps=1e-8)
        _works[phase] = partial(peer_step, loss, phase, network, optimizer, img, c, interval if "reg" in phase else 1)
    _works["ema"] = partial(peer_ema, ema, G)
    z = torch.randn(batch, 512, device=device)
    _works[SAMPLING] = torch.no_grad()(partial(ema, z, c, noise_mode="const"))


def peer_step(loss: Any, phase: str, network: Any, optimizer: Any, img: Any, c: Any, gain: int) -> None:
    """One phase as the peer's training loop runs it."""
    network.requires_grad_(True)
    z = torch.randn(len(img), 512, device=img.device)
    loss.accumulate_gradients(phase=phase, real_img=img, real_c=c, gen_z=z, gen_c=c, sync=True, gain=gain)
    network.requires_grad_(False)
    step(optimizer)


def peer_ema(ema: Any, G: Any) -> None:
    with torch.no_grad():
        for average, parameter in zip(ema.parameters(), G.parameters(), strict=True):
            average.copy_(parameter.lerp(average, 0.999))


def real_batch(resolution: int, device: str, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    img = torch.randn(batch, 3, resolution, resolution, generator=generator)
    return img.to(device), torch.eye(NUM_CLASSES)[torch.arange(batch) % NUM_CLASSES].to(device)


def start(contender: str, peer: Path, device: str, *shape: Any) -> None:
    common.set_allocator(CONTENDERS[contender] if device == "cpu" else "default")
    if contender == "ours":
        start_ours(shape[0], device, *shape[1:])
    else:
        common.find_peer(peer)
        start_peer(shape[0], device, *shape[1:])


def time_work(name: str, device: str) -> float:
    return common.wall_ms(_works[name], device)


def peak_memory(device: str) -> float:
    return memory_mib(torch.device(device))


def bench(resolution: int, device: str, peer: Path, seconds: float, half: bool) -> list[dict[str, Any]]:
    base, most, batch = SETTINGS[device]
    with ExitStack() as stack:
        pools = {}
        for name in CONTENDERS if device == "cpu" else ("ours", "peer"):
            pools[name] = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
            pools[name].submit(start, name, peer, device, resolution, batch, base, most, half).result()
        rows: list[dict[str, Any]] = []
        for work in tqdm([*PHASES, SAMPLING], desc=f"{resolution} px"):
            turns = {name: partial(call, pool, time_work, work, device) for name, pool in pools.items()}
            rows.append({"resolution_px": resolution, "phase": work, "ms": common.take_turns(turns, seconds)})
        memory = {name: pool.submit(peak_memory, device).result() for name, pool in pools.items()}
    iteration = {name: sum(often * row["ms"][name] for often, row in zip(PHASES.values(), rows)) for name in pools}
    rows.append({"resolution_px": resolution, "phase": "iteration", "ms": iteration})
    return [*rows, {"resolution_px": resolution, "phase": "peak memory", "mib": memory}]


def call(pool: ProcessPoolExecutor, function: Callable[..., float], *arguments: Any) -> float:
    return pool.submit(function, *arguments).result()


def as_table(rows: list[dict[str, Any]], batch: int) -> str:
    names = list(rows[0]["ms"])
    lines = []
    for row in rows:
        values, unit = (row["ms"], "ms") if "ms" in row else (row["mib"], "MiB")
        cells = [f"{values[name]:.0f} {unit} ({values[name] / values['ours']:.2f}×)" for name in names]
        if row["phase"] in ("iteration", SAMPLING):
            cells = [f"{cell}, {1000 * batch / values[name]:.1f} img/s" for cell, name in zip(cells, names)]
        lines.append([str(row["resolution_px"]), row["phase"], *cells])
    return common.markdown_table(["px", "phase", *names], lines)


@click.command()
@click.option("--peer", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--resolution", "resolutions", multiple=True, type=int, help="In px; may be repeated")
@click.option("--half", is_flag=True, help="Mixed precision in both")
@click.option("--seconds", default=30.0, show_default=True, help="Measuring time per phase, of all contenders")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(peer: Path, device: str, resolutions: tuple[int, ...], half: bool, seconds: float, out: Path | None) -> None:
    """Measure training and sampling, ours and the peer's."""
    sizes = resolutions or RESOLUTIONS[device]
    rows = [row for size in sizes for row in bench(size, device, peer, seconds, half)]
    print(as_table(rows, SETTINGS[device][2]))
    if out:
        common.write_json(out, {"machine": common.describe_machine(device, "as named"), "half": half, "rows": rows})


if __name__ == "__main__":
    main()
