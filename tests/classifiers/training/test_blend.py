"""Blended images hold as much of each image as their labels say."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from classifiers.config import FitConfig
from classifiers.training.blend import Targets, blend, draw_box

OFF = FitConfig()
MIXUP, CUTMIX, BOTH = replace(OFF, mixup=0.4), replace(OFF, cutmix=1.0), replace(OFF, mixup=0.4, cutmix=1.0)


def batch(n: int = 6, px: int = 8) -> tuple[Tensor, Tensor]:
    """Image i is i everywhere and of class i."""
    labels = torch.arange(n)
    return labels.float().view(n, 1, 1, 1).expand(n, 3, px, px).contiguous(), labels


def other_of(targets: Targets) -> Tensor:
    assert targets.others is not None
    return targets.others


def is_cutmix(images: Tensor) -> bool:
    return bool((images == images.round()).all())


def test_nothing_is_blended_where_both_are_off() -> None:
    images, labels = batch()
    blended, targets = blend(images, labels, OFF, step=0)
    assert blended is images
    assert targets == Targets(labels)


@pytest.mark.parametrize("config", [MIXUP, CUTMIX, BOTH])
def test_an_image_is_as_much_of_each_class_as_its_labels_weigh(config: FitConfig) -> None:
    images, labels = batch()
    for step in range(30):
        blended, targets = blend(images, labels, config, step)
        expected = targets.weight * labels + (1 - targets.weight) * other_of(targets)
        torch.testing.assert_close(blended.mean((1, 2, 3)), expected.float())
        assert 0 <= targets.weight <= 1
    assert torch.equal(images, batch()[0]), "the images that came in are left alone"


def test_mixup_changes_all_pixels_alike_and_cutmix_pastes_one_box() -> None:
    images, labels = batch()
    blended, _ = blend(images, labels, MIXUP, step=1)
    assert (blended == blended[:, :1, :1, :1]).all()
    blended, targets = blend(images, labels, CUTMIX, step=1)
    changed = (blended != images)[other_of(targets) != labels][0, 0]
    rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
    assert 0 < changed.sum() < changed.numel()
    assert changed.sum() == len(rows) * len(columns), "a box"
    assert rows[-1] - rows[0] + 1 == len(rows)


def test_the_draws_depend_on_seed_and_step_and_both_methods_come_equally_often() -> None:
    images, labels = batch()
    first, again = (blend(images, labels, BOTH, step=3)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, blend(images, labels, BOTH, step=4)[0])
    assert not torch.equal(first, blend(images, labels, replace(BOTH, seed=1), step=3)[0])
    always_blended = replace(BOTH, mixup=50.0)  # λ near ½, so no MixUp leaves whole numbers
    odd = torch.tensor([0.0, 1, 10, 100, 1000, 10000]).view(6, 1, 1, 1).expand(6, 3, 8, 8)
    num_cutmix = sum(is_cutmix(blend(odd, labels, always_blended, step)[0]) for step in range(400))
    assert 160 < num_cutmix < 240


def test_the_weight_follows_the_beta_distribution() -> None:
    images, labels = batch(2)
    weights = np.array([blend(images, labels, MIXUP, step)[1].weight for step in range(1000)])
    assert weights.mean() == pytest.approx(0.5, abs=0.04)
    assert weights.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.1)  # of Beta(α, α)


def test_a_box_inside_has_the_area_that_is_asked_for_and_stays_in_the_image() -> None:
    boxes = [draw_box(64, 32, 0.25, np.random.default_rng(seed)) for seed in range(300)]
    assert len(boxes) == 300
    for top, bottom, left, right in boxes:
        assert 0 <= top <= bottom <= 64
        assert 0 <= left <= right <= 32
    assert max((b - t) * (r - le) for t, b, le, r in boxes) == 32 * 16
    assert draw_box(8, 8, 0.0, np.random.default_rng(0))[0] == draw_box(8, 8, 0.0, np.random.default_rng(0))[1]


def test_the_loss_is_the_cross_entropy_of_soft_labels_times_class_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, weights = torch.randn(5, 3, generator=generator), torch.tensor([0.5, 1.0, 3.0])
    labels, others = torch.tensor([0, 1, 2, 2, 0]), torch.tensor([1, 1, 0, 2, 2])
    smooth = [0.9 * F.one_hot(y, 3) + 0.1 / 3 for y in (labels, others)]
    logs = -logits.log_softmax(1)
    by_hand = [(soft * logs).sum(1) for soft in smooth]
    expected = (0.3 * weights[labels] * by_hand[0] + 0.7 * weights[others] * by_hand[1]).mean()
    torch.testing.assert_close(Targets(labels, others, 0.3).loss(logits, 0.1, weights), expected)
    torch.testing.assert_close(Targets(labels).loss(logits, 0.1, None), by_hand[0].mean())
    assert math.isfinite(Targets(labels, others, 1.0).loss(logits, 0.1, None).item())
