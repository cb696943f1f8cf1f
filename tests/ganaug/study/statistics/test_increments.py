"""Average precision on resamples is scikit-learn's under the same weights."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score

from ganaug.study.statistics.increments import average_precision, score_probabilities


@pytest.mark.parametrize("levels", [3, 1000], ids=["many-ties", "few-ties"])
def test_average_precision_is_scikit_learns(levels: int) -> None:
    rng = np.random.default_rng(levels)
    is_positive, scores = rng.random(80) < 0.3, rng.integers(levels, size=80) / levels
    weights = rng.multinomial(80, np.full(80, 1 / 80), size=20).astype(np.float64)
    expected = [average_precision_score(is_positive, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(average_precision(is_positive, scores, weights), expected)


def test_average_precision_in_closed_form() -> None:
    ones = np.ones((1, 4))
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert average_precision(np.array([True, True, False, False]), scores, ones) == 1
    assert average_precision(np.array([False, True, False, True]), scores, ones) == pytest.approx(0.5)
    assert average_precision(np.array([False, True, False, True]), np.zeros(4), ones) == pytest.approx(0.5)
    assert np.isnan(average_precision(np.zeros(4, bool), scores, ones)).all()


def test_scores_of_probabilities_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels, probs = rng.integers(3, size=60), rng.dirichlet(np.ones(3), 60)
    weights = np.concatenate([np.ones((1, 60)), rng.integers(1, 4, (3, 60))])
    found = score_probabilities(labels, probs, weights)
    for row, weight in enumerate(weights):
        areas = [average_precision_score(labels == k, probs[:, k], sample_weight=weight) for k in range(3)]
        assert found["pr_auc"][row] == pytest.approx(np.mean(areas))
        predicted = probs.argmax(1)
        f1 = f1_score(labels, predicted, average="macro", sample_weight=weight)
        assert found["macro_f1"][row] == pytest.approx(f1)
        balanced = balanced_accuracy_score(labels, predicted, sample_weight=weight)
        assert found["balanced_accuracy"][row] == pytest.approx(balanced)
