"""Training does exactly what its config says, and can be repeated."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.config import FitConfig
from classifiers.fit import fit
from classifiers.predict import extract_features, predict
from classifiers.registry import build_seeded
from classifiers.training.optimizer import learning_rate_factor
from classifiers.training.order import epoch_order

QUICK = FitConfig(num_steps=6, batch=8, eval_every=2)


def stripes(n: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Two classes that differ by colour alone."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % 2
    images = rng.integers(60, 120, (n, 32, 32, 3))
    images[labels == 1, :, :, 0] += 80
    return images.astype(np.uint8), labels


class Constant(nn.Module):
    """A bias and nothing else, with a batch counter; it remembers what it was shown."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.append(x.mean(dim=(1, 2, 3)))
        return self.bias.expand(len(x), -1)


def small() -> nn.Module:
    return build_seeded("dalaresnet50_small", 2, 0, image_size_px=32)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([value.flatten().float() for value in model.state_dict().values()])


@pytest.mark.parametrize("num_images", [3, 8, 100])
def test_the_number_of_steps_does_not_depend_on_the_number_of_images(num_images: int) -> None:
    model = Constant()
    fit(model, *stripes(num_images), config=QUICK)
    assert [len(batch) for batch in model.seen] == [8] * 6


def test_progress_is_shown_on_a_terminal_alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(Constant(), *stripes(8), config=QUICK, progress=True)
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fit(Constant(), *stripes(8), config=QUICK, progress=True)
    assert "6/6" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["dalaresnet50_small", "resvit_gannet_small"])
