"""The intervals cover what they say, because patients are drawn whole and training runs are drawn too."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ganaug.classify.predictions import Predictions
from ganaug.study.cells import CellRecord, CellResult
from ganaug.study.design import Cell
from ganaug.study.statistics.out_of_fold import OutOfFold, out_of_fold, score_counts
from ganaug.study.statistics.paired import Difference, paired_difference, resample, score_resamples

TRUTH = 0.05  # by how much the arm is better in the simulated world
ARM, BASELINE = "real+synthetic", "real"
IMAGES_PER_PATIENT = 20
RECORD = CellRecord("", "", 1, 1, 0.0, "cpu", {}, [], {})


def simulate(
    rng: np.random.Generator, *, patient: float, run: float, num_seeds: int, num_repeats: int = 1
) -> OutOfFold:
    """40 patients of two classes in four folds; `patient` and `run` are how far the arm's gain strays with each."""
    if num_repeats > 1:
        return simulate_repeats(rng, patient, run, num_seeds, num_repeats)
    patients = np.arange(40)
    label, fold = patients % 2, patients // 2 % 4
    common = rng.uniform(-0.1, 0.1, 40)
    counts = {}
    for arm, gain, stray in ((BASELINE, 0, 0), (ARM, TRUTH, patient)):
        luck = rng.uniform(-run, run, (num_seeds, 4))
        probability = 0.6 + gain + common + stray * rng.uniform(-1, 1, 40) + luck[:, fold]
        right = rng.binomial(IMAGES_PER_PATIENT, np.clip(probability, 0, 1))
        counts[arm] = np.zeros((num_seeds, 40, 2, 2), int)
        counts[arm][:, patients, label, label] = right
        counts[arm][:, patients, label, 1 - label] = IMAGES_PER_PATIENT - right
    return OutOfFold(counts, fold[None])


