"""A classifier of the same images, where no published weights are at hand."""

from ganaug.classify.trained import trained_classifier
from ganaug.errors import ConfigError
from ganaug.evaluate.extractors.extractor import Extractor, Setting


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
