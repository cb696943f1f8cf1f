"""The way from data to synthetic images on a GPU; skipped, saying so, where there is none."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganaug.checkpoint import load_tensors
from ganaug.config import GanConfig, NetworkConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.data.schema import read_table
from ganaug.synthesize import plan_synthesis, synthesize
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
CONFIG = GanConfig(NETWORK, total_kimg=0.064, batch=8, r1_interval=2, state_kimg=0.016)


def test_training_is_taken_up_and_images_are_made(workspace: Workspace, tiny: DataSet) -> None:
    train_gan(plan_training(workspace, tiny, 0, replace(CONFIG, total_kimg=0.024)), "cuda")
    run = train_gan(plan_training(workspace, tiny, 0, CONFIG), "cuda")
    assert int(load_tensors(run.states()[-1])[1]["num_images"]) == 64
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=3)), device="cuda")
    assert read_table(path).class_counts().tolist() == [3, 3, 3, 3]


def test_the_first_iterations_agree_with_the_processor(tmp_path: Path, workspace: Workspace, tiny: DataSet) -> None:
    """Each device draws latents of its own, so weights are compared loosely: both began alike and moved two steps."""
    config = replace(CONFIG, total_kimg=0.016)
    states = [
        load_tensors(train_gan(plan_training(Workspace(tmp_path / device), tiny, 0, config), device).state)[0]
        for device in ("cpu", "cuda")
    ]
    for name in (name for name in states[0] if name.startswith("D.") and name.endswith("weight")):
        difference = (states[0][name] - states[1][name]).norm() / states[0][name].norm()
        assert difference < 0.1, name
