"""What turns images into the features that distances are taken on: EXTRACTORS, and which one is used by default."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from classifiers.predict import Images, read_batch
from ganaug.classify.trained import trained_classifier
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, WeightsError
from ganaug.provenance import digest_of_file
from ganaug.weights import find_weights, has_weights, read_weights
from ganaug.workspace import GanRun

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Extractor:
    """A network with fixed weights that gives each image a vector of features."""

    name: str  # stands in the name of every figure that was taken with it
    digest: str  # SHA-256 of the weights
    recipe: str  # how an image goes in and the features come out; two recipes give different features
    embed: Callable[[Tensor], Tensor]  # u8 [n,3,H,W] on `device` -> float [n,D]
    device: str = "cpu"
    is_inception: bool = False  # the network of FID and KID
    caveat: str = ""  # what a reader of its figures must be told

    def features(self, images: Images, *, batch: int = 16, progress: bool = False) -> np.ndarray:
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


def inception(setting: Setting) -> Extractor:
    """The Inception network of FID and KID, as torch-fidelity has it: 2048 features, images resized to 299 px."""
    path = find_weights(setting.weights_dir, "inception")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # It unpickles the file, which is safe only because `find_weights` knows every byte of it; given a path it downloads
    # nothing.
    net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    net = net.to(setting.device).eval()
    recipe = "299 px, bilinear as TensorFlow 1 did it, pool3 of 2048"
    return Extractor(
        path.stem, digest_of_file(path), recipe, lambda img: net(img)[0], setting.device, is_inception=True
    )


def squeezenet(setting: Setting) -> Extractor:
    """SqueezeNet 1.0 of ImageNet: the mean over the last convolutional stage before its classifier, 512 features.

    Our choice where no paper says it: every image is resized to 224 px (anti-aliased bilinear), larger or smaller, so
    that its structures have the scale in the network's field of view that the network was trained at.
    """
    path = find_weights(setting.weights_dir, "squeezenet")
    from torchvision.models import squeezenet1_0

    with torch.random.fork_rng(devices=[]):  # building draws initial weights that are then replaced
        net = squeezenet1_0(weights=None)
    net.load_state_dict(read_weights(path))
    stage = net.features.to(setting.device, memory_format=torch.channels_last).eval()  # 1.5 times faster on a CPU
    mean = torch.tensor(_IMAGENET_MEAN, device=setting.device)[:, None, None]
    std = torch.tensor(_IMAGENET_STD, device=setting.device)[:, None, None]

    def embed(img: Tensor) -> Tensor:
        x = F.interpolate(img.float() / 255, size=(224, 224), mode="bilinear", antialias=True, align_corners=False)
        return stage(((x - mean) / std).contiguous(memory_format=torch.channels_last)).mean((2, 3))

    recipe = "224 px, anti-aliased bilinear, ImageNet mean and deviation, mean of the last stage of 512"
    return Extractor(path.stem, digest_of_file(path), recipe, embed, setting.device)


def classifier(setting: Setting) -> Extractor:
    """A classifier trained on the real training images of the fold, kept beside the generator: its last layer's input.

    It has seen the real images that the synthetic ones are compared with, and knows what tells these classes apart and
    little else: good for comparing generators of one fold, and for nothing across folds or data sets.
    """
    if setting.run is None:
        raise ConfigError(
            "no generator was named to keep the trained extractor beside",
            todo="name one, or use an extractor of given weights (--weights-dir)",
        )
    trained = trained_classifier(
        setting.run.extractor, setting.dataset, setting.fold, device=setting.device, progress=setting.progress
    )
    return Extractor(
        trained.name,
        trained.digest,
        "the input of the classifier's last layer",
        trained.embed,
        setting.device,
        caveat="the extractor was trained on these real images, so their floor is too low for others to reach",
    )


EXTRACTORS: dict[str, Callable[[Setting], Extractor]] = {
    "inception": inception,
    "squeezenet": squeezenet,
    "classifier": classifier,
}


def available(weights_dir: Path | None) -> list[str]:
    """The names of the extractors that can be used, the best known first; the classifier always can."""
    return [name for name in EXTRACTORS if name == "classifier" or has_weights(weights_dir, name)]


def open_extractor(name: str | None, setting: Setting) -> Extractor:
    """The extractor `name`, or by default the first one available: inception, else squeezenet, else classifier.

    Raises ConfigError for an unknown name, WeightsError where its weights are missing or are not the published ones.
    """
    name = name or available(setting.weights_dir)[0]
    if name not in EXTRACTORS:
        raise ConfigError(f"unknown extractor {name}", expected=", ".join(EXTRACTORS))
    try:
        return EXTRACTORS[name](setting)
    except ImportError as error:
        raise WeightsError(
            f"the extractor {name} needs a package that is missing ({error})", todo="install it"
        ) from error
