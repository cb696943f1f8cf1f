"""Shards of a study train every cell once between them, and the last one to end writes the report."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ganaug.config import Compute, StudyConfig
from ganaug.parallel.shards import Shard
from ganaug.study.design import plan_cells
from ganaug.study.run import train_shard

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_shards_in_any_order_train_each_cell_once(world: "World", quick: StudyConfig, order: tuple[int, ...]) -> None:
    supplies, ends = world.supply_all()[:1], []
    for index in order:
        ends.append(
            train_shard(
                world.workspace, world.dataset, supplies, quick, compute=Compute(num_workers=1), shard=Shard(index, 3)
            )
        )
    assert ends == [False, False, True]
    outcome = world.run(quick, supplies)
    assert outcome.num_reused == outcome.num_cells == 4


def test_shard_that_is_run_again_trains_nothing(world: "World", quick: StudyConfig) -> None:
    supplies = world.supply_all()[:1]
    config = replace(quick, arms=("real", "real-oversampled", "real+synthetic"))
    study = world.design(config).study(world.workspace)
    for _ in range(2):
        train_shard(world.workspace, world.dataset, supplies, config, compute=Compute(), shard=Shard(0, 3))
        cells = sorted(study.root.glob("cells/*.json"))
        assert len(cells) == 1
    times = [path.stat().st_mtime_ns for path in cells]
    train_shard(world.workspace, world.dataset, supplies, config, compute=Compute(), shard=Shard(0, 3))
    assert [path.stat().st_mtime_ns for path in cells] == times
    assert len(plan_cells(world.design(config))) == 3
