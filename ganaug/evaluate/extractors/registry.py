"""EXTRACTORS, and the one that is used by default."""

from collections.abc import Callable
from pathlib import Path

from ganaug.errors import ConfigError, WeightsError
from ganaug.evaluate.extractors.networks.classifier import classifier
from ganaug.evaluate.extractors.networks.efficientnet_lite import efficientnet_lite0, efficientnet_lite1
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.networks.inception import inception
from ganaug.evaluate.extractors.networks.squeezenet import squeezenet
from ganaug.weights import has_weights

EXTRACTORS: dict[str, Callable[[ExtractorInputs], Extractor]] = {
    "inception": inception,
    "efficientnet_lite0": efficientnet_lite0,
    "efficientnet_lite1": efficientnet_lite1,
    "squeezenet": squeezenet,
    "classifier": classifier,
}


def available_extractors(weights_dir: Path | None) -> list[str]:
    """The names of the extractors that can be used, the best known first; the classifier always can."""
    return [name for name in EXTRACTORS if name == "classifier" or has_weights(weights_dir, name)]


def open_extractor(name: str | None, inputs: ExtractorInputs) -> Extractor:
    """The extractor `name`, or by default the first one available: see EXTRACTORS.

    Raises ConfigError for an unknown name, WeightsError where its weights are missing or are not the published ones.
    """
    name = name or available_extractors(inputs.compute.weights_dir)[0]
    if name not in EXTRACTORS:
        raise ConfigError(f"unknown extractor {name}", expected=", ".join(EXTRACTORS))
    try:
        return EXTRACTORS[name](inputs)
    except ImportError as error:
        raise WeightsError(
            f"the extractor {name} needs a package that is missing ({error})", todo="install it"
        ) from error
