"""The question asked again for a part of the images: for each class, and for each magnification."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ganaug.classify.predictions import Predictions
from ganaug.config.choices import TREATMENT
from ganaug.data.schema import ImageTable
from ganaug.interval import Interval
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.statistics.intervals import interval_of
from ganaug.study.statistics.out_of_fold import FEWEST_PATIENTS, OutOfFold, out_of_fold
from ganaug.study.statistics.paired import ANSWER


@dataclass(frozen=True)
class PartDifference:
    """The answer's difference on a part of the test images."""

    classifier: str
    part: str  # such as "class Benign" or "magnification 200X"
    metric: str
    estimate: float
    interval: Interval | None  # None: fewer patients than an interval needs
    num_patients: int
    num_images: int


def compare_parts(design: Design, results: Sequence[CellResult], table: ImageTable) -> list[PartDifference]:
    """The treatment against real images alone, class by class by recall, and magnification by magnification."""
    arms = (TREATMENT, *(arm for arm in ANSWER.weights if arm != TREATMENT))
    mine = [
        result for result in results if result.cell.arm in arms and result.cell.classifier in design.config.classifiers
    ]
    found = []
    for classifier in design.config.classifiers:
        tested = out_of_fold(mine, classifier, table.num_classes, design.generators)
        for index, name in enumerate(table.class_names):
            part = _of_class(tested, index)
            found.append(_compare(part, classifier, f"class {name}", "recall", design.config.confidence))
        magnification = _magnifications(table)
        for scale in sorted(set(magnification.values())) if len(set(magnification.values())) > 1 else []:
            kept = [_keep(result, scale, magnification) for result in mine]
            part = out_of_fold(kept, classifier, table.num_classes, design.generators)
            name = f"magnification {scale}X" if scale else "magnification unknown"
            found.append(_compare(part, classifier, name, design.config.metric, design.config.confidence))
    return found


def _compare(tested: OutOfFold, classifier: str, part: str, metric: str, confidence: float) -> PartDifference:
    by = "balanced_accuracy" if metric == "recall" else metric  # which, of the images of one class, is their recall
    estimate = ANSWER.estimate(tested, by)
    has_enough = len(tested.images) >= FEWEST_PATIENTS
    interval = interval_of(ANSWER, tested, by, confidence) if has_enough else None
    return PartDifference(classifier, part, metric, estimate, interval, len(tested.images), int(tested.images.sum()))


def _of_class(tested: OutOfFold, index: int) -> OutOfFold:
    """The images of one true class, and the patients who have some."""
    has = tested.images[:, index] > 0
    is_class = np.arange(tested.images.shape[1]) == index
    counts = {arm: (counts * is_class[:, None])[:, has] for arm, counts in tested.counts.items()}
    return OutOfFold(counts, tested.fold[:, has], tested.generator)


def _magnifications(table: ImageTable) -> dict[str, int]:
    """By the digest of each image its magnification."""
    everything: NDArray[np.int64] = np.arange(len(table))
    return dict(zip(table.image_digests(everything), table.magnification.tolist(), strict=True))


def _keep(result: CellResult, scale: int, magnification: dict[str, int]) -> CellResult:
    """The predictions of the images of one magnification."""
    kept = np.array([magnification[name] == scale for name in result.predictions.image_ids.tolist()], dtype=bool)
    parts = {name: values[kept] for name, values in vars(result.predictions).items()}
    return replace(result, predictions=Predictions(**parts))
