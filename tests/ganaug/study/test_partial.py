"""Of a study some of whose cells failed the largest complete part is judged, and it says what it leaves out."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganaug.config import StudyConfig
from ganaug.study import cells as cells_module
from ganaug.study.arms.names import name_arms
from ganaug.study.design import Cell, Design, plan_cells
from ganaug.study.executors import local
from ganaug.study.partial import NEEDED, CellsFailed, complete_part
from ganaug.workspace import read_json

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

ARMS = name_arms((*NEEDED, "synthetic-only"), (0.5,))
CONFIG = StudyConfig(
    classifiers=("dalaresnet50_small", "resvit_gannet_small"), shortcuts=("probe:colour",), arms=ARMS, seeds=(0, 1),
    num_steps=2, batch=4, num_resamples=100,
)  # fmt: skip


@pytest.fixture
def design(world: "World") -> Design:
    return world.design(CONFIG)


def places(cells: list[Cell]) -> set[tuple[str, str, int, int]]:
    return {(cell.classifier, cell.arm, cell.fold, cell.seed) for cell in cells}


@given(picks=st.lists(st.integers(0, 10_000), min_size=1, max_size=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_part_lacks_nothing_and_asks_the_same_question(design: Design, picks: list[int]) -> None:
    cells = plan_cells(design)
    lacking = {cells[pick % len(cells)] for pick in picks}
    part = complete_part(design, cells, lacking)
    if part is None:
        return
    reduced, warning = part
    kept = places(plan_cells(reduced))
    assert kept <= places(cells) - places(list(lacking))
    assert set(NEEDED) <= set(reduced.config.arms)
    assert len(reduced.folds) >= 2
    assert reduced.name == design.name
    assert all(name in warning for name in sorted(cell.name for cell in lacking)[:3])


@pytest.mark.parametrize(
    ("is_lacking", "gone"),
    [
        (lambda cell: cell.arm == "synthetic-only" and cell.fold == 0, "arm synthetic-only"),
        (lambda cell: cell.classifier == "probe:colour" and cell.fold == 1, "classifier probe:colour"),
        (lambda cell: cell.fold == 2 and cell.arm == "real", "fold 2"),
        (lambda cell: (cell.classifier, cell.arm) == ("resvit_gannet_small", "real"), "classifier resvit_gannet_small"),
        (lambda cell: cell.seed == 1 and cell.arm == "real" and cell.classifier == "dalaresnet50_small", "seed 1"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_what_loses_least(design: Design, is_lacking: object, gone: str) -> None:
    assert callable(is_lacking)
    cells = plan_cells(design)
    part = complete_part(design, cells, [cell for cell in cells if is_lacking(cell)])
    assert part is not None
    assert f"leaves out {gone}." in part[1]


def test_nothing_is_judged_where_the_answer_is_gone(design: Design) -> None:
    cells = plan_cells(design)
    assert complete_part(design, cells, [cell for cell in cells if cell.arm == "real"]) is None


def test_a_study_with_a_cell_that_crashes_reports_the_rest_and_mends_when_it_runs_again(
    world: "World", monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StudyConfig(
        classifiers=("dalaresnet50_small",), shortcuts=(), seeds=(0, 1), num_steps=2, batch=4, num_resamples=100,
    )  # fmt: skip
    supplies, run = world.supply_all(), cells_module.run_cell

    def crash(workspace: object, design: object, cell: Cell, device: str) -> None:
        if (cell.arm, cell.fold, cell.seed) == ("real-oversampled", 1, 0):
            raise MemoryError("no memory")
        run(workspace, design, cell, device)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "run_cell", crash)
    with pytest.raises(
        CellsFailed, match=r"real-oversampled-fold1-seed0.*what is complete is judged in .*report\.html"
    ):
        world.run(config, supplies)
    (study,) = (world.workspace.study(path.name) for path in world.workspace.root.glob("studies/*"))
    stored = read_json(study.verdict)
    assert not stored["is_whole"]
    assert stored["warnings"][0].startswith("Partial: 1 of 24 cells lack")
    assert "Partial: 1 of 24 cells lack" in study.report.read_text(encoding="utf-8")
    monkeypatch.setattr(local, "run_cell", run)
    outcome = world.run(config, supplies)
    assert outcome.num_cells - outcome.num_reused == 1
    assert read_json(study.verdict)["is_whole"]
    assert "Partial" not in study.report.read_text(encoding="utf-8")
