"""The verdict: when it is gain, loss or inconclusive, and its warnings."""

import re
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from scipy import stats

from ganaug.classify.predictions import Predictions
from ganaug.config import StudyConfig
from ganaug.config.choices import BASELINE, CONTROL, POOLED, TREATMENT, WEIGHTED
from ganaug.study.admission.guard import AdmittedSupply
from ganaug.study.cells import CellRecord, CellResult
from ganaug.study.design import Design, plan_cells
from ganaug.study.statistics.clustered import NONE, Part, Spread
from ganaug.study.statistics.intervals import Gap
from ganaug.study.statistics.out_of_fold import OutOfFold
from ganaug.study.statistics.paired import Difference
from ganaug.study.verdict.notes import notes_on_classifier
from ganaug.study.verdict.verdict import common_word, judge, words_of, write_sentence

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

METRIC = "balanced_accuracy"
ARMS = ("real", "real-oversampled", "real+synthetic", "synthetic-only")


def difference(low: float, high: float, name: str = "net", arm: str = TREATMENT, baseline: str = POOLED) -> Difference:
    """A difference of a study whose 95 % interval is this one, of scores around 1/2."""
    df, middle = 40.0, (low + high) / 2
    half = (high - low) / 2
    half /= (1 - half**2 / (1 - middle**2)) ** 0.5  # at the ends of the interval the error is a little less
    spread = Spread(Part((half / stats.t.ppf(0.975, df)) ** 2, df), NONE, NONE)
    gap = Gap(0.5 + middle / 2, 0.5 - middle / 2, spread.total, 1.0)
    interval, sizes = gap.interval(0.95), (44, 800, 2, 2, (0, 1, 2))
    assert interval.bounds == pytest.approx((low, high), abs=2e-4)
    return Difference(name, arm, baseline, METRIC, gap, interval, interval, spread, *sizes)


def word(
    *intervals: tuple[float, float], margin: float = 0.02, control: tuple[float, float] = (-0.03, 0.03)
) -> list[str]:
    """The words on classifiers with these answers, whose real-oversampled differs from real by `control`."""
    found = []
    for index, (low, high) in enumerate(intervals):
        name, shift = f"net{index}", sum(control) / 4
        found += [
            difference(low, high, name),
            difference(*control, name, CONTROL, BASELINE),
            difference(low + shift, high + shift, name, baseline=BASELINE),
            difference(low - shift, high - shift, name, baseline=CONTROL),
        ]
    return list(words_of(found, margin, 0.95).values())


@pytest.mark.parametrize(
    ("weighted", "is_noted"),
    [((-0.01, 0.09), True), ((-0.03, 0.05), False), (None, False)],
    ids=["gains more than a generator", "gains less", "no such arm"],
)
def test_a_gain_that_balance_alone_brings_is_named(weighted: tuple[float, float] | None, is_noted: bool) -> None:
    answers = [
        difference(-0.01, 0.07),
        difference(-0.01, 0.07, baseline=BASELINE),
        difference(-0.01, 0.01, arm=CONTROL, baseline=BASELINE),
    ]
    answers += [difference(*weighted, arm=WEIGHTED, baseline=BASELINE)] if weighted else []
    tested = cast(OutOfFold, SimpleNamespace(counts={BASELINE: np.full((2, 5, 2, 2), [[8, 2], [2, 8]])}))
    notes = notes_on_classifier("net", tested, answers)
    assert any("rarer classes repeated (real-weighted), gain +4.0 points" in note for note in notes) == is_noted


