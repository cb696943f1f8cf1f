"""Scores of a snapshot against training and validation patients: equal classes, equal numbers, one floor for all."""

import numpy as np
import pytest

from ganaug.evaluate.labels.linear import Labelled
from ganaug.evaluate.metrics.frechet import frechet_distance
from ganaug.evaluate.metrics.metric import Features
from ganaug.train.monitoring.snapshot_scores import FEWEST_IMAGES, ClassProbe, RealSides, match_classes, spread

RNG = np.random.default_rng(0)
TRAIN = RNG.normal(size=(60, 4))
VAL = RNG.normal(size=(20, 4)) + 1
MATCHED = np.arange(0, 60, 3)


def sides(train: Features = TRAIN, val: Features = VAL, scale: float = 1.0) -> RealSides:
    return RealSides(train, val, MATCHED[: len(val)], scale, seed=0)


def test_copies_of_validation_patients_are_nearer_to_them_than_training_images_are() -> None:
    fake = TRAIN.copy()
    fake[MATCHED] = VAL
    scores = sides().scores(fake)
    assert scores.val_score == pytest.approx(0, abs=1e-9)
    assert scores.val_floor is not None
    assert scores.val_floor > 1
    assert scores.score > 0


def test_the_distances_are_those_of_the_metrics_at_equal_numbers() -> None:
    fake = RNG.normal(size=(60, 4)) * 2
    scores = sides().scores(fake)
    assert scores.score == frechet_distance(TRAIN, fake)
    assert scores.val_score == frechet_distance(VAL, fake[MATCHED])
    assert scores.val_floor == frechet_distance(VAL, TRAIN[MATCHED])
    assert scores.val_num_images == 20


def test_the_same_snapshot_has_the_same_scores_and_every_snapshot_the_same_floor() -> None:
    every = sides()
    first, second = every.scores(TRAIN * 2), every.scores(TRAIN * 3)
    assert every.scores(TRAIN * 2) == first
    assert (first.val_floor, first.val_kernel_floor) == (second.val_floor, second.val_kernel_floor)
    assert first.val_kernel != second.val_kernel


def test_the_scale_of_a_network_does_not_matter() -> None:
    plain, large = sides().scores(TRAIN * 2), sides(TRAIN * 100, VAL * 100, scale=100.0).scores(TRAIN * 200)
    assert large.to_dict() == pytest.approx(plain.to_dict())


def test_with_too_few_validation_images_the_other_figures_still_come_out() -> None:
    scores = sides(val=VAL[: FEWEST_IMAGES - 1]).scores(TRAIN * 2)
    assert scores.score > 0
    assert (scores.val_num_images, scores.val_score, scores.val_kernel, scores.val_floor) == (0, None, None, None)
    assert sides(val=VAL[:FEWEST_IMAGES]).scores(TRAIN * 2).val_score is not None


def test_with_too_few_training_images_a_snapshot_still_has_its_score() -> None:
    few = RealSides(TRAIN[:2], VAL[:2], np.arange(2), 1.0, seed=0)
    scores = few.scores(TRAIN[:2] * 2)
    assert scores.score > 0
    assert scores.kernel is None


def test_both_sides_get_the_same_classes_in_the_same_order() -> None:
    train, val = RNG.integers(0, 3, 50), RNG.integers(1, 5, 30)
    ours, theirs = match_classes(train, val)
    assert train[ours].tolist() == val[theirs].tolist()
    for label in range(5):
        number = min(np.sum(train == label), np.sum(val == label))
        assert np.sum(train[ours] == label) == number
    assert len(set(ours.tolist())) == len(ours) > 0
    assert len(set(theirs.tolist())) == len(theirs)
    assert [len(side) for side in match_classes(train, val[:0])] == [0, 0]


def test_spread_takes_evenly_and_never_more_than_there_are() -> None:
    assert spread(np.arange(10), 3).tolist() == [0, 4, 9]
    assert spread(np.arange(3), 10).tolist() == [0, 1, 2]
    assert spread(np.arange(0), 10).tolist() == []


def test_the_agreement_is_one_for_images_of_the_class_asked_for_and_none_for_those_of_another() -> None:
    label = np.repeat([0, 1, 2], 20)
    centres = 5 * np.eye(3)
    val, train, fake = (centres[label] + np.random.default_rng(seed).normal(size=(60, 3)) for seed in range(3))
    groups = np.array([f"p{index % 10 + 10 * label[index]}" for index in range(60)])
    probe = ClassProbe.fit(Labelled(val, label, groups), Labelled(train, label, groups), seed=0)
    assert probe is not None
    assert probe.floor > 0.95
    assert probe.agreement(fake) > 0.95
    assert probe.agreement(np.roll(fake, 20, axis=0)) < 0.05
    assert probe.agreement(np.broadcast_to(fake[:1], fake.shape).copy()) == pytest.approx(1 / 3)
    lacking = Labelled(val[:40], label[:40], groups[:40])
    assert ClassProbe.fit(lacking, Labelled(train, label, groups), seed=0) is None
