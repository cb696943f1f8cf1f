"""Sheets of strips to look at: between two latents of a class, and between two classes of one latent."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganaug.checkpoint.snapshot import Snapshot, load_snapshot_of
from ganaug.data.images.png import encode_png
from ganaug.data.images.sheet import sheet
from ganaug.errors import ConfigError
from ganaug.generate.sampler import CHUNK, Pixels, best_snapshot, one_thread
from ganaug.model.pixels import to_pixels
from ganaug.workspace import GanRun, atomic_path

NUM_KEYS = 3  # latents that a row of the interpolation passes through
NUM_MORPHS = 4  # latents that pass through the classes, one per row


@dataclass(frozen=True)
class StripPlan:
    """A generator and how its sheets are drawn; see `draw_strips`."""

    run: GanRun
    num_steps: int = 4  # images from one latent or class to the next
    psi: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise ConfigError(f"{self.num_steps} steps", expected="at least 1")
        if not 0 <= self.psi <= 1:
            raise ConfigError(f"psi {self.psi}", expected="a number from 0 to 1")

    def paths(self) -> list[Path]:
        """The files of the interpolation and of the morph."""
        _, kimg = best_snapshot(self.run)
        return [self.run.strips(kind, kimg, self.psi, self.seed) for kind in ("interpolation", "morph")]


def draw_strips(plan: StripPlan, *, device: str = "cpu") -> list[Path]:
    """Write both sheets, marked as synthetic, into the samples folder of a run; returns their paths.

    Interpolation: one row per class, in w, through NUM_KEYS latents. Morph: one row per latent, through the classes in
    order, as the embedding of one class moves to that of the next. The noise is constant.
    """
    snapshot = load_snapshot_of(plan.run, best_snapshot(plan.run)[0], device)
    for path, draw in zip(plan.paths(), (interpolate_latents, morph_classes)):
        with one_thread():
            rows = [_images(snapshot, w, plan.psi) for w in draw(snapshot, plan, device)]
        with atomic_path(path) as part:
            part.write_bytes(encode_png(sheet(rows), synthetic=True))
    return plan.paths()


@torch.no_grad()
def interpolate_latents(snapshot: Snapshot, plan: StripPlan, device: str) -> list[Tensor]:
    """For each class w [n, w_dim] on the lines between the w of NUM_KEYS latents."""
    z = _latents(snapshot, NUM_KEYS, plan.seed, device)
    weights = _weights_between(NUM_KEYS, plan.num_steps).to(device)
    return [weights @ _map(snapshot, z, c.expand(len(z), -1)) for c in _classes(snapshot, device)]


@torch.no_grad()
def morph_classes(snapshot: Snapshot, plan: StripPlan, device: str) -> list[Tensor]:
    """For each of NUM_MORPHS latents w [n, w_dim] of class vectors that move from one class to the next.

    The embedding is linear in the class vector, so it moves on a line as well.
    """
    classes = _classes(snapshot, device)
    c = _weights_between(len(classes), plan.num_steps).to(device) @ classes
    z = _latents(snapshot, NUM_MORPHS, plan.seed, device)
    return [_map(snapshot, latent.expand(len(c), -1), c) for latent in z]


def _weights_between(num_keys: int, num_steps: int) -> Tensor:
    """Weights [(num_keys - 1) · num_steps + 1, num_keys] of the keys on the way from the first to the last."""
    place = torch.arange((num_keys - 1) * num_steps + 1) / num_steps
    return F.relu(1 - (place[:, None] - torch.arange(num_keys)).abs())


def _latents(snapshot: Snapshot, num: int, seed: int, device: str) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(num, snapshot.config.network.z_dim, generator=random).to(device)


def _classes(snapshot: Snapshot, device: str) -> Tensor:
    return torch.eye(snapshot.config.network.num_classes, device=device)


def _map(snapshot: Snapshot, z: Tensor, c: Tensor) -> Tensor:
    ws: Tensor = snapshot.generator.mapping(z, c)
    return ws[:, 0]


@torch.no_grad()
def _images(snapshot: Snapshot, w: Tensor, psi: float) -> Pixels:
    generator = snapshot.generator
    w = generator.mapping.w_avg.lerp(w, psi)
    ws = w[:, None].expand(-1, generator.synthesis.num_ws, -1)
    return np.concatenate([to_pixels(generator.synthesis(part, "const")) for part in torch.split(ws, CHUNK)])