@pytest.mark.parametrize(("classifier", "is_noted"), [("probe:squeezenet", True), ("dalaresnet50_small", False)])
def test_classical_augmentation_that_a_probe_cannot_see_is_named(classifier: str, is_noted: bool) -> None:
    answers = [
        difference(-0.01, 0.07),
        difference(-0.01, 0.07, baseline=BASELINE),
        difference(-0.01, 0.01, arm=CONTROL, baseline=BASELINE),
        difference(-0.001, 0.001, arm="real-classical", baseline=BASELINE),
    ]
    tested = cast(OutOfFold, SimpleNamespace(counts={BASELINE: np.full((2, 5, 2, 2), [[8, 2], [2, 8]])}))
    notes = notes_on_classifier(classifier, tested, answers)
    assert any("real-classical is real once more" in note for note in notes) == is_noted


@pytest.mark.parametrize(
    ("control", "expected"),
    [((0.02, 0.08), "inconclusive"), ((0.01, 0.03), "gain"), ((-0.08, -0.02), "inconclusive"), ((-0.01, 0.08), "gain")],
)
def test_where_repeats_alone_do_something_the_gain_must_show_against_each_real_arm(
    control: tuple[float, float], expected: str
) -> None:
    assert word((0.015, 0.055), control=control) == [expected]


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.01, 0.05), "gain"),
        ((-0.05, -0.01), "loss"),
        ((-0.001, 0.05), "inconclusive"),
        ((-0.05, 0.001), "inconclusive"),
        ((-0.015, 0.015), "equivalent"),
        ((-0.022, 0.022), "equivalent"),  # its 90 % interval lies within two points
        ((-0.03, 0.03), "inconclusive"),
        ((0.001, 0.015), "gain"),  # a gain that is smaller than the margin
    ],
)
def test_word_follows_one_symmetric_rule(interval: tuple[float, float], expected: str) -> None:
    assert word(interval) == [expected]
    mirrored = {"gain": "loss", "loss": "gain"}.get(expected, expected)
    assert word((-interval[1], -interval[0])) == [mirrored]


def test_effect_that_all_classifiers_show_needs_no_correction_and_that_of_one_among_several_does() -> None:
    barely, nothing = (0.001, 0.05), (-0.05, 0.06)
    assert word(barely, barely, barely) == ["gain"] * 3
    assert word(barely, nothing, nothing) == ["inconclusive"] * 3
    assert word((0.02, 0.06), nothing, nothing) == ["gain", "inconclusive", "inconclusive"]


@pytest.mark.parametrize(("margin", "expected"), [(0.01, "inconclusive"), (0.03, "equivalent")])
def test_equivalence_is_a_matter_of_the_margin(margin: float, expected: str) -> None:
    assert word((-0.02, 0.02), margin=margin) == [expected]


def test_smallest_gain_is_found_in_four_of_five_studies() -> None:
    found = difference(-0.03, 0.03)
    error, df = found.variance.variance**0.5, found.variance.df
    power = 1 - stats.nct.cdf(stats.t.ppf(0.975, df), df, found.smallest_gain / error)
    assert power == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["gain"], "gain"),
        (["gain", "gain"], "gain"),
        (["gain", "inconclusive"], "inconclusive"),
        (["gain", "loss"], "inconclusive"),
        (["loss", "loss"], "loss"),
        (["equivalent", "equivalent"], "equivalent"),
    ],
)
def test_verdict_is_the_word_all_classifiers_share(words: list[str], expected: str) -> None:
    assert common_word(words) == expected


def test_sentence_says_patients_numbers_and_word() -> None:
    text = write_sentence("inconclusive", [difference(-0.02, 0.044)], 0.02)
    assert text == (
        "On 44 patients whom neither the generator nor the classifier had seen, adding GAN images changed balanced "
        "accuracy by +1.2 points (95 % interval −2.0 to +4.4) with net: inconclusive. A gain of 2 points would show in "
        "four of five studies of about 220 patients."
    )


