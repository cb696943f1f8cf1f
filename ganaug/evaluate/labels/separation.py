"""Conditioning collapse: classes that real images separate and synthetic ones do not.

The separation of two classes is the unbiased squared kernel distance (MMD²) between their features, taken within the
synthetic images and within the real training ones, so that no real image is compared with a synthetic one.
"""

from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.judged import Chapter, Embedded, Finding, Judged
from ganaug.evaluate.labels.scope import alike_classes
from ganaug.evaluate.metrics.metric import Features
from ganaug.evaluate.scores import ALL, ImageScore

MAX_PER_CLASS = 250  # images of each set, evenly spaced: the kernel grows with their square
MIN_IMAGES = 10  # per class and set, our choice
NUM_PERMUTATIONS = 400
FEWEST_REGROUPINGS = 20  # of the patients: with fewer, no p-value below 0.05 exists
ALPHA = 0.05  # of the real classes' permutation test
CLASS_PART = 0.5  # of the real separation that must be more than patients make, or a pair is not judged (our choice)
MOST = 0.4  # of the real separation: what classes that look alike may have at most, at 95 %
TINY = 0.1  # of the real separation: classes with less look alike although many images show that they differ
ADVICE = "train with --class-transition"
TAKES = f"it takes {MIN_IMAGES} real and {MIN_IMAGES} synthetic images of this class and of another"


@dataclass(frozen=True)
class Pair:
    """The separation of two classes, in synthetic and in real images."""

    first: int
    second: int
    synthetic: float
    null: tuple[float, float]  # 95th and 99th percentile of the synthetic separation under permuted labels
    real: float
    reference: float  # of the real images without what patients alone make; what a faithful generator shows at least
    is_real: bool  # whether the real classes differ by more than patients do

    @property
    def is_alike(self) -> bool:
        is_unclear = self.synthetic <= max(self.null[1], TINY * self.reference)
        return self.is_real and is_unclear and self.synthetic + self.null[0] < MOST * self.reference


def judge_separation(judged: Judged, embedded: Embedded, metric: str, rng: np.random.Generator) -> Chapter:
    """A row per class, of the other class that it is least separated from, and a finding per set that looks alike.

    Where none does, a remark names the two classes that come nearest.

    Two classes look alike where their synthetic images are not separated, by a permutation test at 99 % or by less than
    TINY of the real separation, and are so many that MOST of it would be seen. Half-swapped classes keep a quarter of
    it, which takes some 100 images per class to be seen. From the real separation the mean under permuted patients is
    taken off, as the patients alone separate classes; pairs that patients separate about as well are not judged. With
    fewer than FEWEST_REGROUPINGS ways to regroup the patients, images are permuted instead: a generator that shows the
    classes of so few patients shows these patients.
    """
    pairs = _pairs(judged, embedded, rng)
    names = judged.class_names
    alike = [pair for pair in pairs if pair.is_alike]
    groups = _connected([(pair.first, pair.second) for pair in alike])
    findings = [_collapsed(group, alike, names) for group in groups]
    unclear = [pair for pair in pairs if not pair.is_real]
    if unclear:
        listed = ", ".join(f"{names[pair.first]} and {names[pair.second]}" for pair in unclear[:3])
        more = f" and {len(unclear) - 3} more pairs" if len(unclear) > 3 else ""
        sentence = (
            f"real images of {listed}{more} differ by no more than their patients do, so synthetic ones are not judged"
        )
        findings.append(Finding("obedient", ALL, sentence, is_alarm=False))
    known = [pair for pair in pairs if pair.is_real]
    if known and not alike:
        least = min(known, key=lambda pair: pair.synthetic / pair.reference)
        sentence = (
            f"no two classes look alike; nearest are {names[least.first]} and {names[least.second]}, whose synthetic "
            f"images have {100 * least.synthetic / least.reference:.0f} % of the separation of the real ones"
        )
        findings.append(Finding("obedient", ALL, sentence, is_alarm=False))
    lacks = alike_classes(judged, embedded)
    return Chapter(tuple(_row(judged, metric, pairs, label, lacks) for label in range(len(names))), tuple(findings))


def _pairs(judged: Judged, embedded: Embedded, rng: np.random.Generator) -> list[Pair]:
    num_classes = len(judged.class_names)
    center, scale = embedded.train.mean(0), embedded.train.std(0)
    scale = np.where(scale > 0, scale, 1)
    sets = []
    for images, rows in ((judged.train, embedded.train), (judged.synthetic, embedded.synthetic)):
        chosen = [_evenly(images.of_class(label)) for label in range(num_classes)]
        sets.append(([(rows[each] - center) / scale for each in chosen], [images.group[each] for each in chosen]))
    (real, groups), (synthetic, _) = sets
    alike = alike_classes(judged, embedded)
    judgeable = [k for k in range(num_classes) if k not in alike and min(len(real[k]), len(synthetic[k])) >= MIN_IMAGES]
    if len(judgeable) < 2:
        return []
    bandwidth = _median_distance(np.concatenate([real[k] for k in judgeable]))
    pairs = []
    for first, second in combinations(judgeable, 2):
        of_synthetic = _kernel(np.concatenate([synthetic[first], synthetic[second]]), bandwidth)
        of_real = _kernel(np.concatenate([real[first], real[second]]), bandwidth)
        sides = len(synthetic[first]), len(synthetic[second])
        value, null = _permuted(of_synthetic, np.arange(sum(sides)), sides, rng)
        whole = _patients(groups[first], groups[second])
        floor, floor_null = _permuted(of_real, *whole, rng)
        reference = floor - max(float(floor_null.mean()), 0.0)
        p_value = (1 + int(np.count_nonzero(floor_null >= floor))) / (1 + NUM_PERMUTATIONS)
        pairs.append(
            Pair(
                first,
                second,
                synthetic=value,
                null=(float(np.quantile(null, 0.95)), float(np.quantile(null, 0.99))),
                real=floor,
                reference=reference,
                is_real=p_value < ALPHA and reference >= CLASS_PART * floor,
            )
        )
    return pairs


