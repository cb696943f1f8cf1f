"""The class probe: margins in closed form, what is asked for of whom, and who teaches it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ganaug.config import NetworkConfig
from ganaug.model.projected import discriminator
from ganaug.model.projected.class_probe import ClassProbe, summarize
from ganaug.model.projected.discriminator import ProjectedDiscriminator

CONFIG = NetworkConfig(16, 3, z_dim=8, w_dim=8, channel_base=128, channel_max=8)
LABEL = torch.arange(90) % 3
EVERY = LABEL.numpy()
C = F.one_hot(LABEL, 3).float()


def features_of(label: torch.Tensor, distance: float = 2.0) -> torch.Tensor:
    """Two features of noise, and one for each class that is `distance` higher in its images."""
    noise = torch.randn(len(label), 5, generator=torch.Generator().manual_seed(1))
    return noise + distance * F.pad(F.one_hot(label, 3).float(), (2, 0))


@pytest.fixture
def probe() -> ClassProbe:
    probe = ClassProbe(5, 3)
    probe.fit(features_of(LABEL), LABEL)
    return probe


def test_before_it_is_taught_it_asks_for_nothing() -> None:
    features = features_of(LABEL).requires_grad_()
    shortfall = ClassProbe(5, 3).shortfall(features, C)
    assert shortfall == 0
    torch.autograd.backward(shortfall)
    assert features.grad is not None
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_a_margin_is_the_log_odds_of_the_class_against_all_others(probe: ClassProbe) -> None:
    probabilities = F.linear(features_of(LABEL), probe.weight, probe.bias).softmax(1)
    own = probabilities.gather(1, LABEL[:, None])[:, 0]
    torch.testing.assert_close(probe.margins(features_of(LABEL), C), (own / (1 - own)).log(), atol=1e-4, rtol=1e-4)


def test_two_classes_have_the_log_odds_of_a_logistic_regression() -> None:
    probe, label = ClassProbe(5, 2), LABEL % 2
    probe.fit(features_of(label), label)
    logits = F.linear(features_of(label), probe.weight, probe.bias)
    second = torch.tensor([[0.0, 1.0]]).expand(len(label), 2)
    torch.testing.assert_close(probe.margins(features_of(label), second), logits[:, 1] - logits[:, 0])


def test_what_is_usual_are_the_mean_margins_of_the_images_that_taught_it(probe: ClassProbe) -> None:
    margins = probe.margins(features_of(LABEL), C)
    torch.testing.assert_close(probe.usual, torch.stack([margins[k == LABEL].mean() for k in range(3)]))
    assert (probe.usual > probe.margins(features_of(LABEL), C.roll(1, 0)).mean()).all()


def test_images_that_show_another_class_lack_most_and_clearer_ones_nothing(probe: ClassProbe) -> None:
    usual = probe.shortfall(features_of(LABEL), C)
    assert probe.shortfall(features_of((LABEL + 1) % 3), C) > 4 * usual
    assert probe.shortfall(features_of(LABEL, distance=9.0), C) == 0


def test_shown_more_than_usual_no_image_is_pushed_further(probe: ClassProbe) -> None:
    features = features_of(LABEL).requires_grad_()
    torch.autograd.backward(probe.shortfall(features, C))
    assert features.grad is not None
    is_pushed = features.grad.abs().sum(1) > 0
    margins = probe.margins(features_of(LABEL), C)
    assert torch.equal(is_pushed, margins < probe.usual[LABEL])
    assert 0.2 < is_pushed.float().mean() < 0.8


def test_labels_between_the_classes_count_by_the_part_that_is_one_class(probe: ClassProbe) -> None:
    wrong, uniform = features_of((LABEL + 1) % 3), torch.full((90, 3), 1 / 3)
    whole = probe.shortfall(wrong, C)
    torch.testing.assert_close(probe.shortfall(wrong, 0.25 * C + 0.75 * uniform), 0.25 * whole)
    assert probe.shortfall(wrong, uniform) == 0


def test_a_summary_holds_means_then_standard_deviations_and_survives_constant_maps() -> None:
    maps = [torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2)), torch.full((4, 2, 4, 4), 0.5)]
    maps = [x.requires_grad_() for x in maps]
    seen = summarize(maps)
    first = maps[0].detach().flatten(2).numpy()
    expected = np.concatenate([first.mean(2), np.full((4, 2), 0.5), first.std(2), np.full((4, 2), 1e-4)], axis=1)
    np.testing.assert_allclose(seen.detach().numpy(), expected, atol=1e-5)
    torch.autograd.backward(seen.sum())
    assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in maps)


# ---- within the discriminator ----


def images(label: np.ndarray) -> np.ndarray:
    """u8 [N, 16, 16, 3]: noise whose mean, or red, or contrast depends on the class."""
    random = np.random.default_rng(0)
    img = random.normal(128, 20 + 30 * (label == 2)[:, None, None, None], (len(label), 16, 16, 3))
    img[label == 1, :, :, 0] += 60
    return np.clip(img, 0, 255).astype(np.uint8)


def taught(config: NetworkConfig = CONFIG, label: np.ndarray = EVERY) -> ProjectedDiscriminator:
    D = ProjectedDiscriminator(config, generator=torch.Generator().manual_seed(0))
    D.learn_classes(images(label), label)
    return D


def shortfall(D: ProjectedDiscriminator, label: np.ndarray, c: torch.Tensor) -> float:
    img = torch.from_numpy(images(label)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return float(D.class_shortfall(D.maps(img), c))


def test_a_discriminator_knows_the_classes_of_the_images_it_was_shown() -> None:
    D, label = taught(), EVERY
    assert shortfall(D, label, C.roll(1, 0)) > 5 * shortfall(D, label, C) > 0


def test_the_same_images_teach_the_same_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    own, same = taught().class_probe, taught().class_probe
    monkeypatch.setattr(discriminator, "NUM_AT_ONCE", 7)
    other = taught().class_probe
    assert own is not None
    assert same is not None
    assert other is not None
    assert torch.equal(own.weight, same.weight)
    torch.testing.assert_close(own.usual, other.usual, atol=0.01, rtol=0.01)


def test_nothing_is_asked_for_where_a_class_has_no_image_or_is_alone() -> None:
    assert shortfall(taught(label=EVERY % 2), EVERY, C) == 0
    alone = NetworkConfig(16, 1, z_dim=8, w_dim=8, channel_base=128, channel_max=8)
    label = np.zeros(4, np.int64)
    assert shortfall(taught(alone, label), label, torch.ones(4, 1)) == 0