def study(
    world: "World", accuracy: dict[str, float], patients_per_fold: int = 16, **options: Any
) -> tuple[Design, list[CellResult]]:
    """A design and made-up results in which each arm is right as often as `accuracy` says."""
    given: dict[str, Any] = {"classifiers": ("net",), "seeds": (0, 1), "num_resamples": 1000, "shortcuts": ()} | options
    config = StudyConfig(**given)
    file = world.workspace.root
    supplies = {
        fold: (AdmittedSupply(**vars(world.supply(fold, file)), provenance=world.provenance(fold)),)
        for fold in range(3)
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
    ("changed", "expected"),
    [
        ({"real+synthetic": 0.9}, "gain"),
        ({"real+synthetic": 0.9, "real-oversampled": 0.9}, "inconclusive"),  # repeats alone did as much
        ({"real+synthetic": 0.6}, "loss"),
        ({"real+synthetic": 0.6, "real-oversampled": 0.6}, "inconclusive"),
        ({}, "inconclusive"),
    ],
)
def test_planted_effect_is_found(world: "World", changed: dict[str, float], expected: str) -> None:
    design, results = study(world, FLAT | changed)
    verdict = judge(design, results, ("Benign", "Malignant"), 3)
    assert verdict.word == expected
    assert any("repeats of real images alone" in text for text in verdict.warnings) == ("real-oversampled" in changed)


def test_one_seed_is_inconclusive_whatever_it_shows(world: "World") -> None:
    design, results = study(world, FLAT | {"real+synthetic": 0.95}, seeds=(0,))
    verdict = judge(design, results, ("Benign", "Malignant"), 3)
    assert (verdict.word, verdict.words) == ("inconclusive", {"net": "inconclusive"})
    assert verdict.differences[0].interval.is_above(0)


def test_classes_of_too_few_patients_give_no_verdict(world: "World") -> None:
    design, results = study(world, FLAT | {"real+synthetic": 0.95}, patients_per_fold=2)
    few = [replace(r, predictions=of_class(r.predictions, 1 if r.cell.fold else None)) for r in results]
    verdict = judge(design, few, ("Benign", "Malignant"), 3)
    assert verdict.word == "inconclusive"
    assert any("fewer than two classes" in text and "Malignant 1" in text for text in verdict.warnings)


def of_class(predictions: Predictions, dropped: int | None) -> Predictions:
    """The predictions without the images of a class."""
    kept = predictions.labels != dropped
    return Predictions(**{name: values[kept] for name, values in vars(predictions).items()})


@pytest.mark.parametrize(
    ("accuracy", "options", "num_folds", "warning"),
    [
        ({"real-oversampled": 0.9}, {}, 3, "training noise"),
        ({"synthetic-only": 0.5}, {}, 3, "synthetic images alone"),
        ({"real": 0.5}, {}, 3, "hardly better than guessing"),
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
    (of_luck,) = judge(clean, clean_results, ("Benign", "Malignant"), 3).warnings  # each fold has one generator
    assert "With a second generator per fold" in of_luck


def test_a_second_generator_is_named_only_where_it_narrows_the_interval(world: "World") -> None:
    texts = []
    for patients_per_fold, num_seeds in product(range(12, 24, 2), (2, 10)):
        options = {"seeds": tuple(range(num_seeds)), "num_resamples": 100}
        design, results = study(world, FLAT, patients_per_fold, **options)
        (of_luck,) = judge(design, results, ("Benign", "Malignant"), 3).warnings
        texts.append(of_luck)
    widths = [re.findall(r"±(\d+\.\d)", text) for text in texts]
    assert all(float(then) < float(now) for then, now in filter(None, widths))
    assert any(widths)
    assert any("hardly narrow" in text for text in texts)


def test_a_generators_declared_weights_are_warned_of_once(world: "World") -> None:
    design, results = study(world, FLAT)
    text = "network.pkl (aaaa): BreCaHAD"
    declared = {
        fold: (replace(supply, provenance=replace(supply.provenance, declared=(text,))),)
        for fold, (supply,) in design.supplies.items()
    }
    warnings = judge(replace(design, supplies=declared), results, ("Benign", "Malignant"), 3).warnings
    (warning,) = [each for each in warnings if text in each]
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
