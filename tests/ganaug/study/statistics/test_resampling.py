"""The bootstrap against closed forms and against scikit-learn."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from ganaug.study.statistics.resampling import (
    PREDICTION_METRICS,
    balanced_accuracy,
    confusions,
    group_weights,
    macro_f1,
    seed_weights,
    strata_of,
)

Answers = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # labels, predictions, patients


@pytest.fixture
def answers() -> Answers:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    return labels, predicted, rng.integers(0, 40, 300)


@pytest.mark.parametrize("name", PREDICTION_METRICS)
def test_metric_agrees_with_scikit_learn(answers: Answers, name: str) -> None:
    labels, predicted, groups = answers
    theirs = {
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "accuracy": sk.accuracy_score(labels, predicted),
        "macro_f1": sk.f1_score(labels, predicted, average="macro"),
    }
    assert PREDICTION_METRICS[name](confusions(labels, predicted, groups, 40, 4).sum(axis=0)) == pytest.approx(
        theirs[name]
    )


def test_absent_class_is_left_out_of_the_mean_as_in_scikit_learn(answers: Answers) -> None:
    present = answers[0] < 3
    labels, predicted, groups = answers[0][present], answers[1][present], answers[2][present]
    counts = confusions(labels, np.minimum(predicted, 2), groups, 40, 4).sum(axis=0)
    assert balanced_accuracy(counts) == pytest.approx(sk.balanced_accuracy_score(labels, np.minimum(predicted, 2)))
    assert macro_f1(counts) == pytest.approx(sk.f1_score(labels, np.minimum(predicted, 2), average="macro"))


def test_confusions_do_not_depend_on_the_order_of_the_images(answers: Answers) -> None:
    shuffled = np.random.default_rng(1).permutation(300)
    labels, predicted, groups = answers
    other = confusions(labels[shuffled], predicted[shuffled], groups[shuffled], 40, 4)
    assert (confusions(*answers, 40, 4) == other).all()


def test_weighted_counts_are_the_counts_of_the_resampled_images(answers: Answers) -> None:
    labels, predicted, groups = answers
    counts = confusions(labels, predicted, groups, 40, 4)
    weights = np.random.default_rng(2).integers(0, 3, len(counts))
    taken = np.concatenate([np.flatnonzero(groups == g) for g, w in enumerate(weights) for _ in range(w)])
    direct = confusions(labels[taken], predicted[taken], groups[taken], 40, 4).sum(axis=0)
    assert (np.tensordot(weights, counts, axes=(0, 0)) == direct).all()


def test_every_resample_holds_every_class() -> None:
    labels = np.array([0] * 5 + [1] * 3 + [2] * 2)
    counts = confusions(labels, labels, np.arange(10), 10, 3)
    weights = group_weights(strata_of(counts.sum(axis=-1)), 2000, np.random.default_rng(0))
    held = np.tensordot(weights, counts.sum(axis=-1), axes=(1, 0))
    assert (held > 0).all()
    assert np.allclose(held, [5, 3, 2])


def test_group_with_several_classes_belongs_to_its_rarest() -> None:
    counts = confusions(np.array([0, 0, 0, 1, 1, 2]), np.zeros(6, int), np.array([0, 1, 2, 2, 3, 3]), 4, 3)
    assert strata_of(counts.sum(axis=-1)).tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("num_patients", [2, 5, 40])
def test_one_image_a_patient_gives_the_textbook_variance_of_a_mean(num_patients: int) -> None:
    values = np.random.default_rng(num_patients).normal(size=num_patients)
    weights = group_weights(np.zeros(num_patients, int), 40_000, np.random.default_rng(0))
    means = weights @ values / num_patients
    assert means.mean() == pytest.approx(values.mean(), abs=0.02)
    assert means.var() == pytest.approx(values.var(ddof=1) / num_patients, rel=0.03)


def test_seeds_are_drawn_apart_in_every_fold_with_the_textbook_variance() -> None:
    values = np.random.default_rng(0).normal(size=(3, 2))
    weights = seed_weights(3, 2, 40_000, np.random.default_rng(1))
    means = (weights * values).mean(axis=2)
    assert np.allclose(means.var(axis=0), values.var(axis=1, ddof=1) / 2, rtol=0.03)
    assert abs(np.corrcoef(means.T)[0, 1]) < 0.03


def test_single_seed_and_single_patient_are_kept_as_they_are() -> None:
    assert (seed_weights(4, 1, 10, np.random.default_rng(0)) == 1).all()
    assert (group_weights(np.array([0]), 10, np.random.default_rng(0)) == 1).all()


def test_same_generator_same_resamples() -> None:
    draws = [group_weights(np.zeros(9, int), 50, np.random.default_rng(3)) for _ in range(2)]
    assert (draws[0] == draws[1]).all()
