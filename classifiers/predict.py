"""Class probabilities, logits and features of many images, batch by batch and in the images' order."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.samples import Batch, Samples, as_input, read_samples
from classifiers.transforms import NUM_ORIENTATIONS, orient


def predict(
    model: nn.Module,
    samples: Samples,
    *,
    batch: int = 64,
    device: str = "cpu",
    average_orientations: bool = False,
    temperature: float = 1.0,
) -> NDArray[np.float32]:
    """Class probabilities f32 [N,K], each row summing to 1. The model is moved to the device.

    They are the softmax of the logits divided by `temperature`, which `calibration.fit_temperature` finds. With
    `average_orientations` they are the mean of the probabilities of the image's eight orientations, so an image turned
    or mirrored gets the same ones, at eight times the work.

    Raises ValueError for no samples, for a temperature that is not positive, and for orientations of what is no square
    image.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature {temperature}; expected a finite number above 0; fit it on validation images")

    def probabilities(x: Tensor | Batch) -> Tensor:
        views = _orient_all(x) if average_orientations else [x]
        return torch.stack([(model(view).float() / temperature).softmax(1) for view in views]).mean(0)

    return _in_batches(model, probabilities, samples, batch, device).numpy()


def predict_logits(model: nn.Module, samples: Samples, *, batch: int = 64, device: str = "cpu") -> Tensor:
    """Class logits, a float32 tensor [N,K] on the CPU. The model is moved to the device."""
    return _in_batches(model, model, samples, batch, device)


def predict_views(model: nn.Module, samples: Samples, *, batch: int = 64, device: str = "cpu") -> Tensor:
    """Class logits of the eight orientations of square images, a float32 tensor [N,8,K] on the CPU.

    `predict` with `average_orientations` gives the mean over them of softmax(logits / temperature). The model is moved
    to the device. Raises ValueError for no samples, and for what is no square image.
    """

    def logits(x: Tensor | Batch) -> Tensor:
        return torch.stack([model(view) for view in _orient_all(x)], dim=1)

    return _in_batches(model, logits, samples, batch, device)


def extract_features(
    model: nn.Module, samples: Samples, *, batch: int = 64, device: str = "cpu"
) -> NDArray[np.float32]:
    """What the model's last layer sees, f32 [N,D]. The model is moved to the device."""
    features: Callable[[Tensor | Batch], Tensor] = model.features  # type: ignore[assignment]
    return _in_batches(model, features, samples, batch, device).numpy()


def _orient_all(x: Tensor | Batch) -> list[Tensor]:
    return [orient(_as_squares(x), k) for k in range(NUM_ORIENTATIONS)]


def _as_squares(x: Tensor | Batch) -> Tensor:
    if not isinstance(x, Tensor):
        raise ValueError("samples that are more than images; expected images; predict without averaged orientations")
    if x.shape[2] != x.shape[3]:
        raise ValueError(
            f"images of {x.shape[3]}×{x.shape[2]} px; expected squares, for quarter turns; crop them, or predict "
            "without averaged orientations"
        )
    return x


def _in_batches(
    model: nn.Module, function: Callable[[Tensor | Batch], Tensor], samples: Samples, batch: int, device: str
) -> Tensor:
    if len(samples) == 0:
        raise ValueError("0 images; expected at least 1 to predict")
    if batch < 1:
        raise ValueError(f"batch {batch}; expected at least 1")
    was_training = model.training
    model.to(device).eval()
    try:
        with torch.inference_mode():
            starts = range(0, len(samples), batch)
            batches = (np.arange(start, min(start + batch, len(samples))) for start in starts)
            outputs = [function(as_input(read_samples(samples, at, device))).float().cpu() for at in batches]
    finally:
        model.train(was_training)
    return torch.cat(outputs)
