"""Out-of-fold test predictions of a classifier under every arm, as counts per training run and patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.classify.predictions import Predictions
from ganaug.study.cells import CellResult
from ganaug.study.statistics.resampling import PREDICTION_METRICS, Counts, confusions

FEWEST_PATIENTS = 3  # tested of a class, or the verdict leaves it out: with one, simulated intervals cover 78 to 88 %


@dataclass(frozen=True)
class OutOfFold:
    """The out-of-fold test predictions of one classifier under every arm, as counts.

    In each of `P` repeats of the folds every patient is tested in at most one fold, by the `S` seeds of that fold; in
    a repeat that was studied in part some patients are not tested, and their counts there are zero.
    """

    counts: dict[str, NDArray[np.int64]]  # per arm [P·S, G, K, K]: repeat and seed, patient, true and predicted class
    fold: NDArray[np.int64]  # [P, G], the fold in which the patient is tested; -1 where in none
    generator: tuple[int, ...] = ()  # of each of the S seeds, which of its fold's generators; empty: a fold has one

    def __post_init__(self) -> None:
        shapes = {counts.shape for counts in self.counts.values()}
        assert len(shapes) == 1, f"arms of different shapes {shapes}"
        (shape,) = shapes
        assert shape[1] == self.fold.shape[1], f"{shape[1]} patients, folds of {self.fold.shape[1]}"
        assert shape[0] % len(self.fold) == 0, f"{shape[0]} runs in {len(self.fold)} repeats"

    @property
    def num_seeds(self) -> int:
        """`S`, the seeds of each fold."""
        return len(next(iter(self.counts.values()))) // len(self.fold)

    @property
    def images(self) -> NDArray[np.int64]:
        """The tested images of each patient and true class, [G, K], however often they are tested."""
        images: NDArray[np.int64] = next(iter(self.counts.values())).sum(axis=-1).max(axis=0)
        return images

    @property
    def num_generators(self) -> int:
        """The generators of each fold."""
        return len(set(self.generator)) or 1

    @property
    def folds_of(self) -> list[list[int]]:
        """The folds that are tested in each repeat."""
        return [np.unique(of_repeat[of_repeat >= 0]).tolist() for of_repeat in self.fold]

    def score(self, arm: str, metric: str) -> float:
        return score_counts(self.counts[arm], metric)

    def repeat(self, index: int) -> "OutOfFold":
        """One of the repeats, as a study of its own."""
        runs = slice(index * self.num_seeds, (index + 1) * self.num_seeds)
        counts = {arm: counts[runs] for arm, counts in self.counts.items()}
        return OutOfFold(counts, self.fold[index : index + 1], self.generator)

    def is_judged(self, fewest_patients: int) -> NDArray[np.bool_]:
        """Of each class whether so many patients are tested, [K]."""
        judged: NDArray[np.bool_] = (self.images > 0).sum(axis=0) >= fewest_patients
        return judged

    def judge_classes(self, fewest_patients: int) -> "OutOfFold":
        """The same without the images of classes of which fewer patients are tested, and without who has no others.

        Where fewer than two classes would be left, all are.
        """
        is_judged = self.is_judged(fewest_patients)
        if is_judged.sum() < 2:
            return self
        is_left = self.images[:, is_judged].any(axis=1)
        counts = {arm: (counts * is_judged[:, None])[:, is_left] for arm, counts in self.counts.items()}
        return OutOfFold(counts, self.fold[:, is_left], self.generator)


def score_counts(counts: Counts, metric: str) -> float:
    """The metric over all patients, runs pooled; for accuracies it is their mean. `counts` [P·S, G, K, K]."""
    return float(PREDICTION_METRICS[metric](counts.sum(axis=(0, 1))))


def out_of_fold(
    results: Sequence[CellResult], classifier: str, num_classes: int, generator: tuple[int, ...] = ()
) -> OutOfFold:
    """The predictions of one classifier's cells, pooled over the folds, as counts; `generator` as in `OutOfFold`."""
    mine = [result for result in results if result.cell.classifier == classifier]
    groups = {(result.cell.repeat, result.cell.fold): result.predictions.groups for result in mine}
    patients = np.unique(np.concatenate(list(groups.values())))
    patient_of = {place: np.searchsorted(patients, names) for place, names in groups.items()}
    repeats = sorted({repeat for repeat, _ in groups})
    fold = np.full((len(repeats), len(patients)), -1)
    for (repeat, tested_in), tested in patient_of.items():
        fold[repeats.index(repeat), tested] = tested_in
    counts: dict[str, NDArray[np.int64]] = {}
    for arm in dict.fromkeys(result.cell.arm for result in mine):
        runs = runs_of([result for result in mine if result.cell.arm == arm])
        counts[arm] = np.zeros((len(runs), len(patients), num_classes, num_classes), dtype=np.int64)
        for of_run, run in zip(counts[arm], runs, strict=True):
            for result in run:
                tested, found = patient_of[result.cell.repeat, result.cell.fold], result.predictions
                of_run += confusions(found.labels, found.probs.argmax(1), tested, len(patients), num_classes)
    return OutOfFold(counts, fold, generator)


def runs_of(results: Sequence[CellResult]) -> list[list[CellResult]]:
    """The cells of each (repeat, seed), in this order: those that together test every patient once."""
    runs: dict[tuple[int, int], list[CellResult]] = {}
    for result in results:
        runs.setdefault((result.cell.repeat, result.cell.seed), []).append(result)
    return [runs[key] for key in sorted(runs)]


def pool(results: Sequence[CellResult]) -> Predictions:
    """The predictions of several cells, one after another."""
    parts = [vars(result.predictions) for result in results]
    return Predictions(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
