"""Tasks that begin with other weights: what these saw, as recorded and as the user states, and the run's folder."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from ganaug.checkpoint.snapshot import Snapshot, save_snapshot
from ganaug.config import GanConfig
from ganaug.data.dataset import DataSet
from ganaug.data.synthetic import require_serves
from ganaug.errors import ConfigError, LeakError
from ganaug.provenance import digest_of_file
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.state import load_initial_weights, new_state, resumable_config
from ganaug.train.task import Task, plan_training
from ganaug.workspace import Workspace

if TYPE_CHECKING:
    from tests.ganaug.conftest import Peer


@pytest.fixture
def config(peer: "Peer") -> GanConfig:
    return GanConfig(replace(peer.ema.config, num_classes=4), total_kimg=0.016, batch=8)


@pytest.fixture
def own(peer: "Peer", workspace: Workspace, tiny: DataSet, config: GanConfig, tmp_path: Path) -> Path:
    """A snapshot of this tool's that saw the training patients of fold 1, an unknown one and, as stated, others."""
    record = plan_training(workspace, tiny, 1, config).provenance(0.016)
    record = replace(record, groups_seen=(*record.groups_seen, "unknown"), declared=("before.pkl (aaaa): others",))
    path = tmp_path / "own.safetensors"
    save_snapshot(path, Snapshot(peer.ema, GanConfig(peer.ema.config, total_kimg=1), ("a", "b", "c"), record))
    return path


def serves(task: Task) -> None:
    require_serves(task.dataset, task.fold, task.provenance(0.016).sealed("x"), "it")


def test_a_pickle_is_refused_unless_the_user_states_what_it_saw(
    peer: "Peer", workspace: Workspace, tiny: DataSet, config: GanConfig
) -> None:
    silent = plan_training(workspace, tiny, 0, config, peer.path)
    assert silent.num_unknown == 1
    with pytest.raises(LeakError, match="1 patients whom phantom does not know"):
        serves(silent)
    declared_task = plan_training(workspace, tiny, 0, config, peer.path, "BreCaHAD,\n 162 images")
    assert declared_task.num_unknown == 0
    serves(declared_task)
    record = declared_task.provenance(0.016)
    assert set(record.groups_seen) == set(map(tiny.table.patient_digest, tiny.folds.train_groups(0)))
    (declared,) = record.declared
    assert declared == f"weights {digest_of_file(peer.path)[:12]}: BreCaHAD, 162 images"


def test_no_word_makes_up_for_a_patient_of_the_data_set(
    own: Path, workspace: Workspace, tiny: DataSet, config: GanConfig
) -> None:
    """The snapshot saw training patients of fold 1, some of whom fold 0 tests."""
    task = plan_training(workspace, tiny, 0, config, own, "nobody of ours")
    assert task.num_unknown == 0
    leaked = set(tiny.folds.train_groups(1)) - set(tiny.folds.train_groups(0))
    assert set(map(tiny.table.patient_digest, leaked)) <= set(task.seen_before.groups)
    assert task.num_held_out == 4 * len(leaked)
    with pytest.raises(LeakError, match=min(leaked)):
        serves(task)
    serves(plan_training(workspace, tiny, 1, config, own, "nobody of ours"))


def test_what_was_stated_of_earlier_weights_is_passed_on(
    own: Path, workspace: Workspace, tiny: DataSet, config: GanConfig
) -> None:
    assert plan_training(workspace, tiny, 1, config, own).provenance(0.016).declared == ("before.pkl (aaaa): others",)
    first, second = plan_training(workspace, tiny, 1, config, own, "friends").provenance(0.016).declared
    assert first == "before.pkl (aaaa): others"
    assert second.endswith(": friends")


def test_training_begins_with_the_weights_but_for_classes_that_they_do_not_know(
    peer: "Peer", workspace: Workspace, tiny: DataSet, config: GanConfig
) -> None:
    networks = new_state(config, ProcessGroup()).trainer.networks
    drawn = networks.G.state_dict()["mapping.trunk.embed.weight"].clone()
    load_initial_weights(state := new_state(config, ProcessGroup()), peer.path)
    for ours, theirs in ((state.trainer.networks.G, peer.G), (state.trainer.networks.D, peer.D)):
        expected = theirs.state_dict()
        other = [name for name, value in ours.state_dict().items() if not torch.equal(value, expected[name])]
        assert other == [name for name in other if "embed.weight" in name] != []
    assert torch.equal(state.trainer.networks.G.state_dict()["mapping.trunk.embed.weight"], drawn)


def test_other_words_are_another_run(peer: "Peer", workspace: Workspace, tiny: DataSet, config: GanConfig) -> None:
    runs = {plan_training(workspace, tiny, 0, config, peer.path, saw).run.root for saw in (None, "A", "B")}
    assert len(runs) == 3


@pytest.mark.parametrize("words", ["", " \n"])
def test_words_are_asked_for(words: str, peer: "Peer", workspace: Workspace, tiny: DataSet, config: GanConfig) -> None:
    with pytest.raises(ConfigError, match="--init-saw"):
        plan_training(workspace, tiny, 0, config, peer.path, words)


def test_words_about_no_weights_are_refused(workspace: Workspace, tiny: DataSet, config: GanConfig) -> None:
    with pytest.raises(ConfigError, match="--init-saw without --init"):
        plan_training(workspace, tiny, 0, config, None, "BreCaHAD")


def test_a_training_without_a_class_penalty_is_the_one_of_before_there_was_such_a_field(
    workspace: Workspace, tiny: DataSet, config: GanConfig
) -> None:
    projected = replace(config, discriminator="projected", r1_gamma=0.0)
    penalised = replace(projected, class_penalty=0.15)
    assert "class_penalty" not in resumable_config(projected)
    runs = [plan_training(workspace, tiny, 0, each).run.root for each in (projected, penalised)]
    assert runs[0] != runs[1]
