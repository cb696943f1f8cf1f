"""The protocol of the papers next to the honest one: images are divided, and patients stand on both sides.

It shows by how many points a score by such a split is too high on these very images, and is never part of a verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ganaug.config import StudyConfig
from ganaug.config.choices import BASELINE, CONTROL, TREATMENT
from ganaug.data.dataset import DataSet
from ganaug.data.folds.by_image import divide_by_image
from ganaug.errors import ConfigError
from ganaug.interval import Interval
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.statistics.clustered import NONE, Contrast, Spread, spread_of
from ganaug.study.statistics.intervals import gap_of
from ganaug.study.statistics.out_of_fold import OutOfFold, out_of_fold

METRIC = "accuracy"  # by image, as the papers report it


@dataclass(frozen=True)
class Paper:
    """A paper whose protocol can be replicated, and what it reports."""

    classifier: str
    citation: str
    reports: str  # in its words, as context: other images, and a split that it does not make by patient


PAPERS = {
    "resvit-gannet": Paper(
        "resvit_gannet",
        "ResViT-GANNet, BMC Medical Imaging 2025",
        "accuracy 96.40 % on BACH with four classes and 98.22 % on BreakHis with eight, 3.3 points of it by synthetic "
        "images",
    ),
    "dalaresnet50": Paper(
        "dalaresnet50",
        "DALAResNet50, arXiv 2308.13150",
        "accuracy 94.3 to 98.7 % on BreakHis with two classes, by magnification",
    ),
}


@dataclass(frozen=True)
class Inflation:
    """The score of an arm under both protocols, as fractions."""

    classifier: str
    arm: str
    by_patient: float
    by_image: float
    interval: Interval  # of the difference, over patients

    @property
    def difference(self) -> float:
        return self.by_image - self.by_patient


@dataclass(frozen=True)
class Replication:
    """A paper's protocol on the images of a study."""

    paper: Paper
    inflations: tuple[Inflation, ...]
    num_shared: float  # of the patients under test in a fold by image, the mean fraction that also trained it


def find_paper(name: str) -> Paper:
    if name not in PAPERS:
        raise ConfigError(f"there is no paper {name!r} to replicate", expected=" or ".join(PAPERS))
    return PAPERS[name]


def by_image_design(dataset: DataSet, design: Design) -> Design:
    """The same study by image: its arms of real and synthetic images, and the same generators.

    These saw training patients of the honest fold, whose other images are under test here: the papers' way.
    """
    if len(design.folds) < dataset.folds.num_folds:
        raise ConfigError(
            f"{len(design.folds)} of {dataset.folds.num_folds} folds with --replicate",
            expected="all folds, so that both protocols test the same images",
            todo="leave out --fold, and choose --preset standard",
        )
    divided = divide_by_image(dataset)
    config = replace(design.config, arms=(BASELINE, CONTROL, TREATMENT), shortcuts=(), leak_audit=False)
    tested = {group for fold in design.folds for group in divided.folds.test_groups(fold)}
    return replace(
        design,
        config=config,
        folds_digest=divided.folds.digest,
        tested=tuple(sorted(map(divided.table.patient_digest, tested))),
        leaky={},
        of_fractions={},
        by_image=True,
    )


def compare_protocols(
    dataset: DataSet, paper: Paper, config: StudyConfig, honest: Sequence[CellResult], by_image: Sequence[CellResult]
) -> Replication:
    """By how much the scores of both arms differ between the protocols, over the same patients."""
    divided = divide_by_image(dataset)
    patient_of = _patients_by_image(dataset, divided)
    regrouped = [_regroup(result, patient_of) for result in by_image]
    found = []
    for classifier in config.classifiers:
        sides = [out_of_fold(results, classifier, dataset.table.num_classes) for results in (honest, regrouped)]
        for arm in (BASELINE, TREATMENT):
            both = _join(arm, *sides)
            contrast = Contrast({"by image": 1.0, "by patient": -1.0})
            alone = Spread(spread_of(contrast, both, METRIC).patients, NONE, NONE)
            gap = gap_of(contrast, both, METRIC, alone)
            interval = gap.interval(config.confidence)
            by = {side: both.score(side, METRIC) for side in both.counts}
            found.append(Inflation(classifier, arm, by["by patient"], by["by image"], interval))
    return Replication(paper, tuple(found), _share_of_known(dataset, divided))


def _patients_by_image(dataset: DataSet, divided: DataSet) -> Mapping[str, str]:
    """The patient's digest by the digest that an image has where images are divided."""
    everything: NDArray[np.int64] = np.arange(len(dataset.table))
    patients = [dataset.table.patient_digest(name) for name in dataset.table.group_id.tolist()]
    return dict(zip(divided.table.image_digests(everything), patients, strict=True))


def _regroup(result: CellResult, patient_of: Mapping[str, str]) -> CellResult:
    groups = np.array([patient_of[name] for name in result.predictions.image_ids.tolist()])
    return replace(result, predictions=replace(result.predictions, groups=groups))


def _join(arm: str, honest: OutOfFold, by_image: OutOfFold) -> OutOfFold:
    """An arm under both protocols as two arms; runs are added up, as they have nothing in common but the patients."""
    counts = {"by patient": honest.counts[arm], "by image": by_image.counts[arm]}
    summed = {name: values.sum(axis=0, keepdims=True) for name, values in counts.items()}
    return OutOfFold(summed, np.zeros((1, honest.fold.shape[1]), dtype=np.int64))


def _share_of_known(dataset: DataSet, divided: DataSet) -> float:
    """Of the patients tested in a fold by image, the fraction with other images among its training ones."""
    group, shares = dataset.table.group_id, []
    for fold in range(divided.folds.num_folds):
        tested, trained = (set(group[part].tolist()) for part in (divided.test(fold), divided.train(fold)))
        shares.append(len(tested & trained) / len(tested))
    return float(np.mean(shares))
