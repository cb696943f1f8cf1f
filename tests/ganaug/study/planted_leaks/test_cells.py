"""Leaks planted in what earlier studies left: each is refused, or reported."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from ganaug.config import FoldsConfig, StudyConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.schema import read_table
from ganaug.provenance import sealed
from ganaug.study.cells import load_cell
from ganaug.study.design import Cell, plan_cells
from ganaug.workspace import Study, read_json, read_jsonl, write_json

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

Reseal = Callable[..., None]


def finished(world: "World", config: StudyConfig) -> tuple[Study, list[Cell]]:
    outcome = world.run(config)
    design = world.design(config)
    return outcome.study, plan_cells(design)


@pytest.mark.filterwarnings("ignore:ganaug")
def test_a_cell_copied_over_another_arms_is_trained_again(world: "World", quick: StudyConfig) -> None:
    study, cells = finished(world, quick)
    real, synthetic = (next(cell for cell in cells if cell.arm == arm) for arm in ("real", "synthetic-only"))
    study.predictions(synthetic.name).write_bytes(study.predictions(real.name).read_bytes())
    record = read_json(study.cell(real.name))
    write_json(study.cell(synthetic.name), {**record, "digest": synthetic.digest})
    assert load_cell(study, synthetic, world.dataset) is None
    write_json(study.cell(synthetic.name), sealed({**record, "digest": synthetic.digest}))
    assert load_cell(study, synthetic, world.dataset) is None
    assert load_cell(study, real, world.dataset) is not None


@pytest.mark.filterwarnings("ignore:ganaug")
def test_an_edited_score_is_not_repeated_by_the_results(world: "World", quick: StudyConfig) -> None:
    study, cells = finished(world, quick)
    record = read_json(study.cell(cells[0].name))
    record["scores"]["by_image"]["overall"]["accuracy"] = 0.999
    write_json(study.cell(cells[0].name), record)
    finished(world, quick)
    rows = read_jsonl(study.results)
    assert len(rows) == len(cells)
    assert all(row["by_image"]["accuracy"] != 0.999 for row in rows)


@pytest.mark.filterwarnings("ignore:ganaug")
def test_predictions_on_other_images_are_no_cells(world: "World", quick: StudyConfig) -> None:
    study, cells = finished(world, quick)
    path = study.predictions(cells[0].name)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored}
    arrays["labels"] = 1 - arrays["labels"]
    np.savez(path, **arrays)
    from ganaug.provenance import digest_of_file

    record = read_json(study.cell(cells[0].name))
    write_json(study.cell(cells[0].name), sealed({**record, "predictions": digest_of_file(path)}))
    assert load_cell(study, cells[0], world.dataset) is None


def test_cells_of_the_pixels_of_before_are_not_reused(world: "World", quick: StudyConfig, reseal: Reseal) -> None:
    before = plan_cells(world.design(quick))
    with h5py.File(world.dataset.path, "r+") as file:
        file["images"][0] = 255 - file["images"][0]
    reseal(world.dataset.path)
    table = read_table(world.dataset.path)
    write_folds(world.workspace.folds("tiny"), make_folds(table, FoldsConfig(num_folds=3)))
    changed = replace(world, dataset=open_dataset(world.workspace, "tiny"))
    after = plan_cells(changed.design(quick))
    assert len(before) == len(after) == 4
    assert not {cell.digest for cell in before} & {cell.digest for cell in after}


def test_every_further_look_at_the_same_patients_is_counted_in_each_report(world: "World", quick: StudyConfig) -> None:
    studies = []
    for ratio in (0.5, 1.0, 1.5):
        config = replace(quick, ratio=ratio)
        studies.append(world.run(config))
    assert not any("Look " in warning for warning in studies[0].verdict.warnings)
    assert "Look 2 of 2 at these patients" in studies[1].verdict.warnings[0]
    assert "Look 3 of 3 at these patients" in studies[2].verdict.warnings[0]
    page = studies[2].study.report.read_text()
    assert all(outcome.study.root.name in page for outcome in studies)
    again = world.run(replace(quick, ratio=0.5))
    assert "Look 1 of 3 at these patients" in again.verdict.warnings[0]


def test_a_study_that_hides_its_patients_still_counts_as_a_look(world: "World", quick: StudyConfig) -> None:
    first = world.run(quick)
    write_json(first.study.design, {**read_json(first.study.design), "tested": []})
    config = replace(quick, ratio=0.5)
    second = world.run(config)
    assert "of 2 at these patients" in second.verdict.warnings[0]
    assert "edited after it was written" in second.study.report.read_text()
