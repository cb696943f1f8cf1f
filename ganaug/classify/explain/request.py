"""The options of `ganaug explain`, and whether a classifier and a data set allow them."""

from dataclasses import dataclass

import torch

from classifiers.explain.dt_gradcam import parse_threshold
from classifiers.explain.gradcam import find_cam_layer
from classifiers.explain.measures import CamLayer, make_maps
from classifiers.explain.method import MapOptions
from classifiers.explain.registry import METHODS
from ganaug.classify.predictions import find_tested_images
from ganaug.classify.stored import StoredClassifier
from ganaug.config import MAP_METHODS
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, DataError, LeakError
from ganaug.report.numbers import count


@dataclass(frozen=True)
class ExplainConfig:
    """The options of `ganaug explain`."""

    methods: tuple[str, ...] = ()  # of MAP_METHODS; none: all that suit the classifier
    per_class: int = 3  # shown images per class, rightly classified, and as many wrongly classified
    num_measured: int = 48  # test images drawn at random, on which the methods are measured
    threshold: str = "otsu"  # see `classifiers.explain.dt_gradcam.parse_threshold`
    seed: int = 0  # of the sample, of the random map and of random weights

    def __post_init__(self) -> None:
        if unknown := [name for name in self.methods if name not in MAP_METHODS]:
            raise ConfigError(f"there is no method {unknown[0]}", expected=" or ".join(MAP_METHODS))
        for number, name in ((self.per_class, "shown images per class"), (self.num_measured, "measured images")):
            if number < 1:
                raise ConfigError(f"{number} {name}", expected="at least 1")
        try:
            parse_threshold(self.threshold)
        except ValueError as error:
            raise ConfigError(str(error)) from error


def layer_of(stored: StoredClassifier, config: ExplainConfig) -> CamLayer:
    """The layer of a classifier that shows where it looks; raises ConfigError where it has none."""
    try:
        name, layout = find_cam_layer(stored.model, stored.name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return CamLayer(name, layout, MapOptions(config.threshold, seed=config.seed))


def choose_methods(
    stored: StoredClassifier, layer: CamLayer, config: ExplainConfig
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The methods that suit a classifier, and why others do not, found on a white image.

    Raises ConfigError where one that was asked for by name does not, or none does.
    """
    side, classes = stored.image_size_px, torch.zeros(1, dtype=torch.int64)
    chosen, skipped = [], {}
    for name in config.methods or MAP_METHODS:
        try:
            make_maps(stored.model, METHODS[name], torch.ones(1, 3, side, side), classes, layer)
            chosen.append(name)
        except ValueError as error:
            if config.methods:
                raise ConfigError(str(error)) from error
            skipped[name] = str(error)
    if not chosen:
        raise ConfigError(next(iter(skipped.values())))
    return tuple(chosen), skipped


def require_same_data(stored: StoredClassifier, dataset: DataSet) -> None:
    """Raise an error unless a data set is the one that a classifier was trained on, prepared and folded as then.

    In another preparation the digests of patients are others, so that no patient seen would be known again. Raises
    DataError where its classes are others, LeakError where its images or folds are, or the classifier saw test
    patients.
    """
    if stored.class_names != dataset.table.class_names:
        raise DataError(
            f"the classes of {dataset.name} are {', '.join(dataset.table.class_names)}",
            expected=f"those of the classifier, {', '.join(stored.class_names)}",
            todo="name the data set that it was trained on with --dataset",
        )
    record, table = stored.provenance, dataset.table
    for what, found, wanted in (
        ("content", table.fingerprint, record.dataset_fingerprint),
        ("division into folds", dataset.folds.digest, record.folds_digest),
        ("resolution", f"{table.resolution_px} px", f"{stored.image_size_px} px"),
    ):
        if found != wanted:
            raise LeakError(
                f"the {what} of {dataset.name} ({found[:12]}) is not what the classifier in {stored.run.root} was "
                "trained on, and it may have seen these test patients",
                expected=wanted[:12],
                todo="train it again on the data set as it is now, or open the workspace that it was trained in",
            )
    test = find_tested_images(dataset, stored.fold)
    if seen := set(record.groups_seen) & set(test.groups.tolist()):
        raise LeakError(
            f"the classifier in {stored.run.root} was trained or selected on {count(len(seen), 'test patient')} of "
            f"fold {stored.fold}",
            todo="train it again on the folds as they are now",
        )
