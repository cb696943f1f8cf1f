"""The influence of patients and runs on a metric is the metric's own first-order change."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.study.statistics.influence import influence
from ganaug.study.statistics.out_of_fold import score_counts
from ganaug.study.statistics.resampling import PREDICTION_METRICS


def draw_counts(seed: int = 0, num_classes: int = 3) -> NDArray[np.int64]:
    """Three runs over 12 patients of one class each, of 5 to 20 images."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((3, 12, num_classes, num_classes), dtype=np.int64)
    for patient, images in enumerate(rng.integers(5, 21, 12)):
        label = patient % num_classes
        probability = rng.dirichlet(np.ones(num_classes) + 4 * np.eye(num_classes)[label])
        counts[:, patient, label] = rng.multinomial(images, probability, size=3)
    return counts


@pytest.mark.parametrize("metric", list(PREDICTION_METRICS))
def test_influences_sum_to_zero(metric: str) -> None:
    assert influence(draw_counts(), metric).sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("metric", list(PREDICTION_METRICS))
def test_influence_is_the_change_where_a_patient_counts_a_little_more(metric: str) -> None:
    counts = draw_counts().astype(np.float64)
    of_patient = influence(counts, metric).sum(axis=(0, 2))
    more = 1e-4
    for patient, expected in enumerate(of_patient):
        weighted = counts.copy()
        weighted[:, patient] *= 1 + more
        change = (score_counts(weighted, metric) - score_counts(counts, metric)) / more
        assert change == pytest.approx(expected, rel=1e-2, abs=1e-6)


def test_influence_on_balanced_accuracy_is_as_written_on_paper() -> None:
    counts = draw_counts()
    total = counts.sum(axis=(0, 1))
    images, recall = total.sum(axis=1), np.diagonal(total) / total.sum(axis=1)
    hits = np.diagonal(counts, axis1=2, axis2=3)
    expected = (hits - counts.sum(axis=3) * recall) / images / 3  # (d − n · recall) / (K · N) of each class
    np.testing.assert_allclose(influence(counts, "balanced_accuracy"), expected, atol=1e-7)


def test_classes_without_images_have_no_influence() -> None:
    counts = draw_counts()
    counts[:, :, 2] = 0
    for metric in PREDICTION_METRICS:
        found = influence(counts, metric)
        assert np.isfinite(found).all()
        assert not found[:, :, 2].any()
