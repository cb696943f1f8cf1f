"""The training loop: resumed to the bit, locked, saved and shown as asked."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from ganaug.checkpoint.snapshot import load_snapshot, load_tensors
from ganaug.config import GanConfig, NetworkConfig
from ganaug.data.dataset import DataSet, TrainingImages
from ganaug.errors import DataError, LeakError, UserError, WorkspaceError
from ganaug.train import loop
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.loop import Due, train_gan
from ganaug.train.monitoring.meter import require_finite
from ganaug.train.state import new_state
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace, read_jsonl

NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
CONFIG = GanConfig(NETWORK, total_kimg=0.064, batch=8, r1_interval=2, state_kimg=0.016)


def weights_of(workspace: Workspace, dataset: DataSet, config: GanConfig) -> dict[str, torch.Tensor]:
    run = train_gan(plan_training(workspace, dataset, 0, config))
    return load_tensors(run.states()[-1])[0]


PROJECTED = replace(CONFIG, discriminator="projected", r1_gamma=0.0, pl_weight=0.0, class_penalty=0.5)


@pytest.mark.parametrize("config", [CONFIG, PROJECTED], ids=["stylegan2", "projected"])
def test_training_in_two_parts_equals_training_in_one_to_the_bit(
    config: GanConfig, tmp_path: Path, workspace: Workspace, tiny: DataSet
) -> None:
    whole = weights_of(Workspace(tmp_path / "other"), tiny, config)
    weights_of(workspace, tiny, replace(config, total_kimg=0.024))
    parts = weights_of(workspace, tiny, config)
    assert whole.keys() == parts.keys()
    assert any(name.startswith("optimizer.") for name in whole)
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []


def test_a_generator_is_shown_the_training_patients_and_no_others(workspace: Workspace, tiny: DataSet) -> None:
    run = train_gan(plan_training(workspace, tiny, 1, CONFIG))
    newest = run.newest_ema()
    assert newest is not None
    record = load_snapshot(newest).provenance
    assert set(record.groups_seen) == set(map(tiny.table.patient_digest, tiny.folds.train_groups(1)))
    held_out = {*tiny.folds.val_groups(1), *tiny.folds.test_groups(1)}
    assert not set(record.groups_seen) & set(map(tiny.table.patient_digest, held_out))
    assert (record.fold, record.dataset_fingerprint) == (1, tiny.table.fingerprint)


def test_the_same_call_again_trains_nothing(workspace: Workspace, tiny: DataSet) -> None:
    task = plan_training(workspace, tiny, 0, CONFIG)
    run = train_gan(task)
    files = {path for path in run.root.rglob("*") if path.is_file()} - {run.stats, run.trainer}
    before = {path: path.stat().st_mtime_ns for path in files}
    train_gan(task)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_lines_after_the_state_that_is_resumed_are_dropped(workspace: Workspace, tiny: DataSet) -> None:
    run = train_gan(plan_training(workspace, tiny, 0, replace(CONFIG, total_kimg=0.024)))
    with run.stats.open("a") as file:
        file.write('{"kimg": 0.032, "loss_g": 99.0}\n{"kimg": 0.0')
    train_gan(plan_training(workspace, tiny, 0, CONFIG))
    lines = read_jsonl(run.stats)
    assert [line["kimg"] for line in lines] == [0.024, 0.064]
    assert all(line["loss_g"] != 99.0 for line in lines)


def test_a_truncated_line_does_not_spoil_the_next_one(workspace: Workspace, tiny: DataSet) -> None:
    run = train_gan(plan_training(workspace, tiny, 0, replace(CONFIG, total_kimg=0.024)))
    with run.stats.open("a") as file:
        file.write('{"kimg": 0.02')
    train_gan(plan_training(workspace, tiny, 0, CONFIG))
    assert [line["kimg"] for line in read_jsonl(run.stats)] == [0.024, 0.064]


def test_another_configuration_another_folder(workspace: Workspace, tiny: DataSet) -> None:
    task = plan_training(workspace, tiny, 0, CONFIG)
    longer = plan_training(workspace, tiny, 0, replace(CONFIG, total_kimg=9.0, state_kimg=1.0))
    sharper = plan_training(workspace, tiny, 0, replace(CONFIG, r1_gamma=1.0))
    assert task.run == longer.run != sharper.run


def test_a_state_of_another_run_is_refused(workspace: Workspace, tiny: DataSet) -> None:
    run = train_gan(plan_training(workspace, tiny, 0, CONFIG))
    other = plan_training(workspace, tiny, 0, replace(CONFIG, seed=5))
    newest = run.states()[-1]
    other.run.state(64).parent.mkdir(parents=True)
    other.run.state(64).write_bytes(newest.read_bytes())
    with pytest.raises(WorkspaceError, match="another configuration"):
        train_gan(other)


def test_a_data_set_smaller_than_a_batch_is_refused_before_anything_is_written(
    workspace: Workspace, tiny: DataSet
) -> None:
    with pytest.raises(DataError, match="at least one batch of 512"):
        plan_training(workspace, tiny, 0, replace(CONFIG, batch=512))
    assert workspace.gans() == []


def test_a_training_that_is_refused_at_its_first_image_leaves_no_description(
    workspace: Workspace, tiny: DataSet
) -> None:
    with h5py.File(tiny.path, "r+") as file:
        file["images"][0] = 255 - file["images"][0]
    task = plan_training(workspace, tiny, 0, CONFIG)
    with pytest.raises(LeakError):
        train_gan(task)
    assert not task.run.config.exists()
    assert not task.run.environment.exists()
    assert workspace.gans() == []


def test_divergence_is_reported_in_one_line(workspace: Workspace, tiny: DataSet) -> None:
    run = plan_training(workspace, tiny, 0, CONFIG).run
    with pytest.raises(UserError, match="loss_g is not a finite number"):
        require_finite({"kimg": 1.0, "loss_d": 0.5, "loss_g": float("nan")}, run)


def test_the_sheets_show_a_row_per_class(workspace: Workspace, tiny: DataSet) -> None:
    run = train_gan(plan_training(workspace, tiny, 0, CONFIG))
    with Image.open(run.samples(CONFIG.total_kimg)) as fakes, Image.open(run.reals) as reals:
        assert fakes.size == reals.size
        assert fakes.size[0] > fakes.size[1]  # eight columns, four rows


SCRIPT = """
import sys
from dataclasses import replace
import torch; torch.set_num_threads(1)
from ganaug.workspace import Workspace
from ganaug.data.dataset import open_dataset
from ganaug.config import GanConfig, NetworkConfig
from ganaug.train.loop import Due, train_gan
from ganaug.train.task import plan_training
from pathlib import Path
workspace = Workspace(Path(sys.argv[1]))
network = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
config = GanConfig(network, total_kimg=float(sys.argv[2]), batch=8, r1_interval=2, state_kimg=0.016)
train_gan(plan_training(workspace, open_dataset(workspace, "phantom"), 0, config))
"""


Start = Callable[[Workspace, float], "subprocess.Popen[bytes]"]


@pytest.fixture
def started(wait_until: Callable[..., None]) -> Iterator[Start]:
    """Starts a training in a process of its own, and returns it once it has written its first state."""
    processes = []

    def start(workspace: Workspace, kimg: float) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-c", SCRIPT, str(workspace.root), str(kimg)]
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE)
        processes.append(process)
        states = workspace.root / "gans"
        wait_until(lambda: list(states.glob("*/state/state-*.safetensors")) or process.poll() is not None)
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        return process

    yield start
    for process in processes:  # of a test that failed
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    number: signal.Signals, tmp_path: Path, workspace: Workspace, tiny: DataSet, started: Start
) -> None:
    process = started(workspace, 1000.0)
    os.kill(process.pid, number)
    process.wait(timeout=120)
    state = max(workspace.root.glob("gans/*/state/state-*.safetensors"))
    shown = int(load_tensors(state)[1]["num_images"])
    config = replace(CONFIG, total_kimg=(shown + 16) / 1000)
    resumed = weights_of(workspace, tiny, config)
    whole = weights_of(Workspace(tmp_path / "other"), tiny, config)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    assert list(workspace.root.rglob("*.part")) == [] or number == signal.SIGKILL


@pytest.mark.parametrize("stops", [[], [24], [8, 16, 24, 32, 40, 48, 56, 64, 72]])
def test_snapshots_come_at_the_same_moments_however_often_a_run_is_stopped(
    stops: list[int], workspace: Workspace, tiny: DataSet
) -> None:
    """Counted from where it was resumed, a run that is stopped often enough would never write one."""
    seen = []
    for start, stop in zip([0, *stops], [*stops, 80], strict=True):
        due = Due(0.02, start)
        seen += [number for number in range(start + 8, stop + 1, 8) if due(number)]
    assert seen == [24, 40, 64, 80]
    assert not any(Due(None, 0)(number) for number in range(0, 80, 8))


def test_a_snapshot_is_made_up_for_that_was_due_when_a_stop_came(workspace: Workspace, tiny: DataSet) -> None:
    run = train_gan(plan_training(workspace, tiny, 0, replace(CONFIG, total_kimg=0.016)))
    run.ema(0.016).unlink()
    train_gan(plan_training(workspace, tiny, 0, replace(CONFIG, total_kimg=0.024, snapshot_kimg=0.016)))
    assert run.ema(0.016).exists()


def test_what_was_due_before_a_stop_is_distinguished_from_what_was_not() -> None:
    came = [number for number in range(0, 80, 8) if Due(0.02, number).came_within(8)]
    assert came == [24, 40, 64]
    assert not Due(None, 24).came_within(8)


def test_a_run_that_is_being_trained_refuses_another_process(
    workspace: Workspace, tiny: DataSet, started: Start
) -> None:
    process = started(workspace, 1000.0)
    task = plan_training(workspace, tiny, 0, replace(CONFIG, state_kimg=0.016, total_kimg=0.016))
    with pytest.raises(WorkspaceError, match=rf'another process trains .*"process": {process.pid}\}}; wait for it'):
        train_gan(task)
    assert process.poll() is None, "the first one trains on"
    process.kill()
    process.wait(timeout=120)
    train_gan(task)  # nothing that the killed one left behind holds the run


@pytest.mark.parametrize(("asked", "orientations"), [(True, 8), (False, 1)])
def test_every_orientation_of_a_training_image_is_shown_if_asked(
    asked: bool, orientations: int, monkeypatch: pytest.MonkeyPatch, workspace: Workspace, tiny: DataSet
) -> None:
    """The amplification is of the data, so the generator makes all eight orientations."""
    config = replace(CONFIG, batch=64, dihedral=asked)
    task = replace(plan_training(workspace, tiny, 0, CONFIG), config=config)
    seen: list[torch.Tensor] = []

    def record(trainer: object, real_img: torch.Tensor, *rest: object) -> dict[str, torch.Tensor]:
        seen.append(real_img)
        return {}

    monkeypatch.setattr(loop, "train_iteration", record)
    order = TrainingImages(tiny, 0, 64, 0)
    order.batch_at = lambda step: (tiny.reader[np.zeros(64, np.int64)], np.zeros(64, np.int64))  # type: ignore[method-assign]
    loop.iterate(task, new_state(config, ProcessGroup()), order)
    assert len(np.unique(seen[0].numpy().reshape(64, -1), axis=0)) == orientations