def test_same_seed_same_weights_and_the_global_generator_is_left_alone(name: str) -> None:
    def trained(seed: int) -> Tensor:
        model = build_seeded(name, 2, 0, image_size_px=32)
        fit(model, *stripes(20), config=replace(QUICK, num_steps=3, seed=seed))
        return weights(model)

    before = torch.random.get_rng_state()
    first = trained(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(trained(1), first)
    assert not torch.equal(trained(2), first)


def test_every_epoch_shows_every_image_once() -> None:
    order = epoch_order(12, 10, 6, seed=3)
    assert order.shape == (10, 6)
    assert order.size == 60
    for epoch in order.reshape(5, 12):
        assert sorted(epoch) == list(range(12))
    assert not np.array_equal(order[:2], order[2:4])


def test_a_given_order_is_followed() -> None:
    images = np.repeat(np.arange(10, dtype=np.uint8), 8 * 8 * 3).reshape(10, 8, 8, 3)
    order = np.array([[0, 9], [5, 5], [1, 2]])
    model = Constant()
    config = FitConfig(num_steps=3, batch=2, classical_augmentation="none")
    fit(model, images, np.zeros(10, dtype=np.int64), config=config, order=order)
    np.testing.assert_array_equal((torch.stack(model.seen) * 255).round().numpy(), order)


def test_the_best_validation_weights_are_kept() -> None:
    """Training pulls the bias to class 0, validation wants class 1: the first look is the best."""
    images, _ = stripes(16)
    ones = np.ones(16, dtype=np.int64)
    best, last = Constant(), Constant()
    result = fit(best, images, 1 - ones, val=(images, ones), config=QUICK)
    assert result.best_step == 2
    assert [row["step"] for row in result.history] == [2, 4, 6]
    assert result.history[0]["val_loss"] < result.history[-1]["val_loss"]
    result = fit(last, images, 1 - ones, val=(images, ones), config=replace(QUICK, select="last"))
    assert result.best_step == 6
    assert last.bias[0] > best.bias[0] > 0


def test_the_last_step_is_looked_at_even_between_two_evaluations() -> None:
    result = fit(Constant(), *stripes(8), val=stripes(8), config=replace(QUICK, eval_every=4))
    assert [row["step"] for row in result.history] == [4, 6]


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    config = FitConfig(num_steps=100, warmup=0.1)
    shares = [learning_rate_factor(step, config) for step in range(101)]
    assert max(shares) == shares[10] == 1
    assert shares[:11] == sorted(shares[:11])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert 0 < shares[0] < 0.1
    assert shares[100] < 1e-12 < shares[99]
    assert learning_rate_factor(0, FitConfig(num_steps=1, warmup=0.0)) == 1


def test_a_small_model_learns_what_can_be_learnt() -> None:
    model = small()
    fit(model, *stripes(40), val=stripes(20, seed=1), config=FitConfig(num_steps=40, batch=16))
    images, labels = stripes(40, seed=2)
    assert (predict(model, images).argmax(1) == labels).mean() > 0.95


def test_predictions_keep_the_order_whatever_the_batch() -> None:
    model = small()
    images, _ = stripes(11)
    probs = predict(model, images, batch=4)
    assert probs.dtype == np.float32
    assert probs.shape == (11, 2)
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(predict(model, images[::-1].copy(), batch=11)[::-1], probs, atol=1e-5)
    features = extract_features(model, images, batch=4)
    assert features.shape == (11, 128)
    np.testing.assert_allclose(extract_features(model, images[3:4]), features[3:4], atol=1e-5)


def test_predicting_leaves_the_model_in_its_mode_and_its_statistics() -> None:
    model = small().train()
    before = weights(model)
    predict(model, stripes(4)[0])
    assert model.training
    assert torch.equal(weights(model), before)


class Reader:
    """Images as a file gives them: indexed by arrays, never held whole."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        assert isinstance(indices, np.ndarray)
        return self.images[indices]


def test_a_reader_serves_as_well_as_an_array() -> None:
    images, labels = stripes(12)
    by_array, by_reader = small(), small()
    fit(by_array, images, labels, config=replace(QUICK, num_steps=2))
    fit(by_reader, Reader(images), labels, config=replace(QUICK, num_steps=2))
    assert torch.equal(weights(by_array), weights(by_reader))
    assert np.array_equal(predict(by_array, images), predict(by_reader, Reader(images)))


def test_wrong_input_is_refused_before_any_step() -> None:
    images, labels = stripes(8)
    wrong: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (ValueError, "8 training images with 7 labels", {"labels": labels[:7]}),
        (ValueError, "run from 0 to 5", {"labels": np.where(labels == 1, 5, 0)}),
        (TypeError, "expected an int64 array", {"labels": labels.astype(np.float32)}),
        (ValueError, "8 validation images with 3 labels", {"val": (images, labels[:3])}),
        (ValueError, "0 training images", {"images": images[:0], "labels": labels[:0]}),
        (TypeError, r"float64 \[8, 32, 32, 3\]; expected uint8", {"images": images / 255}),
        (ValueError, "an order of shape", {"order": np.zeros((2, 2), dtype=np.int64)}),
        (ValueError, "an order with images 0 to 8", {"order": np.arange(48).reshape(6, 8) % 9}),
    ]
    assert len(wrong) == 8
    for error, message, change in wrong:
        model = Constant()
        with pytest.raises(error, match=message):
            fit(model, **{"images": images, "labels": labels, "config": QUICK, **change})
        assert not model.seen
    with pytest.raises(ValueError, match="0 images"):
        predict(Constant(), images[:0])


def test_a_loss_that_stops_being_finite_stops_the_run() -> None:
    model = Constant()
    nn.init.constant_(model.bias, float("nan"))
    with pytest.raises(ValueError, match=r"loss is nan at step 2; .* 0\.003"):
        fit(model, *stripes(8), config=QUICK)


CANNOT_WORK: dict[str, Any] = {
    "num_steps": 0,
    "batch": 1,
    "learning_rate": float("nan"),
    "warmup": 1.0,
    "weight_decay": -0.1,
    "label_smoothing": 1.0,
    "grad_clip": 0.0,
    "classical_augmentation": "heavy",
    "eval_every": 0,
    "select": "first",
}


@pytest.mark.parametrize("field", CANNOT_WORK)
def test_config_refuses_what_cannot_work(field: str) -> None:
    with pytest.raises(ValueError, match=r"; expected "):
        FitConfig(**{field: CANNOT_WORK[field]})
