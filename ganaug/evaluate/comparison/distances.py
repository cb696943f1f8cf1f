"""Distances between real and synthetic images, next to those between two patient-disjoint halves of the real ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ganaug.evaluate.comparison.halves import draw_per_class, patient_halves
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.metrics.metric import Features, Metric
from ganaug.evaluate.metrics.registry import METRICS, figure_name
from ganaug.evaluate.scores import ALL, ImageScore

NUM_SPLITS = 10  # random partitions of the patients into two halves

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Sides:
    """The features that are compared: the real training images of the fold, and the synthetic ones."""

    real: Features  # [N,D]
    real_label: NDArray[np.int64]  # [N]
    group: NDArray[np.str_]  # [N], the patient of each real image
    synthetic: Features  # [M,D]
    synthetic_label: NDArray[np.int64]  # [M]
    class_names: tuple[str, ...]

    def real_of(self, label: int | None) -> Features:
        """The real features of a class, or of all (None)."""
        return self.real if label is None else self.real[self.real_label == label]

    def synthetic_counts(self) -> Indices:
        """Synthetic images of each class, [K]."""
        return np.bincount(self.synthetic_label, minlength=len(self.class_names))


@dataclass(frozen=True)
class Scope:
    """A class, or all of them (`label` None), as a metric looks at it."""

    metric: Metric
    class_name: str
    label: int | None


@dataclass(frozen=True)
class Halves:
    """Indices of two real halves, and of as many synthetic images, with equal counts of each class."""

    first: Indices
    second: Indices
    synthetic: Indices


@dataclass(frozen=True)
class HalfFigures:
    """A metric on one split."""

    n_half: int  # images on each side
    floor: float  # between the two real halves
    value: float  # between a real half and the synthetic images


def distance_scores(sides: Sides, extractor: Extractor, *, seed: int, progress: bool = False) -> list[ImageScore]:
    """One score for each metric of METRICS, over all classes and for each class.

    `value` compares all the real images with the synthetic ones; over all classes, the synthetic ones are drawn in the
    class proportions of the real ones. The honest comparison is between `floor`, the distance of two halves of the real
    images that share no patient, and `value_at_half`, the distance of one such half to as many synthetic images of the
    same classes; both are means over NUM_SPLITS random partitions of the patients.

    A generator as good as other patients' images has its `value_at_half` near the floor; one far below it has copied
    the patients it was trained on. Features are divided by the extractor's `feature_scale` of the real ones.
    """
    scale = extractor.feature_scale(sides.real)
    sides = replace(sides, real=sides.real / scale, synthetic=sides.synthetic / scale)
    rng = np.random.default_rng(seed)
    labels: list[tuple[str, int | None]] = [(ALL, None)]
    labels += [(name, label) for label, name in enumerate(sides.class_names)]
    scopes = [Scope(metric, name, label) for metric in METRICS.values() for name, label in labels]
    scores = [_score_whole(sides, scope, extractor, rng) for scope in scopes]
    figures: list[list[HalfFigures]] = [[] for _ in scopes]
    for _ in tqdm(range(NUM_SPLITS), desc="patient halves", disable=not progress or None):
        split = _draw_split(sides, rng)
        for scope, of_scope in zip(scopes, figures, strict=True):
            of_scope += _compare_halves(sides, split, scope, rng)
    return [
        _add_halves(score, of_scope, _note(sides, scope, score, bool(of_scope)) or extractor.note)
        for scope, score, of_scope in zip(scopes, scores, figures, strict=True)
    ]


def _score_whole(sides: Sides, scope: Scope, extractor: Extractor, rng: np.random.Generator) -> ImageScore:
    """The metric between all real images of the scope and all synthetic ones."""
    real = sides.real_of(scope.label)
    if scope.label is None:
        synthetic = sides.synthetic[draw_per_class(sides.synthetic_label, _real_proportions(sides), rng)]
    else:
        synthetic = sides.synthetic[sides.synthetic_label == scope.label]
    is_enough = min(len(real), len(synthetic)) >= scope.metric.needs
    figure = scope.metric.compute(real, synthetic, rng) if is_enough else None
    return ImageScore(
        metric=figure_name(scope.metric, extractor),
        class_name=scope.class_name,
        value=figure.value if figure else None,
        value_std=figure.std if figure else None,
        n_real=len(real),
        n_synthetic=len(synthetic),
        extractor=extractor.name,
        extractor_digest=extractor.digest,
    )


def _real_proportions(sides: Sides) -> Indices:
    """The most synthetic images of each class, [K], that stand in the proportions of the real ones."""
    real = np.bincount(sides.real_label, minlength=len(sides.class_names))
    present = real > 0
    factor = float((sides.synthetic_counts()[present] / real[present]).min())
    counts: Indices = np.floor(real * factor).astype(np.int64)
    return counts


def _draw_split(sides: Sides, rng: np.random.Generator) -> Halves:
    first, second = patient_halves(sides.group, sides.real_label, sides.synthetic_counts(), rng)
    counts = np.bincount(sides.real_label[first], minlength=len(sides.class_names))
    return Halves(first, second, draw_per_class(sides.synthetic_label, counts, rng))


def _compare_halves(sides: Sides, split: Halves, scope: Scope, rng: np.random.Generator) -> list[HalfFigures]:
    """The scope's figures on one split; empty where the halves are too small."""
    first, second, synthetic = split.first, split.second, split.synthetic
    if scope.label is not None:
        first = first[sides.real_label[first] == scope.label]
        second = second[sides.real_label[second] == scope.label]
        synthetic = synthetic[sides.synthetic_label[synthetic] == scope.label]
    if len(first) < scope.metric.needs:
        return []
    floor = scope.metric.compute(sides.real[first], sides.real[second], rng)
    value = scope.metric.compute(sides.real[first], sides.synthetic[synthetic], rng)
    return [HalfFigures(len(first), floor.value, value.value)]


def _add_halves(score: ImageScore, figures: Sequence[HalfFigures], note: str) -> ImageScore:
    """The score with the means over the splits."""
    if not figures:
        return replace(score, num_splits=0, note=note)
    floors = [each.floor for each in figures]
    return replace(
        score,
        value_at_half=float(np.mean([each.value for each in figures])),
        floor=float(np.mean(floors)),
        floor_std=float(np.std(floors)),
        n_half=round(float(np.mean([each.n_half for each in figures]))),
        num_splits=len(figures),
        note=note,
    )


def _note(sides: Sides, scope: Scope, score: ImageScore, has_halves: bool) -> str:
    """What a reader must know of a score: why a figure of it is missing, or which classes its halves leave out."""
    num_synthetic = sides.synthetic_counts()
    patients = [len(np.unique(sides.group[sides.real_label == label])) for label in range(len(sides.class_names))]
    alone = [name for name, m, n in zip(sides.class_names, patients, num_synthetic, strict=True) if m < 2 or n == 0]
    if scope.label is None and alone and has_halves:
        return f"the halves leave out {', '.join(alone)} (fewer than 2 training patients, or no synthetic image)"
    if score.value is not None and has_halves:
        return ""
    num_patients = len(np.unique(sides.group)) if scope.label is None else patients[scope.label]
    in_all = len(sides.synthetic) if scope.label is None else num_synthetic[scope.label]
    return (
        f"{scope.class_name}: {'the halves are' if score.value is not None else 'a side is'} too small, below "
        f"{scope.metric.needs} images ({len(sides.real_of(scope.label))} real images of {num_patients} training "
        f"patients, {in_all} synthetic images)"
    )
