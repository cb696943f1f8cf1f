"""Maps of what a stored classifier's decisions on its fold's test images rest on, and how faithful they are.

Two sets of test images are looked at: a random sample, on which every method is measured, and a few per class, rightly
and wrongly classified, that a person can look at. Images and patients are known by their keyed digests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.explain.intervals import PatientInterval, patient_interval
from classifiers.explain.measures import MEASURES, CamLayer, make_maps, measure, threshold_mask
from classifiers.explain.randomisation import compare_maps, randomise
from classifiers.explain.registry import METHODS
from classifiers.predict import predict
from classifiers.transforms import to_float
from ganaug.classify.explain.request import ExplainConfig, choose_methods, layer_of, require_same_data
from ganaug.classify.predictions import TestedImages, find_tested, find_tested_images
from ganaug.classify.stored import StoredClassifier
from ganaug.classify.train import images_of
from ganaug.data.dataset import DataSet
from ganaug.data.schema import open_reader

NUM_RANDOMISED = 12  # measured images whose maps are compared while the weights are randomised
NUM_STAGES = 5


@dataclass(frozen=True)
class MethodScores:
    """A method on the measured images: MEASURES by name, None where no image has a value."""

    method: str
    scores: Mapping[str, PatientInterval | None]


@dataclass(frozen=True)
class RandomisedScores:
    """How much of the maps is left while layers are made random, the last ones first: means over images."""

    fraction: float  # of the layers that are random; 0 where nothing is, and the maps are of two different images
    first_random: str
    rank_correlation: Mapping[str, float | None]  # by method, None where its maps are constant
    ssim: Mapping[str, float | None]


@dataclass(frozen=True)
class ShownImage:
    """A test image with its maps; u8 [H,W,3], and maps float [H,W] in [0,1] and marked areas bool [H,W] by method."""

    image_id: str  # keyed digest
    label: int
    predicted: int  # as `ganaug predict` gives it
    probability: float  # of the predicted class, as well
    predicted_unturned: int  # of the image as it lies, of which the maps are
    image: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]
    marked: Mapping[str, NDArray[np.bool_]]
    mask: NDArray[np.bool_] | None  # what decides the class, where the data set says so

    @property
    def is_right(self) -> bool:
        return self.label == self.predicted


@dataclass(frozen=True)
class Explanations:
    """All that `explain_classifier` finds."""

    config: ExplainConfig
    layer: str  # that Grad-CAM reads
    methods: tuple[str, ...]
    skipped: Mapping[str, str]  # methods that do not suit the classifier, and why
    scores: tuple[MethodScores, ...]
    randomised: tuple[RandomisedScores, ...]
    shown: tuple[ShownImage, ...]
    num_tested: int
    num_measured: int
    num_patients: int  # of the measured images
    num_without_mask: int | None  # measured images whose mask is empty; None: the data set has no masks
    num_disagreeing: int  # measured images that get another class as they lie than averaged over orientations
    accuracy: float  # on all test images, of what `ganaug predict` gives


def explain_classifier(stored: StoredClassifier, dataset: DataSet, config: ExplainConfig) -> Explanations:
    """Make and measure the maps of a stored classifier for test images of its fold, each for the predicted class.

    Probabilities and predicted classes are those of `StoredClassifier.probabilities`, which averages over the eight
    orientations; maps, deletion and insertion are of the image as it lies.

    Raises ConfigError where the classifier has no layer that shows where it looks, or a method asked for does not suit
    it; LeakError where it was trained on test patients or on another preparation of the data set; DataError where the
    data set has other classes.
    """
    layer = layer_of(stored, config)
    require_same_data(stored, dataset)
    tested = find_tested_images(dataset, stored.fold)
    all_images = images_of(dataset, stored.fold, find_tested(dataset, stored.fold))
    methods, skipped = choose_methods(stored, layer, config)
    probs = stored.probabilities(all_images)
    predicted = probs.argmax(1)
    rng = np.random.default_rng(config.seed)
    num_measured = min(config.num_measured, len(predicted))
    measured = np.sort(rng.choice(len(predicted), num_measured, replace=False))
    shown = choose_shown(tested.labels, predicted, config.per_class, len(stored.class_names))
    chosen = np.union1d(measured, shown)
    images = all_images[chosen]
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    unturned = predict(stored.model, images, device=stored.device).argmax(1)
    task = _Task(stored.model, layer, config, to_float(pixels), torch.from_numpy(predicted[chosen]))
    masks = read_masks(dataset, find_tested(dataset, stored.fold)[chosen])
    maps = task.make_all_maps(methods)
    marked = {name: threshold_mask(maps[name], METHODS[name], config.threshold) for name in maps}
    mapped = _Mapped(images, unturned, maps, marked, masks)
    at = np.searchsorted(chosen, measured)
    groups = tested.groups[measured]
    scores = tuple(
        MethodScores(name, task.measure(maps[name], marked[name], at, None if masks is None else masks[at], groups))
        for name in maps
    )
    return Explanations(
        config=config,
        layer=layer.name,
        methods=tuple(maps),
        skipped=skipped,
        scores=scores,
        randomised=task.randomise(maps, at[:NUM_RANDOMISED]),
        shown=tuple(
            mapped.show(place, tested, position, probs[position])
            for position, place in zip(shown.tolist(), np.searchsorted(chosen, shown).tolist(), strict=True)
        ),
        num_tested=len(predicted),
        num_measured=num_measured,
        num_patients=len(np.unique(groups)),
        num_without_mask=None if masks is None else int((~masks[at].any((1, 2))).sum()),
        num_disagreeing=int((unturned[at] != predicted[measured]).sum()),
        accuracy=float((predicted == tested.labels).mean()),
    )


def choose_shown(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], per_class: int, num_classes: int
) -> NDArray[np.int64]:
    """Positions of up to `per_class` right and as many wrong images of each class, in their order, which is no choice.

    They come class by class, the right ones first.
    """
    picks = [
        np.flatnonzero((labels == label) & ((predicted == labels) == is_right))[:per_class]
        for label in range(num_classes)
        for is_right in (True, False)
    ]
    return np.concatenate(picks)


def read_masks(dataset: DataSet, indices: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """The masks of images of the data set, bool [n,H,W], where it has any; LeakError where they were changed."""
    if "mask" not in dataset.table.attrs["content"]:
        return None
    return open_reader(dataset.path, dataset.table, "mask")[indices] >= 128


@dataclass(frozen=True)
class _Mapped:
    """The n images whose maps are made."""

    images: NDArray[np.uint8]  # [n,H,W,3]
    unturned: NDArray[np.int64]  # [n], the classes that they get as they lie
    maps: Mapping[str, Tensor]  # by method
    marked: Mapping[str, Tensor]
    masks: NDArray[np.bool_] | None

    def show(self, at: int, tested: TestedImages, position: int, probs: NDArray[np.float32]) -> ShownImage:
        """The image `at` these, which is that at `position` of the tested ones, and has probabilities [K]."""
        return ShownImage(
            image_id=str(tested.image_ids[position]),
            label=int(tested.labels[position]),
            predicted=int(probs.argmax()),
            probability=float(probs.max()),
            predicted_unturned=int(self.unturned[at]),
            image=self.images[at],
            maps={name: heat[at].numpy() for name, heat in self.maps.items()},
            marked={name: area[at].numpy() for name, area in self.marked.items()},
            mask=None if self.masks is None else self.masks[at],
        )


@dataclass(frozen=True)
class _Task:
    """A classifier and the images whose maps are made."""

    model: nn.Module
    layer: CamLayer
    config: ExplainConfig
    images: Tensor  # [n,3,H,W] in [0,1]
    predicted: Tensor  # i64 [n], the class that a map is for

    def make_all_maps(self, methods: Sequence[str]) -> dict[str, Tensor]:
        """Maps [n,H,W] by method."""
        return {name: make_maps(self.model, METHODS[name], self.images, self.predicted, self.layer) for name in methods}

    def measure(
        self,
        maps: Tensor,
        marked: Tensor,
        at: NDArray[np.int64],
        masks: NDArray[np.bool_] | None,
        groups: NDArray[np.str_],
    ) -> dict[str, PatientInterval | None]:
        found = measure(self.model, self.images[at], self.predicted[at], maps[at], marked[at], masks)
        return {
            name: patient_interval(found[name], groups, seed=self.config.seed) if name in found else None
            for name in MEASURES
        }

    def randomise(self, maps: Mapping[str, Tensor], at: NDArray[np.int64]) -> tuple[RandomisedScores, ...]:
        """How the maps change, stage by stage; first how alike those of different images are."""
        seeing = {name: maps[name][at] for name in maps if METHODS[name].sees_model}
        if not seeing:
            return ()
        others = {name: heat.roll(1, 0) for name, heat in seeing.items()}
        rows = [_agreement(0.0, "", seeing, others)] if len(at) > 1 else []
        images, classes = self.images[at], self.predicted[at]
        device = next(self.model.parameters()).device
        for stage in randomise(self.model, images.to(device), num_stages=NUM_STAGES, seed=self.config.seed):
            random = {name: make_maps(stage.model, METHODS[name], images, classes, self.layer) for name in seeing}
            rows.append(_agreement(stage.fraction, stage.first_random, seeing, random))
        return tuple(rows)


def _agreement(
    fraction: float, layer: str, first: Mapping[str, Tensor], second: Mapping[str, Tensor]
) -> RandomisedScores:
    found = {name: compare_maps(first[name], second[name]) for name in first}
    return RandomisedScores(
        fraction,
        layer,
        {name: _mean(agreement.rank_correlation) for name, agreement in found.items()},
        {name: _mean(agreement.ssim) for name, agreement in found.items()},
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
