"""What an extractor of features is, and what it may be made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from classifiers.predict import IndexedImages, read_batch
from ganaug.data.dataset import DataSet
from ganaug.workspace import GanRun


def root_mean_square(real: np.ndarray) -> float:
    """The scale of features f64 [N,D]; a network's is arbitrary, and a kernel's constant would be lost beside it."""
    return float(np.sqrt((real**2).mean()))


def as_they_are(real: np.ndarray) -> float:
    """1: the features are compared as the network gives them, which is what FID and KID mean."""
    return 1.0


@dataclass(frozen=True)
class Extractor:
    """A network with fixed weights that gives each image a vector of features."""

    name: str  # stands in the name of every figure that was taken with it
    digest: str  # SHA-256 of the weights
    preprocessing: str  # how an image goes in and the features come out; two ways give different features
    embed: Callable[[Tensor], Tensor]  # u8 [n,3,H,W] on `device` -> float [n,D]
    device: str = "cpu"
    feature_scale: Callable[[np.ndarray], float] = root_mean_square  # of real features: what all are divided by
    figure_names: Mapping[str, str] = field(default_factory=dict)  # what papers call a metric on this network
    caveat: str = ""  # what a reader of its figures must be told

    def features(self, images: IndexedImages, *, batch: int = 16, progress: bool = False) -> np.ndarray:
        """Features f64 [N,D] of `images`, u8 [N,H,W,3], in their order; each is a float32, as the networks give it."""
        starts = tqdm(range(0, len(images), batch), desc=self.name, unit="batch", disable=not progress or None)
        parts = []
        with torch.inference_mode():
            for start in starts:
                some = np.arange(start, min(start + batch, len(images)))
                parts.append(self.embed(read_batch(images, some, self.device)).float().cpu().numpy())
        return np.concatenate(parts).astype(np.float64)


@dataclass(frozen=True)
class Setting:
    """All that an extractor may be made from."""

    dataset: DataSet
    fold: int
    run: GanRun | None = None  # the generator's folder, where a trained extractor is kept
    weights_dir: Path | None = None
    device: str = "cpu"
    progress: bool = False
