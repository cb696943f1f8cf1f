"""Linear probes on frozen features: `probe:<extractor>`, trained and asked on stored features of a fold's images.

The orientations of the square take the place of classical augmentation. Every occurrence of a training image stands in
one of them, drawn under the fit's seed: the first occurrence in the same one in every arm, further ones in others.
Validation and test images stand in all eight, and their probabilities are averaged. Our choice, as mean features, for
training too, were not clearly better on the phantom (EfficientNet-Lite0, five folds, three seeds: balanced accuracy
0.875 against 0.869, log loss 0.378 against 0.358), and repeats of an image would then be the same row.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.config import FitConfig
from classifiers.fit import FitResult
from classifiers.probe import LinearProbe, ProbeConfig, fit_probe, mean_log_probs
from classifiers.transforms import NUM_ORIENTATIONS, orient
from ganaug.classify.predictions import Predictions, find_tested, find_tested_images
from ganaug.classify.train import TrainedModel
from ganaug.config import EXTRACTOR_NAMES, FITTED_EXTRACTORS, Compute
from ganaug.config.choices import COLOUR_PROBE
from ganaug.data.dataset import DataSet
from ganaug.data.mixture import Mixture
from ganaug.data.schema import ImageReader
from ganaug.errors import ConfigError, DataError
from ganaug.evaluate.extractors.choice import spelling_of, split_name
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.networks.colour import colour
from ganaug.evaluate.extractors.record import ExtractorPlace, ExtractorRecord
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.evaluate.features import map_features
from ganaug.provenance import digest_of_file
from ganaug.weights import PROBE_PREFIX, published_name
from ganaug.workspace import Workspace

VERSION = 1  # raise it when a probe of the same options would come out otherwise
PROBE = ProbeConfig()  # the effort of every probe of a study


class ProbeNet(nn.Module):
    """A frozen extractor and a linear probe: images float [N,3,H,H] in [0,1] to logits [N,num_classes].

    The softmax of the logits is the mean of the probabilities over the eight orientations. `features` are those of the
    images as they lie, standardised. Pixels are rounded to the 256 values that an image file has. The state dict is the
    probe's alone.
    """

    def __init__(self, extractor: Extractor, probe: LinearProbe) -> None:
        super().__init__()
        self.extractor, self.probe, self.num_classes = extractor, probe, probe.num_classes

    @property
    def classify(self) -> nn.Linear:
        return self.probe.classify

    def features(self, x: Tensor) -> Tensor:
        return self.probe.standardise(self._embed(x, 0))

    def forward(self, x: Tensor) -> Tensor:
        views = [self._embed(x, orientation) for orientation in range(NUM_ORIENTATIONS)]
        return mean_log_probs(self.probe(torch.stack(views)))

    @torch.no_grad()
    def _embed(self, x: Tensor, orientation: int) -> Tensor:
        pixels = (255 * x).round().to(self.extractor.device, torch.uint8)
        return self.extractor.embed(orient(pixels, orientation)).float().to(x.device)


@dataclass(frozen=True)
class OrientedFeatures:
    """Features of the N images of a file in the eight orientations: one f32 [N,D] for each."""

    maps: Sequence[NDArray[np.float32]]

    def in_one(self, indices: NDArray[np.int64], orientations: NDArray[np.int64]) -> NDArray[np.float32]:
        """f32 [n,D] for images i64 [n], each in its own orientation, i64 [n]."""
        rows = np.empty((len(indices), self.maps[0].shape[1]), np.float32)
        for orientation, features in enumerate(self.maps):
            chosen = np.flatnonzero(orientations == orientation)
            rows[chosen] = features[indices[chosen]]
        return rows

    def in_all(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """f32 [8,n,D] for images i64 [n]."""
        views = np.empty((len(self.maps), len(indices), self.maps[0].shape[1]), np.float32)
        for view, features in zip(views, self.maps, strict=True):
            np.take(features, indices, axis=0, out=view)
        return views


def is_probe(name: str) -> bool:
    return name.startswith(PROBE_PREFIX)


def extractor_of(name: str, weights: Path | None, device: str = "cpu") -> Extractor:
    """The extractor of a probe `probe:<name>`, from its file of weights; opened once per process.

    <name> is an extractor of weights, see `ganaug.evaluate.extractors.choice.ExtractorChoice`.

    Raises ConfigError for an unknown name or no file, WeightsError where the file is something else.
    """
    if name == COLOUR_PROBE:
        return colour(ExtractorInputs(compute=Compute(device)))
    require_known_extractor(name)
    if weights is None:
        raise ConfigError(
            f"{name} without weights",
            expected="trained ones, as they stay",
            todo=f"add --pretrained {name}=FILE",
        )
    if not weights.is_file():
        raise DataError(f"there is no file of weights {weights}", todo=f"name one with --pretrained {name}=FILE")
    return _open(published_name(name), weights, digest_of_file(weights), device)


def require_known_extractor(name: str) -> None:
    """Raise ConfigError for a probe of an extractor that does not exist."""
    usable = [known for known in EXTRACTOR_NAMES if known not in FITTED_EXTRACTORS]  # those are of one fold alone
    with suppress(ConfigError):
        if split_name(published_name(name))[0] in usable:
            return
    raise ConfigError(
        f"unknown extractor of {name}", expected=", ".join(PROBE_PREFIX + spelling_of(kind) for kind in usable)
    )


@lru_cache(maxsize=8)
def _open(name: str, weights: Path, digest: str, device: str) -> Extractor:
    return open_extractor(name, ExtractorInputs(compute=Compute(device), file=weights))


def identity_of(name: str, weights: Path | None) -> dict[str, Any]:
    """What decides a probe besides the digest of its weights and what every cell depends on, as JSON values."""
    effort = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(PROBE).items()}
    return {"version": VERSION, "preprocessing": extractor_of(name, weights).preprocessing, **effort}


def extract(
    workspace: Workspace, images: ImageReader, extractor: Extractor, *, progress: bool = False
) -> OrientedFeatures:
    """The features of every image of a file in every orientation, from the workspace where they are stored there."""
    return OrientedFeatures(map_features(workspace, images, extractor, range(NUM_ORIENTATIONS), progress=progress))


def open_probe(
    name: str,
    state: Mapping[str, Tensor],
    record: ExtractorRecord,
    place: ExtractorPlace,
    *,
    num_classes: int,
    device: str = "cpu",
) -> ProbeNet:
    """A probe out of its state dict, on the extractor that it was trained on.

    Raises ConfigError for another file or another preprocessing, ValueError or RuntimeError where the state is of no
    such probe, and what `extractor_of` raises.
    """
    extractor = extractor_of(name, place.find(name, record), device)
    if extractor.preprocessing != record.preprocessing:
        raise ConfigError(
            f"{name} was trained on images prepared otherwise ({record.preprocessing})",
            expected=extractor.preprocessing,
            todo="train it again with this version",
        )
    mean = state.get("probe.mean")
    if mean is None or mean.ndim != 1:
        raise ValueError("no state of a probe")
    net = ProbeNet(extractor, LinearProbe(len(mean), num_classes))
    net.load_state_dict(dict(state))
    return net


def train_probe(
    workspace: Workspace,
    dataset: DataSet,
    fold: int,
    name: str,
    images: Mixture,
    config: FitConfig,
    *,
    weights: Path | None,
) -> TrainedModel:
    """Train a probe on `images`, and choose its penalty by the real validation images of the fold.

    Of `config` a probe takes the seed, the extractor's device, and whether there is classical augmentation: without it,
    training images stay as they lie. It begins with the extractor's weights and a linear layer of zeros.

    Raises ConfigError where it cannot be trained on these images, and what `extractor_of` raises.
    """
    extractor = extractor_of(name, weights, config.device)
    started = time.perf_counter()
    rows = _training_rows(workspace, images, extractor, config)
    val = dataset.val(fold)
    views = extract(workspace, dataset.images(fold), extractor).in_all(val)
    try:
        result = fit_probe(
            rows,
            images.labels,
            val=(views, dataset.table.label[val]),
            num_classes=dataset.table.num_classes,
            config=PROBE,
        )
    except ValueError as error:
        raise ConfigError(f"{name} in fold {fold}: {error}") from error
    fitted = FitResult(history=result.history, best_step=result.best_step, seconds=time.perf_counter() - started)
    return TrainedModel(ProbeNet(extractor, result.probe).eval(), extractor.digest, fitted)


def predict_test_by_probe(workspace: Workspace, net: ProbeNet, dataset: DataSet, fold: int) -> Predictions:
    """Predict the test images of a fold from stored features; the same as `predict_test`, without the extractor."""
    logits = predict_logits_by_probe(workspace, net, dataset, fold, find_tested(dataset, fold))
    return Predictions(**vars(find_tested_images(dataset, fold)), probs=logits.exp().numpy())


def predict_logits_by_probe(
    workspace: Workspace, net: ProbeNet, dataset: DataSet, fold: int, indices: NDArray[np.int64]
) -> Tensor:
    """Logits of images i64 [n] of a fold from stored features, f32 [n,K] on the CPU; what `net` gives, see `ProbeNet`.

    They are the logarithms of the mean probabilities over the eight orientations.
    """
    views = torch.from_numpy(extract(workspace, dataset.images(fold), net.extractor).in_all(indices))
    with torch.inference_mode():
        return mean_log_probs(net.probe.cpu()(views))


def _training_rows(
    workspace: Workspace, images: Mixture, extractor: Extractor, config: FitConfig
) -> NDArray[np.float32]:
    """Features f32 [n,D] of the n images of a mixture, each in its orientation."""
    rows: NDArray[np.float32] | None = None
    for number in np.unique(images.source).tolist():
        reader = images.sources[number]
        assert isinstance(reader, ImageReader), f"images in {type(reader).__name__}, whose features cannot be stored"
        stored, chosen = extract(workspace, reader, extractor), np.flatnonzero(images.source == number)
        index = images.index[chosen]
        orientations = np.zeros_like(index)
        if config.classical_augmentation != "none":
            orientations = draw_orientations(index, len(stored.maps[0]), config.seed)
        part = stored.in_one(index, orientations)
        rows = np.empty((len(images), part.shape[1]), np.float32) if rows is None else rows
        rows[chosen] = part
    assert rows is not None, "no training image"
    return rows


def draw_orientations(index: NDArray[np.int64], num_images: int, seed: int) -> NDArray[np.int64]:
    """An orientation, i64 [n], for each occurrence of images i64 [n] of a file of `num_images`.

    Each image goes through a random order of the eight, so that its k-th occurrence has the same orientation in every
    list of images, and its first eight occurrences have different ones.
    """
    orders = np.random.default_rng(seed).permuted(
        np.tile(np.arange(NUM_ORIENTATIONS), (num_images, 1)), axis=1, out=None
    )
    by_image = np.argsort(index, kind="stable")
    _, counts = np.unique(index, return_counts=True)
    occurrence = np.empty_like(index)
    occurrence[by_image] = np.concatenate([np.arange(count) for count in counts.tolist()])
    return np.asarray(orders[index, occurrence % NUM_ORIENTATIONS])
