"""Probes in a study: a classifier like any other, of equal effort in every arm, that the report states."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from ganaug.classify import probes
from ganaug.classify.probes import PROBE
from ganaug.config import Compute, StudyConfig
from ganaug.data.schema import ImageReader
from ganaug.errors import ConfigError, LeakError
from ganaug.study.cells import load_cell
from ganaug.study.design import plan_cells
from ganaug.study.plan.cost import estimate_extraction, time_probe
from ganaug.study.request import add_published_weights
from ganaug.weights import find_weights
from ganaug.workspace import read_jsonl

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
NAME = "probe:torchscript"


@pytest.fixture
def config(quick: StudyConfig, tmp_path: Path) -> StudyConfig:
    """A study of one probe on the means over a grid of 4×4 fields."""
    path = tmp_path / "pooled.pt"
    network = torch.nn.Sequential(torch.nn.AvgPool2d(56), torch.nn.Flatten())
    torch.jit.save(torch.jit.script(network), str(path))
    return replace(
        quick, classifiers=(NAME,), pretrained=((NAME, str(path)),), pretrained_saw=((NAME, "nothing: it has none"),)
    )


def test_every_arm_has_the_same_effort_and_the_report_states_it(world: "World", config: StudyConfig) -> None:
    outcome = world.run(config)
    rows = read_jsonl(outcome.study.results)
    assert [row["arm"] for row in rows] == list(config.arms)
    assert {row["num_steps"] for row in rows} == {PROBE.num_steps}
    assert len({row["initial_weights"] for row in rows}) == 1
    assert all(row["by_image"]["accuracy"] > 0.9 for row in rows)
    page = " ".join(outcome.study.report.read_text().split())
    assert f"the same grid of {len(PROBE.penalties)} L2 penalties (1 to 0.001)" in page
    assert f"{PROBE.num_iterations} iterations of L-BFGS each" in page
    assert "nothing: it has none" in page
    histories = [load_cell(outcome.study, cell, world.dataset) for cell in plan_cells(world.design(config))]
    assert len(histories) == 4
    for result in histories:
        assert result is not None
        assert [row["penalty"] for row in result.record.history] == list(PROBE.penalties)


def test_several_processes_find_the_features_and_a_second_run_the_cells(world: "World", config: StudyConfig) -> None:
    supplies = world.supply_all()
    assert world.run(config, supplies, num_workers=2).num_reused == 0
    stored = list((world.workspace.root / "cache" / "features").iterdir())
    assert len(stored) == 2 * 8, "real and synthetic images in eight orientations"
    again = world.run(replace(config, seeds=(0, 1)), supplies)
    assert again.num_reused == 4
    assert list((world.workspace.root / "cache" / "features").iterdir()) == stored


def test_other_weights_and_another_effort_make_other_cells(
    world: "World", config: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {cell.name for cell in plan_cells(world.design(config))}
    other = tmp_path / "other.pt"
    network = torch.nn.Sequential(torch.nn.AvgPool2d(112), torch.nn.Flatten())
    torch.jit.save(torch.jit.script(network), str(other))
    assert not names & {c.name for c in plan_cells(world.design(replace(config, pretrained=((NAME, str(other)),))))}
    monkeypatch.setattr(probes, "PROBE", replace(PROBE, num_iterations=5))
    assert not names & {cell.name for cell in plan_cells(world.design(config))}


def test_a_network_of_unknown_origin_is_refused_before_anything_is_written(world: "World", config: StudyConfig) -> None:
    with pytest.raises(LeakError, match=r"--pretrained-saw probe:torchscript=TEXT"):
        world.run(replace(config, pretrained_saw=()))
    assert not (world.workspace.root / "studies").exists()


@pytest.mark.parametrize("name", ["probe:vgg", "probe:timm:resnet10t"])
def test_unknown_extractors_and_missing_files_are_refused_before_anything_is_written(
    world: "World", quick: StudyConfig, name: str
) -> None:
    with pytest.raises(ConfigError, match=r"unknown extractor|without weights"):
        world.run(replace(quick, classifiers=(name,)))
    assert not (world.workspace.root / "studies").exists()


def test_a_probe_on_a_published_extractor_begins_with_the_published_weights(quick: StudyConfig) -> None:
    name = "probe:efficientnet_lite0"
    config = add_published_weights(replace(quick, classifiers=(name,)), Compute())
    assert config.weights_of(name) == find_weights(None, "efficientnet_lite0")
    none = add_published_weights(replace(config, pretrained=((name, "none"),)), Compute())
    assert none.weights_of(name) is None


def test_the_cost_of_a_probe_counts_features_that_are_not_stored(world: "World", config: StudyConfig) -> None:
    supplies = world.supply_all()[:1]
    readers = [world.dataset.images(0), *(ImageReader(supply.synthetic) for supply in supplies)]
    assert time_probe(NAME, world.dataset, config) > 0
    assert estimate_extraction(world.workspace, world.dataset, readers, NAME, config, "cpu") > 0
    world.run(config, supplies)
    assert estimate_extraction(world.workspace, world.dataset, readers, NAME, config, "cpu") == 0
