"""Class probabilities, logits and features of many images, batch by batch and in the images' order."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.transforms import to_float


class IndexedImages(Protocol):
    """Anything that holds RGB images: a NumPy array u8 [N,H,W,3], or a reader that acts like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> Any:
        """u8 [n,H,W,3] for an i64 array of n indices, in their order; an index may come twice."""


def read_batch(images: IndexedImages, indices: NDArray[np.int64], device: str | torch.device) -> Tensor:
    """The images at these indices as u8 [n,3,H,W] on the device; TypeError where they are not uint8 [N,H,W,3]."""
    batch = np.asarray(images[indices])
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[-1] != 3:
        raise TypeError(f"images are {batch.dtype} {list(batch.shape)}; expected uint8 [N,H,W,3]")
    return torch.from_numpy(batch).to(device).permute(0, 3, 1, 2)


def predict(model: nn.Module, images: IndexedImages, *, batch: int = 64, device: str = "cpu") -> NDArray[np.float32]:
    """Class probabilities f32 [N,K], each row summing to 1. The model is moved to the device."""
    return predict_logits(model, images, batch=batch, device=device).softmax(1).numpy()


def predict_logits(model: nn.Module, images: IndexedImages, *, batch: int = 64, device: str = "cpu") -> Tensor:
    """Class logits, a float32 tensor [N,K] on the CPU. The model is moved to the device."""
    return _in_batches(model, model, images, batch, device)


def extract_features(
    model: nn.Module, images: IndexedImages, *, batch: int = 64, device: str = "cpu"
) -> NDArray[np.float32]:
    """What the model's last layer sees, f32 [N,D]. The model is moved to the device."""
    features: Callable[[Tensor], Tensor] = model.features  # type: ignore[assignment]
    return _in_batches(model, features, images, batch, device).numpy()


def _in_batches(
    model: nn.Module, function: Callable[[Tensor], Tensor], images: IndexedImages, batch: int, device: str
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
            outputs = [function(to_float(read_batch(images, at, device))).float().cpu() for at in batches]
    finally:
        model.train(was_training)
    return torch.cat(outputs)
