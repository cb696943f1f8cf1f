"""A GPU too small for its part of a batch takes fewer images at a time; one too small for a single image is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from ganaug.config import GanConfig, NetworkConfig
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError
from ganaug.train import memory
from ganaug.train import phases as phases_module
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.loop import train_gan
from ganaug.train.memory import fits_in_memory, with_largest_micro_batch
from ganaug.train.task import Task, plan_training
from ganaug.workspace import Workspace

NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
CONFIG = GanConfig(NETWORK, total_kimg=0.024, batch=12, ada_pipeline="bgc")
GPU = ProcessGroup(device=torch.device("cuda"))


@pytest.fixture
def task(workspace: Workspace, tiny: DataSet) -> Task:
    return plan_training(workspace, tiny, 0, CONFIG)


def gpu_that_holds(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """A GPU for so many images at a time; returns the numbers that were tried."""
    tried: list[int] = []

    def fits_in_memory(config: GanConfig, processes: ProcessGroup) -> bool:
        assert config.micro_batch is not None
        tried.append(config.micro_batch)
        return config.micro_batch <= number

    monkeypatch.setattr(memory, "fits_in_memory", fits_in_memory)
    return tried


@pytest.mark.parametrize(("number", "micro"), [(100, None), (12, None), (11, 6), (5, 3), (2, 2), (1, 1)])
def test_the_largest_part_that_fits_is_taken(
    number: int, micro: int | None, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_that_holds(monkeypatch, number)
    assert with_largest_micro_batch(task, GPU).config.micro_batch == micro
    assert with_largest_micro_batch(task, GPU).digest == task.digest


def test_a_gpu_without_room_for_one_image_is_refused_in_one_line(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_that_holds(monkeypatch, 0) == []
    with pytest.raises(ConfigError, match="does not hold one image; train at a lower resolution"):
        with_largest_micro_batch(task, GPU)


def test_what_the_user_chose_and_a_cpu_are_left_alone(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = gpu_that_holds(monkeypatch, 1)
    chosen = replace(task, config=replace(CONFIG, micro_batch=7))
    assert with_largest_micro_batch(chosen, GPU) is chosen
    assert with_largest_micro_batch(task, ProcessGroup()) is task
    assert tried == []


def recorded(step: Callable[..., object], names: list[str]) -> Callable[..., object]:
    """The step, which also adds its name to the list."""

    def record(*arguments: object) -> object:
        names.append(step.__name__)
        return step(*arguments)

    return record


def test_the_trial_runs_every_phase_and_reports_want_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    phases: list[str] = []
    for name in ("generator_step", "path_length_step", "discriminator_step", "r1_step"):
        step = getattr(phases_module, name)
        monkeypatch.setattr(phases_module, name, recorded(step, phases))
    assert fits_in_memory(CONFIG, ProcessGroup())
    assert phases == ["generator_step", "path_length_step", "discriminator_step", "r1_step"]

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(phases_module, "r1_step", full)
    assert not fits_in_memory(CONFIG, ProcessGroup())


def test_out_of_memory_in_training_names_a_size_to_try(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("ganaug.train.loop.iterate", full)
    with pytest.raises(ConfigError, match="12 images at a time; pass --micro-batch 6"):
        train_gan(task)
