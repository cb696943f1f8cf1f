"""An extractor of features, and what one may be made from."""

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from classifiers.samples import IndexedImages, read_batch
from classifiers.transforms import orient
from ganaug.config import CPU, Compute
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, DataError, WeightsError, private
from ganaug.evaluate.metrics.metric import Features
from ganaug.provenance import digest_of_file
from ganaug.weights import WEIGHTS, find_weights
from ganaug.workspace import GanRun


def root_mean_square(real: Features) -> float:
    """The scale of features [N,D]; a network's is arbitrary, and a kernel's constant would be lost next to it.

    1 where all features are 0, so that nothing is divided by 0.
    """
    return float(np.sqrt((real**2).mean())) or 1.0


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
    num_features: int | None = None  # D, where it is known before an image is seen

    def stream(
        self, images: IndexedImages, *, orientation: int = 0, batch: int = 16, progress: bool = False
    ) -> Generator[NDArray[np.float32], None, None]:
        """Features f32 [n,D] of `images`, u8 [N,H,W,3], batch by batch in their order, as the network gives them.

        A thread reads the next batch while the network works. orientation: of the images, 0 to 7, see
        `classifiers.transforms.orient`.

        Raises WeightsError where a feature is NaN or infinite, and at the end where different images had the same ones.
        """
        num_images, sight = len(images), _Sight()

        def read(start: int) -> Tensor:
            indices = np.arange(start, min(start + batch, num_images))
            return orient(read_batch(images, indices, self.device), orientation)

        starts = range(0, num_images, batch)
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(read, 0) if num_images else None
            for start in tqdm(starts, desc=self.name, unit="batch", disable=not progress or None):
                assert ahead is not None
                pixels = ahead.result()
                if start + batch < num_images:
                    ahead = reader.submit(read, start + batch)
                features = self._embed_batch(pixels, start)
                sight.look(pixels, features)
                yield features
        if sight.is_blind:
            raise WeightsError(
                f"the extractor {self.name} gives the same features for {num_images} different images",
                expected="features that differ",
                todo="check its program or weights, or choose another with --extractor",
            )

    def features(
        self, images: IndexedImages, *, orientation: int = 0, batch: int = 16, progress: bool = False
    ) -> Features:
        """All that `stream` gives as one array, f64 [N,D]; each is a float32."""
        parts = list(self.stream(images, orientation=orientation, batch=batch, progress=progress))
        empty = np.empty((0, self.num_features or 0), np.float32)
        return np.concatenate(parts or [empty]).astype(np.float64)

    def _embed_batch(self, pixels: Tensor, start: int) -> NDArray[np.float32]:
        """Features f32 [n,D] of a batch, whose first image is the one at `start`."""
        with torch.inference_mode():
            features: NDArray[np.float32] = self.embed(pixels).float().cpu().numpy()
        is_finite = np.isfinite(features).all(1)
        if not is_finite.all():
            raise WeightsError(
                f"the extractor {self.name} gives NaN or infinity for image {start + int(is_finite.argmin())}",
                expected="finite features",
                todo="check its weights, or choose another with --extractor",
            )
        return features


@dataclass
class _Sight:
    """Whether features differ where images do, batch by batch."""

    first: tuple[Tensor, NDArray[np.float32]] | None = None  # image [1,3,H,W] and its features [1,D]
    do_images_differ: bool = False  # by more than a grey level on average; looked at while the features are the same
    do_features_differ: bool = False

    @property
    def is_blind(self) -> bool:
        return self.do_images_differ and not self.do_features_differ

    def look(self, pixels: Tensor, features: NDArray[np.float32]) -> None:
        if self.do_features_differ:
            return
        if self.first is None:
            self.first = pixels[:1].float(), features[:1]
        image, its_features = self.first
        self.do_features_differ = bool((features != its_features).any())
        if not self.do_features_differ:
            self.do_images_differ |= bool(((pixels.float() - image).abs().mean((1, 2, 3)) > 1).any())


def require_features(embed: Callable[[Tensor], Tensor], side_px: int, file: Path, device: str) -> int:
    """How many features a network out of `file` gives, asked with two images of noise, one darker than the other.

    Raises WeightsError where it gives none, NaN or infinity, or the same for both.
    """
    noise = torch.randint(128, (2, 3, side_px, side_px), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    noise[1] += 128
    with torch.inference_mode():
        features = embed(noise.to(device)).float().cpu()
    todo = "check the program or the weights"
    if features.shape[1] < 1:
        raise WeightsError(f"{private(file)} gives 0 features per image", expected="1 or more", todo=todo)
    if not features.isfinite().all():
        raise WeightsError(f"{private(file)} gives NaN or infinity", expected="finite features", todo=todo)
    if (features[0] - features[1]).abs().max() <= 1e-6 * features.abs().max():
        raise WeightsError(
            f"{private(file)} gives the same features for 2 different images",
            expected="features that differ",
            todo=todo,
        )
    return features.shape[1]


@dataclass(frozen=True)
class ExtractorInputs:
    """All that an extractor may be made from: weights, or the training images of a fold."""

    dataset: DataSet | None = None  # only what is made from its images needs it
    fold: int = 0
    run: GanRun | None = None  # the generator's folder, where a trained extractor is stored
    compute: Compute = CPU
    file: Path | None = None  # of weights; None: published ones, where `compute.weights_dir` and the packages have them
    network: str = ""  # what follows the colon of a name: timm's network that the file is of, or a program's label

    def require_file(self, extractor: str) -> Path:
        """The file of weights; ConfigError where none is named, DataError where there is none."""
        if self.file is None:
            raise ConfigError(f"the extractor {extractor} without a file of weights", todo=f"name it: {extractor}=FILE")
        if not self.file.is_file():
            raise DataError(f"there is no file of weights {private(self.file)}", todo=f"name one: {extractor}=FILE")
        return self.file

    def find_published(self, extractor: str) -> tuple[Path, str]:
        """A file of published weights, and how its figures are named: the one that is named, else the one at hand.

        A file is known by its content and may have another name. Raises DataError where there is none, ConfigError
        where it is not the published one, and what `find_weights` raises.
        """
        if self.file is None:
            path = find_weights(self.compute.weights_dir, extractor)
            return path, path.stem
        published, digest = WEIGHTS[extractor].files, digest_of_file(self.require_file(extractor))
        for candidate in published:
            if digest.startswith(candidate.sha256):
                return self.file, Path(candidate.name).stem
        names = [f"{candidate.name} ({candidate.sha256[:12]})" for candidate in published]
        raise ConfigError(
            f"{private(self.file)} is not the published file of {extractor} (SHA-256 {digest[:12]})",
            expected=" or ".join(names),
            todo="use timm:NAME or torchscript for other weights",
        )
