"""A study goes the whole way under every scheme of folds, also where a test part lacks a class."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ganaug.classify.predictions import Predictions
from ganaug.config import FoldsConfig, StudyConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.study.cells import CellRecord, CellResult
from ganaug.study.design import Cell, Design
from ganaug.study.verdict.scores import COLUMNS, Column, score_rows

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

Cut = Callable[[FoldsConfig], "World"]


@pytest.fixture
def cut_again(world: "World") -> Cut:
    """The world with its patients cut by another scheme."""

    def make(config: FoldsConfig) -> "World":
        write_folds(world.workspace.folds("tiny"), make_folds(world.dataset.table, config))
        return replace(world, dataset=open_dataset(world.workspace, "tiny"))

    return make


def strict(text: str) -> Any:
    """JSON without NaN or infinities."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("config", "folds", "num_patients", "num_repeats"),
    [
        (FoldsConfig(3, scheme="repeated", num_repeats=2), (0, 1, 3), 12, 2),
        (FoldsConfig(3, scheme="leave-one-out"), (0, 1, 4), 3, 1),
        (FoldsConfig(3, scheme="hold-out"), (0,), 4, 1),
    ],
    ids=["repeated", "leave-one-out", "hold-out"],
)
def test_study_of_any_scheme_ends_in_a_report(
    cut_again: Cut,
    quick: StudyConfig,
    config: FoldsConfig,
    folds: tuple[int, ...],
    num_patients: int,
    num_repeats: int,
) -> None:
    world = cut_again(config)
    arms = ("real", "real-oversampled", "real+synthetic")
    supplies = [world.supply(fold) for fold in folds]
    outcome = world.run(replace(quick, folds=folds, arms=arms), supplies)
    tested = {group for fold in folds for group in world.dataset.folds.test_groups(fold)}
    assert outcome.verdict.differences[0].num_patients == len(tested)
    assert outcome.verdict.differences[0].num_images == 4 * len(tested)
    assert len(tested) <= num_patients
    records = [strict(path.read_text()) for path in (outcome.study.root / "cells").glob("*.json")]
    assert {record["repeat"] for record in records} == {world.dataset.folds.repeat_of(fold) for fold in folds}
    rows = [strict(line) for line in outcome.study.results.read_text().splitlines()]
    assert len(rows) == len(records) == len(folds) * len(arms)
    strict(outcome.study.verdict.read_text())
    page = outcome.study.report.read_text()
    assert ("in the\n    one fold of each repeat that" in page) == (num_repeats == 2)


def test_fold_that_tests_one_class_has_no_score_that_needs_both(cut_again: Cut, quick: StudyConfig) -> None:
    world = cut_again(FoldsConfig(3, scheme="leave-one-out"))
    assert len(np.unique(world.dataset.table.label[world.dataset.test(0)])) == 1
    arms = ("real", "real-oversampled", "real+synthetic")
    config = replace(quick, arms=arms)
    outcome = world.run(config, [world.supply(0)])
    row = strict(outcome.study.results.read_text().splitlines()[0])
    assert row["by_image"]["auroc"] is None
    assert row["by_image"]["balanced_accuracy"] is None
    assert 0 <= row["by_image"]["accuracy"] <= 1


def test_scores_are_of_each_repeat_by_itself_and_no_ensemble_of_repeats() -> None:
    labels, groups = np.array([0, 1]), np.array(["p0", "p1"])
    right, sure_and_wrong = np.array([[0.6, 0.4], [0.4, 0.6]]), np.array([[0.1, 0.9], [0.9, 0.1]])
    results = [
        CellResult(
            Cell("net", "real", fold, 0, digest="", repeat=fold),
            CellRecord("", "", 1, 1, 0.0, "cpu", {}, [], {}),
            Predictions(labels, groups, groups, probs.astype(np.float32)),
        )
        for fold, probs in enumerate([right, sure_and_wrong])
    ]
    design = Design("tiny", "f", "d", {}, StudyConfig(classifiers=("net",), arms=("real",)), repeats=(0, 1))
    values = score_rows(design, results, ("a", "b"))["net"][0].values
    assert values[COLUMNS.index(Column("balanced accuracy", "by_patient", "balanced_accuracy"))] == 0.5
