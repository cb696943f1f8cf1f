"""Advice before a training: counts that are those of the fold, figures that were measured, options that help."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ganaug import presets
from ganaug.cli.train_gan import train_gan
from ganaug.config import CPU, GanConfig, NetworkConfig
from ganaug.data.dataset import DataSet
from ganaug.evaluate.advice import FEWEST_SNAPSHOTS, Curve, advise
from ganaug.train.advice import MEASURED, advise_before_training, num_scored
from ganaug.train.cost import estimate_training_cost
from ganaug.train.loop import Due
from ganaug.train.schedule import conditioning
from ganaug.train.task import Task, plan_training
from ganaug.workspace import Workspace

RESULTS = Path(__file__).parents[3] / "scripts" / "results"
NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
CONFIG = GanConfig(NETWORK, total_kimg=4.0, batch=8, extractor="auto", snapshot_kimg=1.0)


@pytest.fixture
def tasks(workspace: Workspace, tiny: DataSet) -> list[Task]:
    return [plan_training(workspace, tiny, fold, CONFIG) for fold in (0, 1)]


def changed(tasks: list[Task], **change: object) -> list[Task]:
    return [replace(task, config=replace(task.config, **change)) for task in tasks]  # type: ignore[arg-type]


def test_images_and_patients_of_each_class_are_those_of_the_folds_training_part(tasks: list[Task]) -> None:
    outlook = advise_before_training(tasks)
    assert len(outlook.classes) == 2 * 4
    data = tasks[0].dataset
    for supply in outlook.classes:
        members = data.train(supply.fold)
        members = members[data.table.label[members] == data.table.class_names.index(supply.class_name)]
        assert supply.num_images == len(members)
        assert supply.num_patients == len({*data.table.group_id[members].tolist()})
    fewest = min(outlook.classes, key=lambda supply: supply.num_images)
    assert f"{fewest.class_name}, has {fewest.num_images} of {fewest.num_patients} patients" in outlook.lines[0]
    assert outlook.times_shown == 4000 / len(data.train(0))


@pytest.mark.parametrize("every", [None, 0.5, 1.0, 0.7, 4.0, 9.0])
@pytest.mark.parametrize("transition", [None, (1.0, 2.0), (0.0, 4.0)])
def test_as_many_scores_are_foretold_as_the_training_writes(
    every: float | None, transition: tuple[float, float] | None
) -> None:
    config = replace(CONFIG, snapshot_kimg=every, transition_kimg=transition)
    due, kimg = Due(config.snapshot_kimg, 0), []
    for num_images in range(8, 4001, 8):
        if due(num_images) and num_images < 4000:
            kimg.append(num_images)
    kimg.append(4000)
    assert num_scored(config) == sum(conditioning(config, shown) == 1 for shown in kimg)
    assert num_scored(replace(config, extractor="none")) == 0


def test_too_few_snapshots_are_seen_before_the_training(tasks: list[Task]) -> None:
    lines = "\n".join(advise_before_training(tasks).lines)
    assert f"a snapshot every 1 kimg gives 4 scores, and a trend takes {FEWEST_SNAPSHOTS}; use --snapshot-kimg" in lines
    every = float(re.findall(r"--snapshot-kimg ([0-9.]+)", lines)[0])
    better = changed(tasks, snapshot_kimg=every)
    assert num_scored(better[0].config) >= FEWEST_SNAPSHOTS
    assert "use --snapshot-kimg" not in "\n".join(advise_before_training(better).lines)
    assert "--extractor auto" in "\n".join(advise_before_training(changed(tasks, extractor="none")).lines)


def test_every_option_that_is_suggested_exists_and_can_be_used(tasks: list[Task]) -> None:
    flags = {flag for option in train_gan.params for flag in option.opts}
    late = {"snapshot_kimg": 1.0, "transition_kimg": (2.0, 4.0)}
    for case in (tasks, changed(tasks, extractor="none"), changed(tasks, **late)):
        for line in advise_before_training(case).lines:
            assert {*re.findall(r"--[a-z][a-z-]*", line)} <= flags
            assert "\n" not in line
    (span,) = (span for line in advise_before_training(tasks).lines for span in re.findall(r"([0-9.]+:[0-9.]+)$", line))
    start, end = map(float, span.split(":"))
    replace(CONFIG, transition_kimg=(start, end))


def test_the_presets_of_a_gpu_score_enough_snapshots_for_a_trend() -> None:
    for name in ("auto", "small-data"):
        config = presets.gan(name, 64, 4, "cuda")
        assert num_scored(config) >= FEWEST_SNAPSHOTS


def test_what_is_said_to_be_measured_stands_in_the_results() -> None:
    result = json.loads((RESULTS / "breakhis-study-cpu.json").read_text())
    (study,) = [study for study in result["studies"] if study["differences"][0]["classifier"] == "probe:squeezenet"]
    row = study["differences"][0]
    (weighted,) = [
        each for each in study["differences"] if (each["arm"], each["baseline"]) == ("real-weighted", "real")
    ]
    assert (row["arm"], row["metric"]) == ("real+synthetic", "balanced_accuracy")
    for value in (row["estimate"], row["low"], row["high"], weighted["estimate"]):
        assert f"{100 * value:+.1f}".replace("-", "−") in MEASURED[0]
    assert study["verdict"] in MEASURED[0]
    assert "839 images" in result["what"]
    assert "two of 8 kimg" in result["generators"]
    assert str(row["num_patients"]) in MEASURED[0]
    learning = json.loads((RESULTS / "learning-transition.json").read_text())
    assert learning["images_per_class"] == 100
    assert len(learning["rows"]) == 4
    last = {(row["contender"], row["seed"]): row["curve"][-1]["score"] for row in learning["rows"]}
    ratios = [last["transition", seed] / last["conditional", seed] for seed in (0, 1)]
    assert " and ".join(f"{ratio:.2f}" for ratio in ratios) in MEASURED[1]


def test_the_interval_of_snapshots_is_that_which_is_advised_after_the_training(tasks: list[Task]) -> None:
    (config, *_) = (task.config for task in tasks)
    before = re.findall(r"--snapshot-kimg [0-9.]+", "\n".join(advise_before_training(tasks).lines))
    after = re.findall(r"--snapshot-kimg [0-9.]+", advise(Curve(*np.zeros((3, 0))), config=config).todo)
    assert before == after
    short = "\n".join(advise_before_training(changed(tasks, total_kimg=0.5)).lines)
    assert "use --snapshot-kimg" not in short
    assert "a larger --kimg" in short


def test_what_was_trained_longer_than_asked_costs_nothing_and_is_said_to_stand(tasks: list[Task]) -> None:
    assert "stands" not in "\n".join(advise_before_training(tasks).lines)
    for task, num_images in zip(tasks, (12_000, 1_000), strict=True):
        state = task.run.state(num_images)
        state.parent.mkdir(parents=True)
        state.touch()
    lines = advise_before_training(tasks).lines
    assert lines[0] == "fold 0 stands: it was trained for 12 kimg, and 4 are asked for"
    assert not any(line.startswith("fold 1 stands") for line in lines)
    assert estimate_training_cost(tasks, CPU).seconds > 0
    assert estimate_training_cost(tasks[:1], CPU).seconds == 0


def test_the_gain_of_few_images_is_the_one_in_the_results() -> None:
    found = json.loads((RESULTS / "gain-phantom-cpu.json").read_text(encoding="utf-8"))
    differences = {each["arm"]: each for each in found["rows"][0]["differences"]}
    for value in (differences["real+synthetic"][name] for name in ("estimate", "low", "high")):
        assert f"{100 * value:+.1f}".replace("-", "−").removeprefix("+") in MEASURED[2]
    assert f"{100 * differences['real+more-real']['estimate']:+.1f}" in MEASURED[2]
    assert f"{found['images_per_class']} images per class" in MEASURED[2]
    assert f"{found['kimg']:g} kimg" in MEASURED[2]
