"""Predictions come in the images' order, whatever the batches, and averaged ones do not depend on orientation."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.predict import extract_features, predict, predict_logits, predict_views
from classifiers.samples import Batch
from classifiers.transforms import NUM_ORIENTATIONS, orient

Images = NDArray[np.uint8]


class Corners(nn.Module):
    """Logits that a rotation changes: each a linear function of all pixels; it remembers its mode."""

    def __init__(self, num_classes: int = 3, side_px: int = 6) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(num_classes, 3 * side_px**2, generator=generator))
        self.was_training: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.was_training.append(self.training)
        return x.flatten(1) @ self.weight.T

    def features(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def images(num: int = 7, side_px: int = 6) -> Images:
    return np.random.default_rng(0).integers(0, 256, (num, side_px, side_px, 3)).astype(np.uint8)


def oriented(values: Images, orientation: int) -> Images:
    turned = orient(torch.from_numpy(values).permute(0, 3, 1, 2), orientation)
    return turned.permute(0, 2, 3, 1).contiguous().numpy()


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_predictions_do_not_depend_on_the_batch(batch: int, averaged: bool) -> None:
    expected = predict(Corners(), images(), average_orientations=averaged)
    assert expected.dtype == np.float32
    assert expected.shape == (7, 3)
    assert expected.sum(1) == pytest.approx(np.ones(7))
    assert predict(Corners(), images(), batch=batch, average_orientations=averaged) == pytest.approx(expected, abs=1e-6)


def test_probabilities_are_the_softmax_of_the_logits_over_the_temperature() -> None:
    logits = predict_logits(Corners(), images())
    assert np.array_equal(predict(Corners(), images()), logits.softmax(1).numpy())
    assert predict(Corners(), images(), temperature=2.5) == pytest.approx((logits / 2.5).softmax(1).numpy(), abs=1e-6)


def test_logits_of_views_are_those_of_the_oriented_images_and_average_to_the_prediction() -> None:
    views = predict_views(Corners(), images(), batch=3)
    assert views.shape == (7, NUM_ORIENTATIONS, 3)
    for orientation in range(NUM_ORIENTATIONS):
        expected = predict_logits(Corners(), oriented(images(), orientation))
        torch.testing.assert_close(views[:, orientation], expected)
    averaged = predict(Corners(), images(), average_orientations=True, temperature=2.5)
    assert averaged == pytest.approx((views / 2.5).softmax(2).mean(1).numpy(), abs=1e-6)
    with pytest.raises(ValueError, match="expected squares"):
        predict_views(Corners(), images()[:, :4])


def test_temperature_moves_confidence_and_never_the_decision() -> None:
    cold, plain, hot = (predict(Corners(), images(), temperature=value) for value in (0.5, 1.0, 1e6))
    assert (cold.argmax(1) == plain.argmax(1)).all()
    assert (cold.max(1) > plain.max(1)).all()
    assert hot == pytest.approx(np.full((7, 3), 1 / 3), abs=1e-4)


@pytest.mark.parametrize("orientation", range(NUM_ORIENTATIONS))
def test_averaged_predictions_are_the_same_in_every_orientation(orientation: int) -> None:
    averaged = predict(Corners(), images(), average_orientations=True)
    again = predict(Corners(), oriented(images(), orientation), average_orientations=True)
    assert again == pytest.approx(averaged, abs=1e-6)
    if orientation:
        assert predict(Corners(), oriented(images(), orientation)) != pytest.approx(averaged, abs=1e-2)


def test_averaged_predictions_are_the_mean_of_probabilities_and_not_of_logits() -> None:
    each = [predict(Corners(), oriented(images(), k), temperature=2) for k in range(NUM_ORIENTATIONS)]
    averaged = predict(Corners(), images(), average_orientations=True, temperature=2)
    assert averaged == pytest.approx(np.mean(each, axis=0), abs=1e-6)
    logits = [predict_logits(Corners(), oriented(images(), k)) / 2 for k in range(NUM_ORIENTATIONS)]
    assert averaged != pytest.approx(torch.stack(logits).mean(0).softmax(1).numpy(), abs=1e-2)


@pytest.mark.parametrize("is_training", [True, False])
def test_a_model_predicts_in_evaluation_mode_and_keeps_its_own(is_training: bool) -> None:
    model = Corners().train(is_training)
    predict(model, images(), average_orientations=True)
    assert model.was_training == [False] * NUM_ORIENTATIONS
    assert model.training is is_training


def test_features_come_in_order() -> None:
    expected = images().mean(axis=(1, 2)) / 255
    assert extract_features(Corners(), images(), batch=2) == pytest.approx(expected, abs=1e-6)


class Pairs:
    """Samples of two numbers each, which are no images."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, indices: Any) -> Batch:
        return Pairs(self.values[torch.from_numpy(indices)])

    def to(self, device: str | torch.device) -> "Pairs":
        return Pairs(self.values.to(device))


class OfPairs(nn.Module):
    """The two numbers as logits."""

    def forward(self, batch: Pairs) -> Tensor:
        return batch.values


def test_samples_that_are_no_images_are_predicted_but_not_turned() -> None:
    pairs = Pairs(torch.tensor([[0.0, 1.0], [3.0, 1.0], [2.0, 2.0]]))
    assert predict(OfPairs(), pairs, batch=2) == pytest.approx(pairs.values.softmax(1).numpy())
    with pytest.raises(ValueError, match="more than images"):
        predict(OfPairs(), pairs, average_orientations=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": images()[:0]}, "0 images; expected at least 1"),
        ({"batch": 0}, "batch 0; expected at least 1"),
        ({"temperature": 0.0}, "temperature 0.0; expected"),
        ({"temperature": float("nan")}, "temperature nan; expected"),
        ({"temperature": float("inf")}, "temperature inf; expected"),
        ({"samples": np.zeros((1, 4, 6, 3), np.uint8), "average_orientations": True}, "images of 6×4 px"),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        predict(Corners(), **{"samples": images(), **arguments})
    assert "\n" not in str(caught.value)
