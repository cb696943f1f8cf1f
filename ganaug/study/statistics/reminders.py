"""Tests that reviewers know and ask for, next to the verdict and never in its place: each with what it leaves out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ganaug.interval import Interval
from ganaug.study.statistics.clustered import Contrast
from ganaug.study.statistics.out_of_fold import OutOfFold
from ganaug.study.statistics.resampling import PREDICTION_METRICS

NUM_FLIPS = 10_000
FLIP_SEED = 0  # the flips are part of the method


@dataclass(frozen=True)
class McNemar:
    """The images on which two arms disagree, in one training run, as if each image were a patient of its own."""

    only_arm: int  # right with the arm, wrong with the baseline
    only_baseline: int
    p: float  # exact, two-sided


def nadeau_bengio(
    contrast: Contrast, tested: OutOfFold, metric: str, confidence: float, test_per_train: float
) -> Interval:
    """The corrected resampled t-interval over the scores of folds and seeds.

    test_per_train: images tested per image trained on, such as 0.25 for five folds. It takes folds for repeated
    splits at random, and simulated intervals hold the truth in 98 to 100 of 100 studies where 95 are asked for.
    Source: Nadeau and Bengio 2003, equation 9.
    """
    differences = scores_of_runs(contrast, tested, metric)
    differences = differences[np.isfinite(differences)]
    if len(differences) < 2:
        return Interval(np.nan, np.nan, confidence, "Nadeau–Bengio", "fewer than two runs have a score")
    variance = differences.var(ddof=1) * (1 / len(differences) + test_per_train)
    half = float(stats.t.ppf((1 + confidence) / 2, len(differences) - 1) * variance**0.5)
    mean = float(differences.mean())
    return Interval(mean - half, mean + half, confidence, "Nadeau–Bengio")


def scores_of_runs(contrast: Contrast, tested: OutOfFold, metric: str) -> NDArray[np.float64]:
    """The contrast on the test part of every fold under every seed, [folds · S]; NaN where a part has no image."""
    found = []
    for repeat, folds in enumerate(tested.folds_of):
        runs = slice(repeat * tested.num_seeds, (repeat + 1) * tested.num_seeds)
        for fold in folds:
            of_fold = tested.fold[repeat] == fold
            counts = {arm: tested.counts[arm][runs, of_fold].sum(axis=1) for arm in contrast.weights}
            if not next(iter(counts.values())).any():
                continue
            scores = [weight * PREDICTION_METRICS[metric](counts[arm]) for arm, weight in contrast.weights.items()]
            found.append(np.sum(scores, axis=0))
    return np.concatenate(found) if found else np.empty(0)


def mcnemar(is_right: NDArray[np.bool_], is_right_with_baseline: NDArray[np.bool_]) -> McNemar:
    """The exact test on the images of one run, [N] each, in the same order.

    It takes images of one patient for independent and sees one training run of many, so its p is too small.
    Source: McNemar 1947.
    """
    only_arm = int((is_right & ~is_right_with_baseline).sum())
    only_baseline = int((~is_right & is_right_with_baseline).sum())
    num_discordant = only_arm + only_baseline
    p = float(stats.binomtest(only_arm, num_discordant).pvalue) if num_discordant else 1.0
    return McNemar(only_arm, only_baseline, p)


def sign_flip_p(contrast: Contrast, tested: OutOfFold, metric: str) -> float:
    """Two-sided p of no difference, by flipping which arm is which in whole patients.

    It holds where arms can be exchanged within a patient: the runs and the generators are taken as they are, so where
    they are lucky it rejects too often (simulated: 7 to 19 of 100 in place of 5).
    Source: Fisher 1935, section 21; with the observed flip counted, Phipson and Smyth 2010.
    """
    by_patient = patient_differences(contrast, tested, metric)
    flips = np.random.default_rng(FLIP_SEED).choice([-1.0, 1.0], size=(NUM_FLIPS, len(by_patient)))
    observed, drawn = abs(by_patient.sum()), np.abs(flips @ by_patient)
    return float((1 + (drawn >= observed - 1e-12).sum()) / (1 + NUM_FLIPS))


def cohens_d(contrast: Contrast, tested: OutOfFold, metric: str) -> float:
    """The mean of the patients' own differences over their standard deviation (d_z); NaN where they do not vary.

    Each patient counts with its weight in the metric. Source: Cohen 1988, section 2.3, equation 2.3.5.
    """
    by_patient = patient_differences(contrast, tested, metric)
    spread = float(by_patient.std(ddof=1)) if len(by_patient) > 1 else 0.0
    return float(by_patient.mean() / spread) if spread > 0 else float("nan")


def patient_differences(contrast: Contrast, tested: OutOfFold, metric: str) -> NDArray[np.float64]:
    """The part of every patient in the estimate, [G], which they sum to.

    For accuracies it is exact: the right answers of a patient over the images of its class, or of all. macro_f1 is no
    sum over patients; the estimate is shared out by their influence.
    """
    estimate, influence = contrast.estimate(tested, metric), contrast.influence(tested, metric).sum(axis=(0, 2))
    images = tested.images.astype(np.float64)
    total = images.sum(axis=0) if metric != "accuracy" else np.full(images.shape[1], images.sum())
    present = images.sum(axis=0) > 0
    weight = np.divide(images, total, out=np.zeros(images.shape), where=total > 0).sum(axis=1)
    weight = weight / (present.sum() if metric != "accuracy" else 1.0)
    parts: NDArray[np.float64] = influence + weight * estimate
    return parts