def simulate_repeats(
    rng: np.random.Generator, patient: float, run: float, num_seeds: int, num_repeats: int
) -> OutOfFold:
    """The same, with the folds cut again in each repeat; what strays with a patient strays alike in all of them."""
    patients = np.arange(40)
    label = patients % 2
    cuts = [4 * repeat + rng.permutation(20)[patients // 2] % 4 for repeat in range(num_repeats)]
    common, counts = rng.uniform(-0.1, 0.1, 40), {}
    for arm, gain, stray in ((BASELINE, 0, 0), (ARM, TRUTH, patient)):
        of_patient = 0.6 + gain + common + stray * rng.uniform(-1, 1, 40)
        luck = rng.uniform(-run, run, (num_seeds, 4 * num_repeats))
        probability = np.concatenate([of_patient + luck[:, fold] for fold in cuts])
        right = rng.binomial(IMAGES_PER_PATIENT, np.clip(probability, 0, 1))
        counts[arm] = np.zeros((len(right), 40, 2, 2), int)
        counts[arm][:, patients, label, label] = right
        counts[arm][:, patients, label, 1 - label] = IMAGES_PER_PATIENT - right
    return OutOfFold(counts, np.stack(cuts))


def as_if_repeats_were_new_patients(tested: OutOfFold) -> OutOfFold:
    """The planted fault: a patient of another repeat is taken for another patient."""
    num_repeats, split = len(tested.fold), {}
    for arm, counts in tested.counts.items():
        split[arm] = np.concatenate(np.split(counts, num_repeats), axis=1)
    return OutOfFold(split, tested.fold.reshape(1, -1))


def as_if_images_were_patients(tested: OutOfFold) -> OutOfFold:
    """The planted fault: every image of the first seed is a patient of its own."""
    split = {}
    for arm, counts in tested.counts.items():
        patient, true, predicted = np.nonzero(counts[0])
        repeats = counts[0][patient, true, predicted]
        single = np.zeros((1, repeats.sum(), 2, 2), int)
        order = np.argsort(np.repeat(patient, repeats), kind="stable")
        single[0, np.arange(repeats.sum()), np.repeat(true, repeats)[order], np.repeat(predicted, repeats)[order]] = 1
        split[arm] = single
    return OutOfFold(split, np.repeat(tested.fold, IMAGES_PER_PATIENT, axis=1))


def difference(tested: OutOfFold, rng: np.random.Generator, num_resamples: int = 200) -> Difference:
    metric = "balanced_accuracy"
    drawn = score_resamples(tested, resample(tested, num_resamples, rng), metric)
    return paired_difference(tested, drawn, classifier="c", arm=ARM, baseline=BASELINE, metric=metric, confidence=0.95)


def coverage(num_studies: int, change: Callable[[OutOfFold], OutOfFold] = lambda tested: tested, **world: Any) -> float:
    rng = np.random.default_rng(0)
    found = [difference(change(simulate(rng, **world)), rng) for _ in range(num_studies)]
    return float(np.mean([d.bootstrap.low <= TRUTH <= d.bootstrap.high for d in found]))


@pytest.mark.parametrize(("patient", "run", "num_seeds"), [(0.25, 0.0, 1), (0.15, 0.05, 2), (0.0, 0.1, 3)])
def test_interval_covers_the_truth_as_often_as_it_says(patient: float, run: float, num_seeds: int) -> None:
    assert 0.90 <= coverage(250, patient=patient, run=run, num_seeds=num_seeds) <= 0.995


@pytest.mark.parametrize(("patient", "run", "num_seeds"), [(0.25, 0.0, 1), (0.15, 0.1, 2)])
def test_interval_covers_with_repeated_folds_too(patient: float, run: float, num_seeds: int) -> None:
    assert 0.90 <= coverage(200, patient=patient, run=run, num_seeds=num_seeds, num_repeats=3) <= 0.995


def test_taking_repeats_for_new_patients_covers_too_rarely() -> None:
    world = {"patient": 0.25, "run": 0.0, "num_seeds": 1, "num_repeats": 3}
    assert coverage(120, as_if_repeats_were_new_patients, **world) < 0.85


def test_patient_keeps_its_weight_in_all_repeats() -> None:
    tested = simulate(np.random.default_rng(4), patient=0.2, run=0.1, num_seeds=1, num_repeats=3)
    weights = resample(tested, 50, np.random.default_rng(0))  # of one seed, which is kept as it is
    assert weights.shape == (50, 3, 40)
    assert (weights == weights[:, :1]).all()


def test_run_counts_alike_for_all_patients_of_its_fold_and_apart_from_other_folds() -> None:
    tested = simulate(np.random.default_rng(4), patient=0.2, run=0.1, num_seeds=2, num_repeats=3)
    weights = resample(tested, 400, np.random.default_rng(0)).reshape(400, 3, 2, 40)
    of_patient = weights.sum(axis=2)
    fraction = weights[:, :, 0] / np.where(of_patient > 0, of_patient, np.nan)  # of the first seed
    of_fold = []
    assert len(tested.fold) == 3
    for repeat, fold in enumerate(tested.fold):
        for other in np.unique(fold):
            fractions = fraction[:, repeat, fold == other]
            assert (np.nanmax(fractions, axis=1) == np.nanmin(fractions, axis=1)).all()
            of_fold.append(np.nanmax(fractions, axis=1))
    assert np.abs(np.corrcoef(of_fold) - np.eye(12)).max() < 0.2


def test_drawing_images_instead_of_patients_covers_too_rarely() -> None:
    world: dict[str, Any] = {"patient": 0.25, "run": 0.0, "num_seeds": 1}
    assert coverage(80, as_if_images_were_patients, **world) < 0.85 < coverage(150, **world)


def test_leaving_the_training_runs_out_covers_too_rarely() -> None:
    def one_seed_repeated(tested: OutOfFold) -> OutOfFold:
        return OutOfFold({arm: counts[:1] for arm, counts in tested.counts.items()}, tested.fold)

    assert coverage(150, one_seed_repeated, patient=0.0, run=0.1, num_seeds=2) < 0.85


def test_estimate_is_the_mean_over_the_seeds_of_the_difference() -> None:
    tested = simulate(np.random.default_rng(1), patient=0.2, run=0.1, num_seeds=3)
    metric = "balanced_accuracy"
    per_seed = [
        score_counts(tested.counts[ARM][s : s + 1], metric) - score_counts(tested.counts[BASELINE][s : s + 1], metric)
        for s in range(3)
    ]
    assert difference(tested, np.random.default_rng(0)).estimate == pytest.approx(np.mean(per_seed))


def test_arm_differs_from_itself_by_exactly_nothing() -> None:
    tested = simulate(np.random.default_rng(2), patient=0.2, run=0.1, num_seeds=2)
    same = OutOfFold({ARM: tested.counts[ARM], BASELINE: tested.counts[ARM]}, tested.fold)
    found = difference(same, np.random.default_rng(0))
    assert (found.estimate, found.interval.low, found.interval.high) == (0, 0, 0)


def test_resamples_centre_on_the_estimate() -> None:
    tested = simulate(np.random.default_rng(3), patient=0.2, run=0.1, num_seeds=2)
    weights = resample(tested, 4000, np.random.default_rng(0))
    scores = score_resamples(tested, weights, "accuracy")[ARM]
    assert scores.mean() == pytest.approx(score_counts(tested.counts[ARM], "accuracy"), abs=0.005)


def test_repeats_add_no_patients_and_no_images() -> None:
    tested = simulate(np.random.default_rng(5), patient=0.2, run=0.1, num_seeds=2, num_repeats=3)
    found = difference(tested, np.random.default_rng(0))
    assert (found.num_patients, found.num_images, found.num_seeds) == (40, 800, 2)
    assert found.folds == tuple(range(12))
    per_run = [score_counts(tested.counts[ARM][r : r + 1], "accuracy") for r in range(6)]
    assert score_counts(tested.counts[ARM], "accuracy") == pytest.approx(np.mean(per_run))


def results(order: np.ndarray) -> list[CellResult]:
    """Two arms, folds and seeds over eight patients, whose images stand in the given order in every cell."""
    rng, found = np.random.default_rng(0), []
    for arm in (BASELINE, ARM):
        for fold in range(2):
            for seed in range(2):
                groups = np.repeat([f"p{fold}{patient}" for patient in range(4)], 5)
                labels, probs = np.repeat([0, 1, 0, 1], 5), rng.dirichlet([1, 1], 20)
                cell = Cell("c", arm, fold, seed, digest="")
                shuffled = Predictions(labels[order], groups[order], groups[order], probs[order].astype(np.float32))
                found.append(CellResult(cell, RECORD, shuffled))
    return found


def test_order_of_patients_and_of_cells_does_not_matter() -> None:
    straight = out_of_fold(results(np.arange(20)), "c", 2)
    shuffled = out_of_fold(results(np.random.default_rng(5).permutation(20))[::-1], "c", 2)
    assert straight.fold.tolist() == shuffled.fold.tolist() == [[0] * 4 + [1] * 4]
    first, second = (difference(tested, np.random.default_rng(0)) for tested in (straight, shuffled))
    assert (first.estimate, first.interval) == (second.estimate, second.interval)
    assert (first.num_patients, first.num_images, first.num_seeds, first.folds) == (8, 40, 2, (0, 1))


def test_same_patient_is_one_patient_in_every_repeat_and_may_be_missing_from_one() -> None:
    def result(arm: str, fold: int, repeat: int, groups: list[str], right: bool) -> CellResult:
        labels = np.array([int(group[1]) % 2 for group in groups])
        probs = np.eye(2, dtype=np.float32)[labels if right else 1 - labels]
        predictions = Predictions(labels, np.array(groups), np.array(groups), probs)
        return CellResult(Cell("c", arm, fold, 0, digest="", repeat=repeat), RECORD, predictions)

    studied = [(0, 0, ["p0", "p1"]), (1, 0, ["p2", "p3"]), (3, 1, ["p1", "p2", "p2"])]  # fold 2 was not studied
    cells = [result(arm, *each, right=arm == ARM) for arm in (BASELINE, ARM) for each in studied]
    tested = out_of_fold(cells, "c", 2)
    assert tested.fold.tolist() == [[0, 0, 1, 1], [-1, 3, 3, -1]]
    assert tested.counts[ARM].sum(axis=(2, 3)).tolist() == [[1, 1, 1, 1], [0, 1, 2, 0]]
    assert tested.images.tolist() == [[1, 0], [0, 1], [2, 0], [0, 1]]
    found = difference(tested, np.random.default_rng(0))
    assert found.estimate == 1
    assert found.folds == (0, 1, 3)
    assert np.isfinite([found.interval.low, found.interval.high]).all()