def _patients(first: NDArray[np.str_], second: NDArray[np.str_]) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """The unit [n] that is permuted as a whole for each image of two classes, and the units of each class."""
    units = [np.unique(groups, return_inverse=True) for groups in (first, second)]
    sizes = len(units[0][0]), len(units[1][0])
    num_regroupings = comb(sum(sizes), sizes[0]) // (2 if sizes[0] == sizes[1] else 1)
    if num_regroupings < FEWEST_REGROUPINGS:
        return np.arange(len(first) + len(second)), (len(first), len(second))
    return np.concatenate([units[0][1], units[1][1] + sizes[0]]), sizes


def _permuted(
    kernel: Features, unit: NDArray[np.int64], sizes: tuple[int, int], rng: np.random.Generator
) -> tuple[float, NDArray[np.float64]]:
    """MMD² of the two classes, and [NUM_PERMUTATIONS] values after whole units were dealt to them at random."""
    is_first = np.zeros((1 + NUM_PERMUTATIONS, sum(sizes)))
    is_first[:, : sizes[0]] = 1
    is_first[1:] = rng.permuted(is_first[1:], axis=1)
    values = _mmd2(kernel, is_first[:, unit])
    return float(values[0]), values[1:]


def _mmd2(kernel: Features, is_first: Features) -> NDArray[np.float64]:
    """The unbiased MMD² of each way [R,n] to deal the images to two sides, from their kernel [n,n].

    A side of one image has no pairs, and counts 0 within.
    Source: Gretton et al. 2012, "A kernel two-sample test", lemma 6.
    """
    is_second = 1 - is_first
    diagonal = np.diag(kernel)
    sums = [is_first @ kernel, is_second @ kernel]
    within = []
    for side, total in zip((is_first, is_second), sums, strict=True):
        size = side.sum(1)
        within.append(((total * side).sum(1) - side @ diagonal) / np.maximum(size * (size - 1), 1))
    across = (sums[0] * is_second).sum(1) / (is_first.sum(1) * is_second.sum(1))
    values: NDArray[np.float64] = within[0] + within[1] - 2 * across
    return values


def _kernel(rows: Features, bandwidth: float) -> Features:
    """Gaussian, exp(−d² / bandwidth)."""
    kernel: Features = np.exp(-_squared_distances(rows) / bandwidth)
    return kernel


def _median_distance(rows: Features) -> float:
    """The median squared distance of different images, the usual bandwidth; 1 where all are alike."""
    evenly = _squared_distances(rows[_evenly(np.arange(len(rows)), 500)])
    return float(np.median(evenly[~np.eye(len(evenly), dtype=bool)])) or 1.0


def _squared_distances(rows: Features) -> Features:
    norms = (rows**2).sum(1)
    distances: Features = np.maximum(norms[:, None] + norms[None] - 2 * rows @ rows.T, 0)
    return distances


def _evenly(positions: NDArray[np.int64], at_most: int = MAX_PER_CLASS) -> NDArray[np.int64]:
    if len(positions) <= at_most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, at_most).round().astype(np.int64)]


def _connected(edges: list[tuple[int, int]]) -> list[list[int]]:
    """The sets of classes that are linked by these edges, each in ascending order."""
    groups: list[set[int]] = []
    for edge in edges:
        touched = [group for group in groups if group & set(edge)]
        groups = [group for group in groups if group not in touched] + [set(edge).union(*touched)]
    return sorted(sorted(group) for group in groups)


def _collapsed(group: list[int], alike: list[Pair], names: tuple[str, ...]) -> Finding:
    within = [pair for pair in alike if pair.first in group]
    most = max(max(pair.synthetic, 0.0) / pair.reference for pair in within)
    listed = f"{', '.join(names[k] for k in group[:-1])} and {names[group[-1]]}"
    sentence = (
        f"{len(group)} of {len(names)} classes look alike: conditioning collapsed; the synthetic images of {listed} "
        f"have at most {100 * most:.0f} % of the separation of the real ones"
    )
    return Finding("obedient", ALL, sentence, is_alarm=True, todo=ADVICE)


def _row(judged: Judged, metric: str, pairs: list[Pair], label: int, lacks: dict[int, str]) -> ImageScore:
    """The pair of this class whose separation is the least next to the real one."""
    name, own = judged.class_names[label], [pair for pair in pairs if label in (pair.first, pair.second)]
    row = ImageScore(
        metric,
        name,
        None,
        n_real=len(judged.train.of_class(label)),
        n_synthetic=len(judged.synthetic.of_class(label)),
        question="obedient",
        note=f"{name}: {lacks.get(label, TAKES)}",
    )
    if not own:
        return row
    least = min(own, key=lambda pair: pair.synthetic / pair.reference if pair.reference > 0 else np.inf)
    return replace(row, value=least.synthetic, floor=least.real, note="")
