"""What each step sees, and how much each class weighs."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from classifiers.training.order import balanced_order, class_weights, epoch_order, make_order

LABELS = np.repeat(np.arange(3, dtype=np.int64), [20, 5, 2])


def test_a_balanced_order_draws_all_classes_equally_in_every_batch() -> None:
    order = balanced_order(LABELS, 40, 9, seed=1)
    assert order.shape == (40, 9)
    for batch in order:
        assert np.bincount(LABELS[batch]).tolist() == [3, 3, 3]


def test_a_balanced_order_shows_all_images_of_a_class_before_any_comes_back() -> None:
    order = balanced_order(LABELS, 40, 9, seed=1).ravel()
    for label, count in enumerate(np.bincount(LABELS)):
        rounds = order[LABELS[order] == label][: 120 // count * count].reshape(-1, count)
        assert len(rounds) == 120 // count
        assert all(len(set(images)) == count for images in rounds.tolist())


def test_the_balance_chooses_the_order() -> None:
    plain = epoch_order(len(LABELS), 4, 9, seed=3)
    np.testing.assert_array_equal(make_order(LABELS, 4, 9, 3, "none"), plain)
    np.testing.assert_array_equal(make_order(LABELS, 4, 9, 3, "weights"), plain)
    np.testing.assert_array_equal(make_order(LABELS, 4, 9, 3, "sampler"), balanced_order(LABELS, 4, 9, 3))
    assert not np.array_equal(balanced_order(LABELS, 4, 9, 3), balanced_order(LABELS, 4, 9, 4))


def test_class_weights_are_those_of_scikit_learn_and_a_missing_class_has_none() -> None:
    weights = class_weights(LABELS, 4)
    np.testing.assert_allclose(weights[:3], compute_class_weight("balanced", classes=np.arange(3), y=LABELS), rtol=1e-6)
    assert weights[3] == 0
    assert weights[LABELS].mean() == pytest.approx(1)
