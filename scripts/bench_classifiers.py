"""The speed of training a classifier compared with the bare model on the same machine.

    python scripts/bench_classifiers.py [--out scripts/results/classifiers-cpu.json]

The bare model is a forward, cross-entropy, backward and AdamW step on one fixed batch of float images. Training does
all that and reads the images, augments them, clips the gradients and follows the schedule. All take turns, with a
copy of the same model each. Training hands images on in the layout in which they are read, channels last, which is the
faster one for convolutions; so the bare model runs in both layouts, and what training costs is its ratio to the second.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from bench import common
from torch.nn import functional as F
from tqdm import tqdm

from classifiers.config import ClassicalAugmentation, FitConfig
from classifiers.fit import Training
from classifiers.registry import build_seeded

MODELS = ("resvit_gannet_small", "dalaresnet50_small", "efficientnet_lite0")
LEVELS: tuple[ClassicalAugmentation, ...] = ("none", "light", "standard", "strong")
BATCH, IMAGE_SIZE_PX, NUM_IMAGES, NUM_CLASSES = 32, 64, 256, 2
BARE = {"bare": torch.contiguous_format, "bare, channels last": torch.channels_last}
ENDLESS = 10**6  # more steps than any measurement takes
TARGET = 0.95  # of the bare model's images per second, with the study's augmentation


def bare_step(name: str, layout: torch.memory_format, device: str) -> Callable[[], object]:
    model = build_seeded(name, NUM_CLASSES, 0, image_size_px=IMAGE_SIZE_PX).to(device).train()
    config = FitConfig()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, 3, IMAGE_SIZE_PX, IMAGE_SIZE_PX, generator=draw).to(device, memory_format=layout)
    labels = torch.randint(NUM_CLASSES, (BATCH,), generator=draw).to(device)

    def step() -> None:
        loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()

    return step


def training_step(name: str, level: ClassicalAugmentation, device: str) -> Callable[[], object]:
    model = build_seeded(name, NUM_CLASSES, 0, image_size_px=IMAGE_SIZE_PX)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (NUM_IMAGES, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=np.uint8)
    labels = rng.integers(0, NUM_CLASSES, NUM_IMAGES)
    config = FitConfig(num_steps=ENDLESS, eval_every=ENDLESS, batch=BATCH, classical_augmentation=level, device=device)
    order = rng.integers(0, NUM_IMAGES, (ENDLESS, BATCH))
    return Training(model, images, labels, config=config, order=order).step


def bench(name: str, device: str, seconds: float) -> dict[str, Any]:
    steps = {who: bare_step(name, layout, device) for who, layout in BARE.items()}
    steps |= {level: training_step(name, level, device) for level in LEVELS}
    turns = {who: partial(common.wall_ms, step, device) for who, step in steps.items()}
    times = common.take_turns(turns, seconds)
    return {
        "model": name,
        "images_per_second": {who: round(BATCH / time * 1e3, 1) for who, time in times.items()},
        "ratio": {who: {level: round(times[who] / times[level], 3) for level in LEVELS} for who in BARE},
    }


def as_table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        for who, ratios in row["ratio"].items():
            speed = f"{row['images_per_second'][who]:.1f}"
            lines.append([row["model"], who, speed, *(f"{ratios[level]:.2f}" for level in LEVELS)])
    return common.markdown_table(["model", "compared with", "its images/s", *LEVELS], lines)


@click.command()
@click.option("--model", "models", multiple=True, default=MODELS, show_default=True, help="Measure these")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--threads", default=1, show_default=True, help="Threads of PyTorch")
@click.option(
    "--seconds", default=30.0, show_default=True, help="Measuring time per model, for all contenders together"
)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(models: tuple[str, ...], device: str, threads: int, seconds: float, out: Path | None) -> None:
    """Measure every model; ratio: images per second of the training over those of the bare model."""
    torch.set_num_threads(threads)
    rows = [bench(name, device, seconds) for name in tqdm(models, desc="models")]
    print(as_table(rows))
    short = [row["model"] for row in rows if row["ratio"]["bare"]["standard"] < TARGET]
    print(f"below {TARGET} with standard augmentation: {', '.join(short) or 'none'}")
    if out:
        what = {"batch": BATCH, "image_size_px": IMAGE_SIZE_PX, "target": TARGET}
        common.write_json(out, {"machine": common.describe_machine(device, "default"), **what, "training": rows})


if __name__ == "__main__":
    main()
