"""The verdict: when it is gain, loss or inconclusive, and its warnings."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ganaug.classify.predictions import Predictions
from ganaug.config import StudyConfig
from ganaug.interval import Interval
from ganaug.study.cells import CellRecord, CellResult
from ganaug.study.design import Design, plan_cells
from ganaug.study.guard import AdmittedSupply
from ganaug.study.statistics.paired import Difference
from ganaug.study.statistics.verdict import common_word, judge, word_of, write_sentence

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

ARMS = ("real", "real-oversampled", "real+synthetic", "synthetic-only")


def difference(arm: str, baseline: str, low: float, high: float) -> Difference:
    interval = Interval(low, high, 0.95, "percentile")
    return Difference("net", arm, baseline, "balanced_accuracy", (low + high) / 2, interval, 44, 800, 2, (0, 1, 2))


@pytest.mark.parametrize(
    ("against_real", "against_control", "word"),
    [
        ((0.01, 0.05), (0.01, 0.05), "gain"),
        ((0.01, 0.05), (-0.01, 0.05), "inconclusive"),  # no better than as many repeats of real images
        ((-0.01, 0.05), (0.01, 0.05), "inconclusive"),
        ((-0.05, -0.01), (-0.05, 0.01), "loss"),
        ((-0.05, -0.01), (0.01, 0.05), "loss"),
        ((0.0, 0.05), (0.01, 0.05), "inconclusive"),  # an interval that touches zero does not exclude it
        ((-0.05, 0.0), (-0.05, -0.01), "inconclusive"),
    ],
)
def test_verdict_of_a_classifier(
    against_real: tuple[float, float], against_control: tuple[float, float], word: str
) -> None:
    found = [
        difference("real+synthetic", "real", *against_real),
        difference("real+synthetic", "real-oversampled", *against_control),
    ]
    assert word_of(found) == word


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["gain"], "gain"),
        (["gain", "gain"], "gain"),
        (["gain", "inconclusive"], "inconclusive"),
        (["gain", "loss"], "inconclusive"),
        (["loss", "loss"], "loss"),
    ],
)
def test_verdict_is_the_word_all_classifiers_share(words: list[str], word: str) -> None:
    assert common_word(words) == word


def test_sentence_says_patients_numbers_and_word() -> None:
    text = write_sentence("inconclusive", [difference("real+synthetic", "real", -0.02, 0.044)])
    assert text == (
        "On 44 patients whom neither the generator nor the classifier had seen, adding GAN images changed balanced "
        "accuracy by +1.2 points (95 % interval −2.0 to +4.4) with net: inconclusive."
    )


def study(
    world: "World", accuracy: dict[str, float], patients_per_fold: int = 16, **options: Any
) -> tuple[Design, list[CellResult]]:
    """A design and made-up results in which each arm is right as often as `accuracy` says."""
    given: dict[str, Any] = {"classifiers": ("net",), "seeds": (0, 1), "num_resamples": 1000} | options
    config = StudyConfig(**given)
    file = world.workspace.root
    supplies = {
        fold: AdmittedSupply(**vars(world.supply(fold, file)), provenance=world.provenance(fold)) for fold in range(3)
    }
    design = Design("tiny", "f" * 64, "d" * 64, supplies, config)
    results = []
    for cell in plan_cells(design):
        rng = np.random.default_rng([cell.fold, cell.seed, ARMS.index(cell.arm)])
        groups = np.repeat([f"p{cell.fold}-{index:03d}" for index in range(patients_per_fold)], 10)
        labels = np.repeat(np.arange(patients_per_fold) % 2, 10)
        right = rng.random(len(labels)) < accuracy[cell.arm]
        probs = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
        results.append(CellResult(cell, RECORD, Predictions(labels, groups, groups, probs)))
    return design, results


RECORD = CellRecord("", "", 1, 1, 0.0, "cpu", {}, [], {})
FLAT = dict.fromkeys(ARMS, 0.75)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"real+synthetic": 0.9}, "gain"),
        ({"real+synthetic": 0.9, "real-oversampled": 0.9}, "inconclusive"),
        ({"real+synthetic": 0.6}, "loss"),
        ({}, "inconclusive"),
    ],
)
def test_planted_effect_is_found_and_credited_rightly(world: "World", changed: dict[str, float], word: str) -> None:
    design, results = study(world, FLAT | changed)
    assert judge(design, results, ("Benign", "Malignant"), 3).word == word


def test_confidence_is_shared_among_the_classifiers(world: "World") -> None:
    design, results = study(world, FLAT)
    two, _ = study(world, FLAT, classifiers=("net", "other"))
    both = [*results, *(replace(r, cell=replace(r.cell, classifier="other")) for r in results)]
    verdict = judge(two, both, ("Benign", "Malignant"), 3)
    assert [d.interval.confidence for d in verdict.differences] == pytest.approx([0.975] * 8)
    alone = judge(design, results, ("Benign", "Malignant"), 3).differences[0]
    assert verdict.differences[0].interval.low < alone.interval.low
    assert verdict.differences[0].interval.high > alone.interval.high


@pytest.mark.parametrize(
    ("accuracy", "options", "num_folds", "warning"),
    [
        ({"real-oversampled": 0.9}, {}, 3, "training noise"),
        ({"synthetic-only": 0.5}, {}, 3, "synthetic images alone"),
        ({"real": 0.5}, {}, 3, "hardly better than guessing"),
        ({}, {"patients_per_fold": 4}, 3, "Only 12 patients"),
        ({}, {"patients_per_fold": 2}, 3, "Benign 3, Malignant 3"),
        ({}, {}, 5, "2 of 5 folds"),
        ({}, {"seeds": (0,)}, 3, "One seed"),
    ],
)
def test_warning_is_given_where_it_is_due_and_only_there(
    world: "World", accuracy: dict[str, float], options: dict[str, Any], num_folds: int, warning: str
) -> None:
    design, results = study(world, FLAT | accuracy, **options)
    clean, clean_results = study(world, FLAT)
    assert any(warning in text for text in judge(design, results, ("Benign", "Malignant"), num_folds).warnings)
    assert judge(clean, clean_results, ("Benign", "Malignant"), 3).warnings == ()


def test_a_generators_declared_weights_are_warned_of_once(world: "World") -> None:
    design, results = study(world, FLAT)
    text = "network.pkl (aaaa): BreCaHAD"
    declared = {k: replace(s, provenance=replace(s.provenance, declared=(text,))) for k, s in design.supplies.items()}
    (warning,) = judge(replace(design, supplies=declared), results, ("Benign", "Malignant"), 3).warnings
    assert text in warning
    assert "leaks" in warning


def test_images_without_known_patients_are_warned_of(world: "World") -> None:
    design, results = study(world, FLAT)
    ungrouped = []
    for result in results:
        groups = np.array([f"{result.cell.fold}-{i}" for i in range(len(result.predictions.groups))])
        ungrouped.append(replace(result, predictions=replace(result.predictions, groups=groups)))
    warnings = judge(design, ungrouped, ("Benign", "Malignant"), 3).warnings
    assert any("Every image counts as its own patient" in text for text in warnings)


def test_folds_left_out_of_repeats_are_warned_of_as_such(world: "World") -> None:
    design, results = study(world, FLAT)
    repeated = replace(design, repeats=(0, 0, 0, 1, 1, 1))
    warnings = judge(repeated, results, ("Benign", "Malignant"), 6).warnings
    assert "3 of 6 folds were not studied, so not every patient was tested in every repeat." in warnings
