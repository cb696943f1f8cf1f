"""The way from data to synthetic images on a GPU, and the same on the CPU, where the test itself is tested."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganaug.checkpoint.snapshot import load_tensors
from ganaug.config import Compute, GanConfig, NetworkConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.data.schema import read_table
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])]
NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
CONFIG = GanConfig(NETWORK, total_kimg=0.064, batch=8, r1_interval=2, state_kimg=0.016)
PROJECTED = replace(CONFIG, discriminator="projected", r1_gamma=0.0, class_penalty=0.15)
CONFIGS = {"stylegan2": CONFIG, "projected": PROJECTED}


@pytest.mark.parametrize("discriminator", CONFIGS)
@pytest.mark.parametrize("device", DEVICES)
def test_training_is_resumed_and_images_are_made(
    workspace: Workspace, tiny: DataSet, device: str, discriminator: str
) -> None:
    config = CONFIGS[discriminator]
    train_gan(plan_training(workspace, tiny, 0, replace(config, total_kimg=0.024)), Compute(device))
    run = train_gan(plan_training(workspace, tiny, 0, config), Compute(device))
    assert int(load_tensors(run.states()[-1])[1]["num_images"]) == 64
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=3)), compute=Compute(device))
    assert read_table(path).class_counts().tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("device", DEVICES)
def test_the_first_iterations_agree_with_the_cpu(tmp_path: Path, tiny: DataSet, device: str, kind: str) -> None:
    """Each device draws latents of its own, so weights are compared loosely: both began alike and moved two steps."""
    config = replace(CONFIGS[kind], total_kimg=0.016, learning_rate=0.001)

    def discriminator(name: str, device: str, seed: int) -> dict[str, Tensor]:
        run = train_gan(plan_training(Workspace(tmp_path / name), tiny, 0, replace(config, seed=seed)), Compute(device))
        tensors = load_tensors(run.states()[-1])[0]
        return {name: tensors[name] for name in tensors if name.startswith("D.") and name.endswith("weight")}

    expected, seen, other = discriminator("a", "cpu", 0), discriminator("b", device, 0), discriminator("c", "cpu", 1)
    assert seen.keys() == expected.keys()
    assert len(seen) > 5
    for name, value in expected.items():
        assert (seen[name].cpu() - value).norm() < 0.1 * value.norm(), name
        assert (other[name] - value).norm() > 0.1 * value.norm(), name  # so the bound distinguishes weights
