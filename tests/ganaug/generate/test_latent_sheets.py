"""The strips begin and end where they say, and are marked as what they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganaug.checkpoint.snapshot import Snapshot, save_snapshot
from ganaug.config import GanConfig, NetworkConfig
from ganaug.data.images.png import is_marked_synthetic
from ganaug.errors import ConfigError, WorkspaceError
from ganaug.generate.latent_sheets import (
    NUM_KEYS,
    NUM_MORPHS,
    StripPlan,
    draw_strips,
    interpolate_latents,
    morph_classes,
)
from ganaug.model.generator import Generator
from ganaug.provenance import Provenance
from ganaug.workspace import GanRun, Workspace

NETWORK = NetworkConfig(16, 3, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
RECORD = Provenance("bach", "a" * 64, "b" * 64, 0, ("p1", "p2"), "c" * 64, kimg=2.0)


@pytest.fixture
def run(workspace: Workspace) -> GanRun:
    return workspace.gan("bach", 0, "c" * 64)


@pytest.fixture
def snapshot(run: GanRun) -> Snapshot:
    generator = Generator(NETWORK, generator=torch.Generator().manual_seed(0)).eval().requires_grad_(False)
    snapshot = Snapshot(generator, GanConfig(NETWORK, total_kimg=2.0), ("a", "b", "c"), RECORD)
    save_snapshot(run.ema(2), snapshot)
    return snapshot


def test_an_interpolation_passes_through_its_latents_on_straight_lines(run: GanRun, snapshot: Snapshot) -> None:
    z = torch.randn(NUM_KEYS, 16, generator=torch.Generator().manual_seed(7))
    rows = interpolate_latents(snapshot, StripPlan(run, num_steps=4, seed=7), "cpu")
    for c, w in zip(torch.eye(3), rows, strict=True):
        keys = snapshot.generator.mapping(z, c.expand(NUM_KEYS, -1))[:, 0]
        assert torch.allclose(w[::4], keys, atol=1e-5)
        assert torch.allclose(w[1], keys[0].lerp(keys[1], 0.25), atol=1e-5)


def test_a_morph_shows_one_latent_in_every_class(run: GanRun, snapshot: Snapshot) -> None:
    z = torch.randn(NUM_MORPHS, 16, generator=torch.Generator().manual_seed(7))
    rows = morph_classes(snapshot, StripPlan(run, num_steps=3, seed=7), "cpu")
    assert [len(w) for w in rows] == [7] * NUM_MORPHS
    for latent, w in zip(z, rows, strict=True):
        assert torch.allclose(w[::3], snapshot.generator.mapping(latent.expand(3, -1), torch.eye(3))[:, 0], atol=1e-5)


def test_the_sheets_are_marked_and_the_same_each_time(run: GanRun, snapshot: Snapshot) -> None:
    paths = draw_strips(StripPlan(run, num_steps=2))
    assert [path.name.split("-")[0] for path in paths] == ["interpolation", "morph"]
    for path in paths:
        with Image.open(path) as image:
            assert is_marked_synthetic(image)
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw_strips(StripPlan(run, num_steps=2))] == before


def test_full_truncation_shows_one_image(run: GanRun, snapshot: Snapshot) -> None:
    def are_equal(path: Path) -> bool:
        """Whether the first two images of a sheet are the same."""
        sheet = np.asarray(Image.open(path))
        return np.array_equal(sheet[2:98, 2:98], sheet[2:98, 100:196])

    assert are_equal(draw_strips(StripPlan(run, num_steps=1, psi=0.0))[1])
    assert not are_equal(draw_strips(StripPlan(run, num_steps=1))[1])


@pytest.mark.parametrize("option", [{"num_steps": 0}, {"psi": 1.5}, {"psi": -0.1}])
def test_impossible_strips_are_one_line(run: GanRun, option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(StripPlan(run), **option)


def test_a_run_without_a_snapshot_is_named(run: GanRun) -> None:
    with pytest.raises(WorkspaceError, match="has not finished training"):
        draw_strips(StripPlan(run))
