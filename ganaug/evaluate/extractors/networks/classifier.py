"""A classifier of the same images, where no published weights are at hand."""

from ganaug.errors import ConfigError
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.trained_classifier import open_classifier


def classifier(inputs: ExtractorInputs) -> Extractor:
    """The input of the last layer of a classifier of the fold's real training images, stored in the generator's folder.

    It has seen the real images that the synthetic ones are compared with, and knows what distinguishes these classes
    and little else: good for comparing generators of one fold, and for nothing across folds or data sets.
    """
    if inputs.run is None or inputs.dataset is None:
        raise ConfigError(
            "no generator, in whose folder the trained extractor is stored",
            todo="pass its run, or use an extractor of published weights (--weights-dir)",
        )
    compute = inputs.compute
    trained = open_classifier(
        inputs.run.extractor, inputs.dataset, inputs.fold, device=compute.device, progress=compute.progress
    )
    return Extractor(
        trained.name,
        trained.digest,
        "the input of the classifier's last layer",
        trained.embed,
        compute.device,
        note="the extractor was trained on these real images, so figures between them look better than between others",
    )
