"""What a classifier is trained on and asked about: images, or objects that a model reads by itself."""

from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.transforms import to_float


class IndexedImages(Protocol):
    """Anything that holds RGB images: a NumPy array u8 [N,H,W,3], or a reader that acts like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> Any:
        """u8 [n,H,W,3] for an i64 array of n indices, in their order; an index may come twice."""


class Batch(Protocol):
    """Samples of a model whose input is more than an image, such as tiles and expression; it is called with them."""

    def to(self, device: str | torch.device) -> Self: ...


class IndexedBatches(Protocol):
    """Anything that holds samples of such a model, under indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: NDArray[np.int64], /) -> Batch: ...


Samples = IndexedImages | IndexedBatches


def read_batch(images: IndexedImages, indices: NDArray[np.int64], device: str | torch.device) -> Tensor:
    """The images at these indices as u8 [n,3,H,W] on the device; TypeError where they are not uint8 [N,H,W,3]."""
    return _on_device(np.asarray(images[indices]), device)


def read_samples(samples: Samples, indices: NDArray[np.int64], device: str | torch.device) -> Tensor | Batch:
    """The samples at these indices on the device: images as u8 [n,3,H,W], others as the batch that they come in."""
    batch = samples[indices]
    return _on_device(batch, device) if isinstance(batch, np.ndarray) else batch.to(device)


def as_input(batch: Tensor | Batch) -> Tensor | Batch:
    """What a model is called with: images as float in [0,1], others as they are."""
    return to_float(batch) if isinstance(batch, Tensor) else batch


def _on_device(images: NDArray[Any], device: str | torch.device) -> Tensor:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise TypeError(f"images are {images.dtype} {list(images.shape)}; expected uint8 [N,H,W,3]")
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
