"""The images that a report shows: real and synthetic ones, and test images whose answer synthetic images turned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganaug.classify.predictions import find_tested
from ganaug.classify.train import images_of
from ganaug.config.choices import BASELINE, TREATMENT
from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageReader, read_table
from ganaug.report.pictures import overlay, strip
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.maps import read_maps
from ganaug.workspace import Study

SAMPLES_PER_CLASS = 6
CASES = 6  # turned right, and as many turned wrong


@dataclass(frozen=True)
class SampleRow:
    """Images of a class, as data URIs of strips."""

    class_name: str
    real: str
    synthetic: str


@dataclass(frozen=True)
class Case:
    """A test image whose class the runs of one arm mostly name, and those of the other mostly do not."""

    class_name: str
    image: str  # a data URI; with maps the image, its map without and its map with synthetic images
    before: float  # the mean probability of its class without synthetic images
    after: float


@dataclass(frozen=True)
class Cases:
    """The images that synthetic ones turned most, of one classifier."""

    classifier: str
    right: tuple[Case, ...]
    wrong: tuple[Case, ...]
    num_right: int
    num_wrong: int
    num_images: int
    has_maps: bool


def sample_rows(design: Design, dataset: DataSet) -> list[SampleRow]:
    """Per class a strip of real and one of synthetic images of the first studied fold, drawn at random, not chosen."""
    fold, rng = design.folds[0], np.random.default_rng(0)
    path = design.supplies[fold][0].synthetic
    train, labels, synthetic_labels = dataset.train(fold), dataset.table.label, read_table(path).label
    rows = []
    for index, name in enumerate(dataset.table.class_names):
        real = dataset.table.in_shared_order(train[labels[train] == index])
        synthetic = np.flatnonzero(synthetic_labels == index)
        pick_real = rng.choice(real, min(SAMPLES_PER_CLASS, len(real)), replace=False)
        pick_synthetic = rng.choice(synthetic, min(SAMPLES_PER_CLASS, len(synthetic)), replace=False)
        strips = strip(dataset.images(fold)[pick_real]), strip(ImageReader(path)[pick_synthetic])
        rows.append(SampleRow(name, *strips))
    return rows


def find_cases(study: Study, design: Design, dataset: DataSet, results: Sequence[CellResult]) -> list[Cases]:
    """Per classifier the test images that synthetic images turned, those whose probability changed most first."""
    return [_cases_of(study, design, dataset, results, name) for name in design.config.classifiers]


def _cases_of(study: Study, design: Design, dataset: DataSet, results: Sequence[CellResult], classifier: str) -> Cases:
    repeat = design.repeat_of(design.folds[0])
    mine = [result for result in results if (result.cell.classifier, result.cell.repeat) == (classifier, repeat)]
    folds = sorted({result.cell.fold for result in mine})
    turned = [each for fold in folds for each in _turned(fold, [r for r in mine if r.cell.fold == fold])]
    turned.sort(key=lambda each: -abs(each.change))
    first = [result for result in mine if result.cell.seed == design.config.seeds[0]]
    found = {(r.cell.fold, r.cell.arm): read_maps(study.maps(r.cell.name), len(r.predictions.labels)) for r in first}
    maps = {key: value for key, value in found.items() if value is not None}
    right, wrong = ([each for each in turned if (each.change > 0) == is_right] for is_right in (True, False))
    return Cases(
        classifier,
        tuple(_show(dataset, each, maps) for each in right[:CASES]),
        tuple(_show(dataset, each, maps) for each in wrong[:CASES]),
        len(right),
        len(wrong),
        sum(len(dataset.test(fold)) for fold in folds),
        bool(maps),
    )


@dataclass(frozen=True)
class _Turned:
    """A test image with another answer: its place among those of its fold, and the probability of its class."""

    fold: int
    place: int
    before: float
    after: float

    @property
    def change(self) -> float:
        return self.after - self.before


def _turned(fold: int, results: Sequence[CellResult]) -> list[_Turned]:
    """The test images of a fold that one arm's mean probabilities call rightly, and the other's do not."""
    before, after = (_mean_probs(results, arm) for arm in (BASELINE, TREATMENT))
    labels = results[0].predictions.labels
    places = np.arange(len(labels))
    own_before, own_after = before[places, labels].tolist(), after[places, labels].tolist()
    changed = np.flatnonzero((before.argmax(1) == labels) != (after.argmax(1) == labels)).tolist()
    return [_Turned(fold, at, own_before[at], own_after[at]) for at in changed]


def _mean_probs(results: Sequence[CellResult], arm: str) -> NDArray[np.float64]:
    """The probabilities of a fold's test images [N, K], means over the seeds."""
    probs = np.stack([result.predictions.probs for result in results if result.cell.arm == arm])
    mean: NDArray[np.float64] = probs.astype(np.float64).mean(axis=0)
    return mean


def _show(dataset: DataSet, turned: _Turned, maps: Mapping[tuple[int, str], NDArray[np.uint8]]) -> Case:
    index = find_tested(dataset, turned.fold)[[turned.place]]
    (image,) = images_of(dataset, turned.fold, index)[np.array([0])]
    shown = [image]
    for arm in (BASELINE, TREATMENT):
        if (turned.fold, arm) in maps:
            shown.append(overlay(image, _enlarge(maps[turned.fold, arm][turned.place], len(image))))
    name = dataset.table.class_names[int(dataset.table.label[index[0]])]
    return Case(name, strip(np.stack(shown)), turned.before, turned.after)


def _enlarge(small: NDArray[np.uint8], side_px: int) -> NDArray[np.float32]:
    """A stored map as float [side, side] in [0, 1]."""
    large = Image.fromarray(small).resize((side_px, side_px), Image.Resampling.BILINEAR)
    scaled: NDArray[np.float32] = np.asarray(large, dtype=np.float32) / np.float32(255)
    return scaled
