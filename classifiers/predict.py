"""Class probabilities, logits and features of many images, batch by batch and in the images' order."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.samples import Batch, Samples, as_input, read_samples


def predict(model: nn.Module, images: Samples, *, batch: int = 64, device: str = "cpu") -> NDArray[np.float32]:
    """Class probabilities f32 [N,K], each row summing to 1. The model is moved to the device."""
    return predict_logits(model, images, batch=batch, device=device).softmax(1).numpy()


def predict_logits(model: nn.Module, images: Samples, *, batch: int = 64, device: str = "cpu") -> Tensor:
    """Class logits, a float32 tensor [N,K] on the CPU. The model is moved to the device."""
    return _in_batches(model, model, images, batch, device)


def extract_features(model: nn.Module, images: Samples, *, batch: int = 64, device: str = "cpu") -> NDArray[np.float32]:
    """What the model's last layer sees, f32 [N,D]. The model is moved to the device."""
    features: Callable[[Tensor | Batch], Tensor] = model.features  # type: ignore[assignment]
    return _in_batches(model, features, images, batch, device).numpy()


def _in_batches(
    model: nn.Module, function: Callable[[Tensor | Batch], Tensor], images: Samples, batch: int, device: str
) -> Tensor:
    if len(images) == 0:
        raise ValueError("0 images; expected at least 1 to predict")
    if batch < 1:
        raise ValueError(f"batch {batch}; expected at least 1")
    was_training = model.training
    model.to(device).eval()
    try:
        with torch.inference_mode():
            starts = range(0, len(images), batch)
            batches = (np.arange(start, min(start + batch, len(images))) for start in starts)
            outputs = [function(as_input(read_samples(images, at, device))).float().cpu() for at in batches]
    finally:
        model.train(was_training)
    return torch.cat(outputs)
