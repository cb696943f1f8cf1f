"""The question asked of a part is the question asked of a study that has only this part."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ganaug.classify.predictions import Predictions
from ganaug.config import StudyConfig
from ganaug.study.cells import CellRecord, CellResult
from ganaug.study.design import plan_cells
from ganaug.study.statistics.subgroups import PartDifference, compare_parts

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

RECORD = CellRecord("", "", 1, 1, 0.0, "cpu", {}, [], {})
SHARE_RIGHT = {"real": 0.5, "real-oversampled": 0.5, "real+synthetic": 1.0}  # of the images of class 1 at 40X


@pytest.fixture
def parts(world: "World") -> dict[str, PartDifference]:
    """Class 0 is always right; class 1 at 200X never; class 1 at 40X as SHARE_RIGHT says."""
    table = world.dataset.table
    table = replace(table, magnification=np.where(np.arange(len(table)) % 2, 40, 200))
    config = StudyConfig(classifiers=("dalaresnet50_small",), shortcuts=(), seeds=(0, 1))
    design, results = world.design(config), []
    scale = dict(zip(table.image_digests(np.arange(len(table))), table.magnification.tolist(), strict=True))
    for cell in plan_cells(design):
        tested = world.dataset.test(cell.fold)
        digests = np.array(table.image_digests(tested))
        label = table.label[tested]
        groups = np.array([table.patient_digest(name) for name in table.group_id[tested].tolist()])
        is_right = label == 0
        small = np.array([scale[name] == 40 for name in digests.tolist()]) & (label == 1)
        places = np.flatnonzero(small)
        is_right[places[: round(SHARE_RIGHT.get(cell.arm, 0) * len(places))]] = True
        probs = np.eye(2, dtype=np.float32)[np.where(is_right, label, 1 - label)]
        results.append(CellResult(cell, RECORD, Predictions(label, groups, digests, probs)))
    return {part.part: part for part in compare_parts(design, results, table)}


def test_every_class_and_magnification_is_a_part_and_is_compared_by_itself(parts: dict[str, PartDifference]) -> None:
    assert set(parts) == {"class Benign", "class Malignant", "magnification 40X", "magnification 200X"}
    assert parts["class Benign"].estimate == 0
    assert parts["class Malignant"].estimate == pytest.approx(0.25)  # half of the images at 40X, which are half
    assert parts["magnification 40X"].estimate == pytest.approx(0.25)  # the mean of both classes' recalls
    assert parts["magnification 200X"].estimate == 0


def test_a_part_counts_its_own_patients_and_images(parts: dict[str, PartDifference]) -> None:
    assert (parts["class Benign"].num_patients, parts["class Benign"].num_images) == (6, 24)
    assert (parts["magnification 40X"].num_patients, parts["magnification 40X"].num_images) == (12, 24)
    assert all(part.interval is not None for part in parts.values())
