"""What stays on the disk: the newest states, the best snapshot; what a truncated or failed write costs."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganaug.checkpoint.snapshot import best_ema, load_snapshot, load_tensors, save_tensors
from ganaug.config import GanConfig, NetworkConfig
from ganaug.data.dataset import DataSet
from ganaug.errors import CorruptFile, WorkspaceError
from ganaug.provenance import sealed
from ganaug.train import state as state_module
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.loop import train_gan
from ganaug.train.saving.resume import resume_latest
from ganaug.train.saving.retention import drop_snapshots
from ganaug.train.state import new_state
from ganaug.train.task import Task, plan_training
from ganaug.workspace import Workspace, append_jsonl, read_jsonl

NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
CONFIG = GanConfig(NETWORK, total_kimg=0.064, batch=8, state_kimg=0.008, pl_weight=0.0)


@pytest.fixture
def task(workspace: Workspace, tiny: DataSet) -> Task:
    return plan_training(workspace, tiny, 0, CONFIG)


def shown(task: Task) -> list[int]:
    return [int(path.stem.removeprefix("state-")) for path in task.run.states()]


def test_the_newest_states_are_kept(task: Task) -> None:
    train_gan(task)
    assert shown(task) == [56, 64]


def test_a_truncated_state_is_skipped_for_the_one_before(task: Task) -> None:
    train_gan(task)
    newest = task.run.states()[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    state = new_state(CONFIG, ProcessGroup())
    with pytest.warns(UserWarning, match="truncated.*an older state is used"):
        assert resume_latest(task, state)
    assert state.num_images == 56


def rewrite(path: Path, change: Callable[[dict[str, torch.Tensor], dict[str, str]], object]) -> None:
    tensors, metadata = load_tensors(path)
    change(tensors, metadata)
    save_tensors(path, tensors, metadata)


FAULTS: dict[str, Callable[[dict[str, torch.Tensor], dict[str, str]], object]] = {
    "no number of images": lambda tensors, metadata: metadata.pop("num_images"),
    "no number at all": lambda tensors, metadata: metadata.update(num_images="many"),
    "no ADA": lambda tensors, metadata: metadata.pop("ada"),
    "ADA of another kind": lambda tensors, metadata: metadata.update(ada="[5]"),
    "ADA without a field": lambda tensors, metadata: metadata.update(ada='{"p": 0}'),
    "no path length": lambda tensors, metadata: tensors.pop("pl_mean"),
    "no average": lambda tensors, metadata: [tensors.pop(name) for name in [*tensors] if name.startswith("ema.")],
    "a missing moment": lambda tensors, metadata: tensors.pop("optimizer.D.0.exp_avg"),
    "a missing parameter": lambda tensors, metadata: [
        tensors.pop(n) for n in [*tensors] if n.startswith("optimizer.D.0.")
    ],
    "another shape": lambda tensors, metadata: tensors.update({"G.mapping.w_avg": torch.zeros(3)}),
    "a moment of another shape": lambda tensors, metadata: tensors.update({"optimizer.G.1.exp_avg_sq": torch.zeros(3)}),
    "a moment of nothing": lambda tensors, metadata: tensors.update({"optimizer.G.999.exp_avg": torch.zeros(3)}),
    "weights from elsewhere": lambda tensors, metadata: tensors["ema.mapping.w_avg"].add_(1),
    "another place in the data": lambda tensors, metadata: metadata.update(num_images="8"),
    "no seal": lambda tensors, metadata: metadata.pop("seal"),
    "a further tensor": lambda tensors, metadata: tensors.update(more=torch.zeros(3)),
}


def test_whatever_a_state_lacks_the_one_before_serves(task: Task) -> None:
    train_gan(task)
    newest = task.run.states()[-1]
    content = newest.read_bytes()
    state = new_state(CONFIG, ProcessGroup())
    assert state.num_images == 0
    for fault, change in FAULTS.items():
        newest.write_bytes(content)
        rewrite(newest, change)
        with pytest.warns(UserWarning, match="an older state is used"):
            assert resume_latest(task, state), fault
        assert state.num_images == 56, fault
    newest.write_bytes(content)
    assert resume_latest(task, state)
    assert state.num_images == 64


def test_a_state_that_is_not_signed_is_not_resumed(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_gan(task)
    newest, state = task.run.states()[-1], new_state(CONFIG, ProcessGroup())
    (tmp_path / "key").write_bytes(b"k" * 32)
    monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "key"))
    with pytest.raises(CorruptFile, match="not signed"):
        state.load(newest, task.digest)
    state.save(newest, task.digest)
    state.load(newest, task.digest)


def test_a_state_that_is_refused_changes_nothing(task: Task) -> None:
    train_gan(task)
    newest = task.run.states()[-1]
    rewrite(newest, FAULTS["a moment of another shape"])
    state = new_state(CONFIG, ProcessGroup())
    before = {name: value.clone() for name, value in state.trainer.networks.G.state_dict().items()}
    with pytest.raises(CorruptFile, match=r"optimizer\.G\.1\.exp_avg_sq"):
        state.load(newest, task.digest)
    assert all(torch.equal(value, before[name]) for name, value in state.trainer.networks.G.state_dict().items())
    with pytest.raises(WorkspaceError, match="another configuration") as refusal:
        state.load(task.run.states()[0], "another digest")
    assert not isinstance(refusal.value, CorruptFile)  # no older state can serve


def test_lines_of_a_log_that_are_no_records_do_not_stop_a_resume(task: Task) -> None:
    train_gan(replace(task, config=replace(CONFIG, total_kimg=0.016)))
    with task.run.stats.open("ab") as file:
        file.write(b'5\n[]\n{}\n{"kimg": "1"}\n\xff\n' + b"[" * 100_000 + b"\n")
    train_gan(replace(task, config=replace(CONFIG, total_kimg=0.024)))
    assert [line["kimg"] for line in read_jsonl(task.run.stats)] == [0.016, 0.024]


def test_where_all_states_are_corrupt_nothing_is_trained_again(task: Task) -> None:
    train_gan(task)
    for path in task.run.states():
        path.write_bytes(b"truncated")
    with pytest.warns(UserWarning, match="older state"), pytest.raises(CorruptFile, match="truncated"):
        train_gan(task)


def test_a_full_disk_stops_with_a_message_and_leaves_the_last_state(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_gan(replace(task, config=replace(CONFIG, total_kimg=0.016)))
    before = {path: path.read_bytes() for path in task.run.states()}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ganaug.files.os.fsync", full)
    with pytest.raises(WorkspaceError, match="the disk is full"):
        train_gan(task)
    assert {path: path.read_bytes() for path in task.run.states()} == before
    assert not list(task.run.root.rglob("*.part"))


def test_the_best_snapshot_stays_and_is_named(task: Task) -> None:
    run = task.run
    for kimg, score in ((1, 5.0), (2, 3.0), (3, 4.0), (4, 6.0), (5, 7.0)):
        run.ema(kimg).parent.mkdir(parents=True, exist_ok=True)
        run.ema(kimg).touch()
        append_jsonl(run.scores, sealed({"kimg": kimg, "snapshot": run.ema(kimg).name, "score": score}))
        drop_snapshots(task)
    assert best_ema(run) == run.ema(2)
    append_jsonl(run.scores, {**read_jsonl(run.scores)[-1], "score": 0.0})  # edited, and not sealed again
    assert best_ema(run) == run.ema(2)
    assert run.snapshots() == [run.ema(kimg) for kimg in (2, 3, 4, 5)]
    assert run.newest_ema() == run.ema(5)


def test_without_scores_the_newest_is_the_best(task: Task) -> None:
    train_gan(task)
    assert best_ema(task.run) == task.run.newest_ema() != None  # noqa: E711


def test_snapshots_are_scored_on_training_and_validation_images_and_never_on_test_images(
    workspace: Workspace, tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, total_kimg=3.0, snapshot_kimg=1.0, extractor="classifier", state_kimg=10.0, batch=10)
    task = plan_training(workspace, tiny, 0, config)
    monkeypatch.setattr("ganaug.train.loop.iterate", count_only)
    asked: set[int] = set()
    images = tiny.images(0)
    monkeypatch.setattr(type(images), "__getitem__", watching(type(images).__getitem__, asked))
    monkeypatch.setattr("ganaug.evaluate.extractors.trained_classifier.FIT", replace_steps())
    run = train_gan(task)
    rows = read_jsonl(run.scores)
    assert [row["kimg"] for row in rows] == [1.0, 2.0, 3.0]
    for name in ("score", "val_score", "val_floor"):
        assert all(row[name] > 0 for row in rows), name
    assert len({row["val_floor"] for row in rows}) == 1
    assert rows[0]["val_num_images"] == len(tiny.val(0))
    assert not asked & {*tiny.test(0).tolist()}
    assert {*tiny.train(0).tolist(), *tiny.val(0).tolist()} <= asked
    val_groups = {tiny.table.patient_digest(group) for group in tiny.folds.val_groups(0)}
    assert not val_groups & {*load_snapshot(run.ema(3.0)).provenance.groups_seen}


def replace_steps() -> object:
    from ganaug.evaluate.extractors.trained_classifier import FIT

    return replace(FIT, num_steps=2)


def watching(read: Callable[..., Any], asked: set[int]) -> Callable[..., Any]:
    def watched(self: object, indices: NDArray[np.int64]) -> Any:
        asked.update(int(index) for index in indices)
        return read(self, indices)

    return watched


def count_only(task: Task, state: state_module.TrainingState, order: object) -> dict[str, torch.Tensor]:
    """An iteration that shows nothing."""
    state.num_images += task.config.batch
    return {"loss_g": torch.zeros([]), "loss_d": torch.zeros([])}
