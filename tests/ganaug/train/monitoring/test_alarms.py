"""Alarms: each comes with its sign, not without, once, and says what to change."""

from dataclasses import replace
from typing import Any

import pytest

from ganaug.config import GanConfig, NetworkConfig
from ganaug.data.dataset import DataSet
from ganaug.train.loop import train_gan
from ganaug.train.monitoring import alarms
from ganaug.train.monitoring.alarms import (
    IGNORANT,
    NUM_LINES,
    Alarm,
    judge_classes,
    judge_discriminator,
    raise_alarms,
    raised,
)
from ganaug.train.task import Task, plan_training
from ganaug.workspace import Workspace, append_jsonl, read_jsonl

NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
CONFIG = GanConfig(NETWORK, total_kimg=0.064, batch=8, pl_weight=0.0, state_kimg=0.016)


@pytest.fixture
def task(workspace: Workspace, tiny: DataSet) -> Task:
    return plan_training(workspace, tiny, 0, CONFIG)


def lines(*losses: float) -> list[dict[str, Any]]:
    return [{"kimg": float(index), "loss_d": loss} for index, loss in enumerate(losses)]


def scores(*agreements: float, floor: float = 0.8) -> list[dict[str, Any]]:
    return [
        {"kimg": 20.0 + 10 * index, "agreement": agreement, "agreement_floor": floor}
        for index, agreement in enumerate(agreements)
    ]


LONG = replace(CONFIG, total_kimg=40.0)


@pytest.mark.parametrize("discriminator", IGNORANT)
def test_a_discriminator_that_never_errs_raises_an_alarm_and_one_that_does_none(discriminator: str) -> None:
    gamma = 0.1 if discriminator == "stylegan2" else 0.0
    config = replace(LONG, discriminator=discriminator, r1_gamma=gamma)
    won = judge_discriminator(lines(*[0.01] * NUM_LINES), config)
    assert won is not None
    assert won.kind == "discriminator"
    assert "--ada-pipeline histology" in won.todo
    assert ("--gamma" in won.todo) == (discriminator == "stylegan2")
    assert judge_discriminator(lines(*[0.01] * (NUM_LINES - 1)), config) is None
    assert judge_discriminator(lines(*[0.01] * (NUM_LINES - 1), IGNORANT[discriminator] / 2), config) is None
    assert judge_discriminator(lines(IGNORANT[discriminator], *[0.01] * NUM_LINES), config) is not None


def test_classes_that_are_named_no_better_than_by_guessing_raise_an_alarm() -> None:
    found = judge_classes(scores(0.27, 0.3), LONG)
    assert found is not None
    assert found.kind == "classes"
    assert "30%" in found.seen
    assert "25%" in found.seen
    assert "80%" in found.seen
    assert "--class-transition 6.67:13.3" in found.todo


@pytest.mark.parametrize(
    ("fields", "todo"),
    [
        ({"transition_kimg": (5.0, 10.0)}, "bring more images per class"),
        ({"discriminator": "projected", "r1_gamma": 0.0, "class_penalty": 0.15}, "a --class-penalty above 0.15"),
        ({"discriminator": "projected", "r1_gamma": 0.0, "ada_pipeline": "bgc"}, "--class-transition 6.67:13.3"),
    ],
    ids=["begun without classes", "projected", "projected with ADA"],
)
def test_collapsed_classes_name_an_option_that_this_training_can_change(fields: dict[str, Any], todo: str) -> None:
    found = judge_classes(scores(0.27, 0.3), replace(LONG, **fields))
    assert found is not None
    assert found.todo.endswith(todo)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (scores(0.3), "one snapshot may be an accident"),
        (scores(0.3, 0.7), "the last one obeys"),
        (scores(0.27, 0.3, floor=0.3), "the classifier cannot name real images either"),
        ([{**row, "kimg": 5.0} for row in scores(0.27, 0.3)], "it is early"),
        ([], "nothing was scored"),
    ],
)
def test_other_rows_raise_none(rows: list[dict[str, Any]], why: str) -> None:
    assert judge_classes(rows, LONG) is None, why


def test_an_alarm_is_recorded_warned_of_and_raised_once(task: Task) -> None:
    task.run.root.mkdir(parents=True)
    for line in lines(*[0.001] * NUM_LINES):
        append_jsonl(task.run.stats, line)
    with pytest.warns(UserWarning, match="logits run away"):
        (found,) = raise_alarms(task.run, CONFIG)
    assert raised(task.run) == [found]
    assert raise_alarms(task.run, CONFIG) == []


def always(run: Any, config: GanConfig) -> list[Alarm]:
    return [Alarm("discriminator", read_jsonl(run.stats)[-1]["kimg"], "planted", "do nothing")]


@pytest.mark.filterwarnings("ignore:ganaug. alarm")
def test_a_training_stops_or_goes_on_as_asked(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "find_alarms", always)
    monkeypatch.setattr("ganaug.train.loop.STATS_EVERY", 1)
    stopping = replace(task, config=replace(CONFIG, on_alarm="stop"))
    run = train_gan(stopping)
    states = [path.name for path in run.states()]
    assert states[-1] == "state-0000000016.safetensors"
    newest = run.newest_ema()
    assert newest is not None
    assert newest == run.ema(0.016)
    train_gan(stopping)
    assert [path.name for path in run.states()] == states
    assert train_gan(task).newest_ema() == run.ema(0.064)


@pytest.mark.filterwarnings("ignore:ganaug. alarm")
def test_an_alarm_changes_nothing_of_a_training_that_goes_on(
    workspace: Workspace, tiny: DataSet, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = train_gan(plan_training(Workspace(tmp_path / "quiet"), tiny, 0, CONFIG))
    monkeypatch.setattr(alarms, "find_alarms", always)
    monkeypatch.setattr("ganaug.train.loop.STATS_EVERY", 1)
    loud = train_gan(plan_training(workspace, tiny, 0, CONFIG))
    assert raised(loud)
    assert not raised(quiet)
    assert quiet.states()[-1].read_bytes() == loud.states()[-1].read_bytes()
