"""A task that colour alone solves is named as such, and a task that it does not is not."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ganaug.config import StudyConfig
from ganaug.errors import ConfigError
from ganaug.study.design import plan_cells
from ganaug.study.verdict.notes import notes_on_shortcuts

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

COLOUR = "probe:colour"


def test_colour_that_gives_the_classes_away_is_named(world: "World", quick: StudyConfig) -> None:
    """The classes of the tiny data set differ by the colour of whole images."""
    outcome = world.run(replace(quick, shortcuts=(COLOUR,), folds=(0, 1, 2), seeds=(0, 1)))
    (note,) = [text for text in outcome.verdict.warnings if text.startswith(COLOUR)]
    assert "100 %" in note
    assert "--stain macenko" in note
    assert COLOUR not in outcome.verdict.words
    assert COLOUR in outcome.study.report.read_text(encoding="utf-8")


def test_a_shortcut_is_trained_once_per_fold_on_real_images_alone(world: "World", quick: StudyConfig) -> None:
    cells = plan_cells(world.design(replace(quick, shortcuts=(COLOUR,), folds=None, seeds=(0, 1))))
    own = [cell for cell in cells if cell.classifier == COLOUR]
    assert [(cell.arm, cell.fold, cell.seed) for cell in own] == [("real", fold, 0) for fold in range(3)]
    assert len({cell.digest for cell in own}) == 3


@pytest.mark.parametrize(("score", "is_named"), [(0.92, True), (0.86, True), (0.84, False), (0.5, False)])
def test_alarm_is_a_matter_of_five_points(score: float, is_named: bool) -> None:
    notes = notes_on_shortcuts({COLOUR: score}, {"net": 0.9}, "balanced_accuracy", guessing=0.5)
    assert bool(notes) == is_named


def test_no_alarm_where_nobody_has_learnt_anything() -> None:
    assert notes_on_shortcuts({COLOUR: 0.34}, {"net": 0.36}, "balanced_accuracy", guessing=0.25) == []


def test_classifier_that_is_its_own_shortcut_is_refused() -> None:
    with pytest.raises(ConfigError, match="as classifier and as shortcut"):
        StudyConfig(classifiers=(COLOUR,))
    assert StudyConfig(classifiers=(COLOUR,), shortcuts=()).classifiers == (COLOUR,)


def test_random_labels_are_no_shortcut() -> None:
    rng = np.random.default_rng(0)
    score = float(rng.uniform(0.4, 0.6))
    assert notes_on_shortcuts({COLOUR: score}, {"net": 0.8, "other": 0.7}, "accuracy", guessing=0.5) == []
