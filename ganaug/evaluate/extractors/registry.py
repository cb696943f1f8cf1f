"""EXTRACTORS, and the one that is used by default."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ganaug.config import FITTED_EXTRACTORS
from ganaug.errors import WeightsError
from ganaug.evaluate.extractors.choice import ExtractorChoice, split_name
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.networks.classifier import classifier
from ganaug.evaluate.extractors.networks.clip import clip
from ganaug.evaluate.extractors.networks.dinov2 import dinov2
from ganaug.evaluate.extractors.networks.efficientnet_lite import efficientnet_lite0, efficientnet_lite1
from ganaug.evaluate.extractors.networks.inception import inception
from ganaug.evaluate.extractors.networks.pixels_pca import pixels_pca
from ganaug.evaluate.extractors.networks.squeezenet import squeezenet
from ganaug.evaluate.extractors.networks.timm_network import timm_network
from ganaug.evaluate.extractors.networks.torchscript import torchscript
from ganaug.weights import WEIGHTS, has_weights

EXTRACTORS: dict[str, Callable[[ExtractorInputs], Extractor]] = {
    "inception": inception,
    "efficientnet_lite0": efficientnet_lite0,
    "efficientnet_lite1": efficientnet_lite1,
    "squeezenet": squeezenet,
    "dinov2": dinov2,
    "clip": clip,
    "timm": timm_network,
    "torchscript": torchscript,
    "classifier": classifier,
    "pixels_pca": pixels_pca,
}


def available_extractors(weights_dir: Path | None) -> list[str]:
    """The names of the extractors that need no file to be named, the best known first; the last two always can be."""
    return [
        name for name in EXTRACTORS if name in FITTED_EXTRACTORS or (name in WEIGHTS and has_weights(weights_dir, name))
    ]


def open_extractor(name: str | None, inputs: ExtractorInputs) -> Extractor:
    """The extractor `name`, or by default the first one available: see EXTRACTORS and `ExtractorChoice`.

    Raises ConfigError for an unknown name, or a file that it has no use for; DataError where there is no such file;
    WeightsError where weights are missing, are not the published ones, or do not fit.
    """
    choice = ExtractorChoice(name or available_extractors(inputs.compute.weights_dir)[0], inputs.file)
    kind, rest = split_name(choice.name)
    try:
        return EXTRACTORS[kind](replace(inputs, network=rest))
    except ImportError as error:
        raise WeightsError(
            f"the extractor {name} needs a package that is missing ({error})", todo="install it"
        ) from error
