"""An extractor of features, and what one may be made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from classifiers.samples import IndexedImages, read_batch
from classifiers.transforms import orient
from ganaug.config import CPU, Compute
from ganaug.data.dataset import DataSet
from ganaug.evaluate.metrics.metric import Features
from ganaug.workspace import GanRun


def root_mean_square(real: Features) -> float:
    """The scale of features [N,D]; a network's is arbitrary, and a kernel's constant would be lost next to it."""
    return float(np.sqrt((real**2).mean()))


def unit_scale(real: Features) -> float:
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
    feature_scale: Callable[[Features], float] = root_mean_square  # of real features: what all are divided by
    figure_names: Mapping[str, str] = field(default_factory=dict)  # what papers call a metric on this network
    note: str = ""  # for the reader of its figures

    def features(
        self, images: IndexedImages, *, orientation: int = 0, batch: int = 16, progress: bool = False
    ) -> Features:
        """Features [N,D] of `images`, u8 [N,H,W,3], in their order; each is a float32, as the networks give it.

        orientation: of the images, 0 to 7, see `classifiers.transforms.orient`.
        """
        starts = tqdm(range(0, len(images), batch), desc=self.name, unit="batch", disable=not progress or None)
        parts = []
        with torch.inference_mode():
            for start in starts:
                indices = np.arange(start, min(start + batch, len(images)))
                pixels = orient(read_batch(images, indices, self.device), orientation)
                parts.append(self.embed(pixels).float().cpu().numpy())
        return np.concatenate(parts).astype(np.float64)


@dataclass(frozen=True)
class ExtractorInputs:
    """All that an extractor may be made from: published weights, or the training images of a fold."""

    dataset: DataSet | None = None  # only what is trained on it needs it
    fold: int = 0
    run: GanRun | None = None  # the generator's folder, where a trained extractor is stored
    compute: Compute = CPU
